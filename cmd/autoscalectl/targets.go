package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/cliapp"
)

// targets are the groups that a command is about.
type targets struct {
	common
	names []string        // none: all groups of the region
	spec  *autoscale.Spec // the file they come from, or that describes some of them; nil without one
}

// allFlag is --all of commands on groups.
func allFlag(usage string) cli.Flag { return &cli.BoolFlag{Name: "all", Usage: usage} }

// isFile tells FILE from GROUP: a file's name says what it is.
func isFile(arg string) bool {
	return arg == "-" || slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(arg))
}

// targetsOf reads GROUP... and FILE. Without a GROUP it is about the groups of
// the file. The region is the flag's on the command line, else the file's.
func (d deps) targetsOf(c *cli.Context) (targets, error) {
	var t targets
	file := ""
	for _, arg := range c.Args().Slice() {
		switch {
		case !isFile(arg):
			t.names = append(t.names, arg)
		case file != "":
			return t, cliapp.Usagef("unexpected argument %q: there is one FILE", arg)
		default:
			file = arg
		}
	}
	var err error
	if t.common, err = commonOf(c, file); err != nil {
		return t, err
	}
	if file == "" && !d.defaultFileCounts(c, t) {
		if t.region == "" {
			return t, cliapp.Usagef("missing --region REGION: there is no %s that names one", defaultFile)
		}
		return t, nil
	}
	s, err := d.load(t.common)
	if err != nil {
		if _, absent := os.Stat(t.file); absent != nil && file == "" {
			return t, cliapp.Usagef("there is no %s here: give FILE, or GROUP... and --region, or --all and --region", defaultFile)
		}
		return t, err
	}
	if given := d.flagged("region"); given && t.region != s.Region {
		if file != "" {
			return t, cliapp.Usagef("--region %s: %s is of region %s", t.region, t.file, s.Region)
		}
		return t, nil // the file of this directory is about another region
	}
	t.region, t.spec = s.Region, &s
	if len(t.names) == 0 && !(c.Bool("all") && file == "") {
		t.names = s.Names()
	}
	return t, nil
}

// defaultFileCounts says whether autoscale.yaml of this directory is read: not
// when it is not there and something else says where the groups are.
func (d deps) defaultFileCounts(c *cli.Context, t targets) bool {
	if _, err := os.Stat(t.file); err == nil {
		return true
	}
	return len(t.names) == 0 && !c.Bool("all")
}

// flagged says whether a flag stands on the command line, rather than in the
// environment.
func (d deps) flagged(name string) bool {
	return slices.ContainsFunc(d.Args, func(a string) bool {
		a, dashed := strings.CutPrefix(a, "-")
		a = strings.TrimPrefix(a, "-")
		return dashed && (a == name || strings.HasPrefix(a, name+"="))
	})
}
