package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/ui"
)

// gcOptions is the command line of gc.
type gcOptions struct {
	hostOptions
	within      time.Duration
	ignoreHosts bool
	dryRun, yes bool
}

func gcCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "gc",
		Usage: "remove builds that nobody needs any more",
		Description: "A build stays when a channel was on it within --keep (or would go back to it), a host has it, an unfinished rollout needs it,\n" +
			"or it was pushed within --keep. Hosts are asked through their Chef nodes, on which the agent notes what it runs.\n" +
			"Every verdict is printed with its reason. When any of the sources cannot be read, nothing is removed.",
		Flags: append(append(commonFlags(""), chefFlags()...),
			&cli.StringFlag{Name: "keep", Value: "30d", Usage: "keep what was needed or pushed within this `AGE`, for example 30d or 36h"},
			&cli.BoolFlag{Name: "ignore-hosts", Usage: "do not ask the Chef server what hosts have: for apps without Chef"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be removed, and remove nothing"},
			cliapp.YesFlag()),
		Action: func(c *cli.Context) error {
			if _, err := cliapp.Arguments(c); err != nil {
				return err
			}
			o := gcOptions{ignoreHosts: c.Bool("ignore-hosts"), dryRun: c.Bool("dry-run"), yes: c.Bool("yes")}
			var err error
			if o.common, err = d.commonOf(c); err != nil {
				return err
			}
			o.chef = chefOf(c, o.common.chef)
			if o.within, err = ageOf("--keep", c.String("keep")); err != nil {
				return err
			}
			return runGC(c.Context, d, o)
		},
	}
}

// ageOf reads a whole number of days or hours.
func ageOf(flag, text string) (time.Duration, error) {
	m := regexp.MustCompile(`^([1-9][0-9]{0,4})([dh])$`).FindStringSubmatch(text)
	if m == nil {
		return 0, cliapp.Usagef("%s %q is not an age such as 30d or 36h", flag, text)
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return 0, cliapp.Usagef("%s %q is not an age such as 30d or 36h", flag, text)
	}
	return time.Duration(n) * map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour}[m[2]], nil
}

// gcResult is what gc prints with --output json.
type gcResult struct {
	deploy.GarbagePlan
	Done *deploy.Collected `json:"done,omitempty"` // absent: nothing was to be done
}

func runGC(ctx context.Context, d deps, o gcOptions) error {
	p, err := d.publisher(ctx, o.common, nil)
	if err != nil {
		return err
	}
	var hosts deploy.Running
	if !o.ignoreHosts {
		lister, err := d.lister(ctx, o.hostOptions)
		if err != nil {
			return err
		}
		hosts = lister.Running
	}
	plan, err := p.PlanGarbage(ctx, o.app, o.within, hosts)
	if err != nil {
		return err
	}
	if o.output != cliapp.JSON {
		if err := ui.Table(d.Stdout, gcRows(plan)); err != nil {
			return err
		}
	}
	result := gcResult{GarbagePlan: plan}
	if !o.dryRun && !plan.Empty() {
		if !o.yes {
			if err := d.Ask(d.terminal(), fmt.Sprintf("Remove %s?", builds(len(plan.Remove)))); err != nil {
				return err
			}
		}
		done, cerr := p.Collect(ctx, plan)
		result.Done, err = &done, cerr
	}
	if o.output == cliapp.JSON {
		return errors.Join(err, printJSON(d.Stdout, result))
	}
	if result.Done != nil {
		_, perr := fmt.Fprintf(d.Stdout, "removed %s\n", builds(len(result.Done.Removed)))
		err = errors.Join(err, perr)
	}
	return err
}

func gcRows(g deploy.GarbagePlan) [][]string {
	rows := [][]string{{"BUILD", "PUSHED", "SIZE", "VERDICT"}}
	add := func(verdict string, list []deploy.Verdict) {
		for _, v := range list {
			rows = append(rows, []string{v.Build.Short(), v.Pushed.UTC().Format(time.DateOnly), deploy.FormatSize(v.Size), verdict + ": " + strings.Join(v.Reasons, "; ")})
		}
	}
	add("keep", g.Keep)
	add("remove", g.Remove)
	return append(rows, []string{fmt.Sprintf("%s to remove (%s), %d to keep", builds(len(g.Remove)), deploy.FormatSize(g.Bytes()), len(g.Keep))})
}

func builds(n int) string {
	if n == 1 {
		return "1 build"
	}
	return fmt.Sprintf("%d builds", n)
}
