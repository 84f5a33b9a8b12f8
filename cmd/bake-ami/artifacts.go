package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// artifacts are the files that a run leaves for a CI server and for people,
// beside the report. An empty path is not written.
type artifacts struct {
	properties, junit, html string
}

func artifactFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "properties", Usage: "write BAKE_AMI_ID=… and more, for shells and Jenkins, to `FILE`"},
		&cli.StringFlag{Name: "junit", Usage: "write a JUnit report, a case for each step, to `FILE`"},
		&cli.StringFlag{Name: "html", Usage: "write the report as a web page to `FILE`"},
		&cli.BoolFlag{Name: "keep-on-failure", Usage: "leave the builder of a failed bake as it is, and say how to get in; it still destroys itself when it expires"},
	}
}

// readArtifacts reads the flags and makes sure that the files can be written:
// a bake must not end in one that cannot.
func readArtifacts(c *cli.Context) (artifacts, error) {
	for _, name := range []string{"report", "properties", "junit", "html"} {
		if path := c.String(name); path != "" && !isDir(filepath.Dir(path)) {
			return artifacts{}, cliapp.Usagef("--%s %s: there is no folder %s", name, path, filepath.Dir(path))
		}
	}
	return artifacts{c.String("properties"), c.String("junit"), c.String("html")}, nil
}

// write writes the files of bakes that are over.
func (a artifacts) write(reports []bake.Report) error {
	var failed []error
	for _, f := range []struct {
		path   string
		render func([]bake.Report) ([]byte, error)
	}{
		{a.properties, func(r []bake.Report) ([]byte, error) { return bake.Properties(r), nil }},
		{a.junit, bake.JUnit}, {a.html, bake.HTML},
	} {
		if f.path == "" {
			continue
		}
		text, err := f.render(reports)
		if err == nil {
			err = os.WriteFile(f.path, text, 0o644)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("writing %s: %w", f.path, err))
		}
	}
	return fault.New(fault.Unpublished, "the bake itself is over; its result is on stdout", errors.Join(failed...))
}

// announce prints the one line a bake that scripts may rely on, on stderr,
// since stdout is the result's.
func (d deps) announce(output cliapp.Output, reports []bake.Report) {
	for _, r := range reports {
		if r.ImageID != "" && output != cliapp.JSON {
			fmt.Fprintf(d.Stderr, "[bake-ami] AMI %s %s\n", r.Region, r.ImageID)
		}
	}
}
