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
	properties, junit, html, sbom string
	dir                           string // of a whole set of files
}

func artifactFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "properties", Usage: "write BAKE_AMI_ID=… and more, for shells and Jenkins, to `FILE`"},
		&cli.StringFlag{Name: "junit", Usage: "write a JUnit report, a case for each step, check and region, to `FILE`"},
		&cli.StringFlag{Name: "html", Usage: "write the report as a web page to `FILE`"},
		&cli.StringFlag{Name: "sbom", Usage: "write the image's SBOM (CycloneDX 1.6, JSON) to `FILE`; one role only"},
		&cli.StringFlag{Name: "report-dir", Usage: "write all of these to `DIR`: report.json, report.html, junit.xml, bake.properties, and for each role ROLE.cdx.json (SBOM), ROLE.inventory.json and ROLE.diff.html"},
		&cli.StringFlag{Name: "inventory", EnvVars: []string{"BAKEHOUSE_INVENTORY"}, Usage: "keep inventories in `S3`, s3://BUCKET/PREFIX, too, so that diff finds them from any machine (image.inventory)"},
	}
}

// readArtifacts reads the flags and makes sure that the files can be written:
// a bake must not end in one that cannot.
func readArtifacts(c *cli.Context) (artifacts, error) {
	for _, name := range []string{"report", "properties", "junit", "html", "sbom"} {
		if path := c.String(name); path != "" && !isDir(filepath.Dir(path)) {
			return artifacts{}, cliapp.Usagef("--%s %s: there is no folder %s", name, path, filepath.Dir(path))
		}
	}
	if c.String("sbom") != "" && len(c.StringSlice("role")) > 1 {
		return artifacts{}, cliapp.Usagef("--sbom is the file of one role, and %d are given: use --report-dir", len(c.StringSlice("role")))
	}
	a := artifacts{c.String("properties"), c.String("junit"), c.String("html"), c.String("sbom"), c.String("report-dir")}
	if a.dir != "" && !isDir(a.dir) {
		return a, cliapp.Usagef("--report-dir %s: there is no such folder", a.dir)
	}
	return a, nil
}

// file is one file to write.
type file struct {
	path   string
	render func() ([]byte, error)
}

// write writes the files of bakes that are over.
func (a artifacts) write(reports []bake.Report) error {
	var failed []error
	for _, f := range append(a.named(reports), a.set(reports)...) {
		if f.path == "" {
			continue
		}
		text, err := f.render()
		if err == nil {
			err = os.WriteFile(f.path, text, 0o644)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("writing %s: %w", f.path, err))
		}
	}
	return fault.New(fault.Unpublished, "the bake itself is over; its result is on stdout", errors.Join(failed...))
}

// named are the files that have a flag each.
func (a artifacts) named(reports []bake.Report) []file {
	all := []file{
		{a.properties, func() ([]byte, error) { return bake.Properties(reports), nil }},
		{a.junit, func() ([]byte, error) { return bake.JUnit(reports) }},
		{a.html, func() ([]byte, error) { return bake.HTML(reports) }},
	}
	if len(reports) == 1 && reports[0].Inventory != nil {
		all = append(all, file{a.sbom, reports[0].Inventory.SBOM})
	}
	return all
}

// set are the files of --report-dir. The SBOM and its like are of a role each,
// and left out where a bake has none.
func (a artifacts) set(reports []bake.Report) []file {
	if a.dir == "" {
		return nil
	}
	in := func(name string) string { return filepath.Join(a.dir, name) }
	all := artifacts{properties: in("bake.properties"), junit: in("junit.xml"), html: in("report.html")}.named(reports)
	all = append(all, file{in("report.json"), func() ([]byte, error) {
		if len(reports) == 1 {
			return reports[0].JSON()
		}
		return bake.AllOf(reports).JSON()
	}})
	for _, r := range reports {
		if r.Inventory != nil {
			all = append(all, file{in(r.Role + ".cdx.json"), r.Inventory.SBOM}, file{in(r.Role + ".inventory.json"), r.Inventory.JSON})
		}
		if r.Changes != nil {
			all = append(all, file{in(r.Role + ".diff.html"), r.Changes.HTML})
		}
	}
	return all
}

// announce prints the lines about a bake that scripts may rely on, on stderr,
// since stdout is the result's.
func (d deps) announce(output cliapp.Output, reports []bake.Report) {
	if output == cliapp.JSON {
		return
	}
	for _, r := range reports {
		if r.ImageID != "" {
			fmt.Fprintf(d.Stderr, "[bake-ami] AMI %s %s\n", r.Region, r.ImageID)
		}
		if r.Cost != nil {
			fmt.Fprintf(d.Stderr, "[bake-ami] %s: %s\n", r.Role, r.Cost.Text())
		}
	}
}

// refused leaves the files of bakes that were refused before they began, so
// that a CI server shows why. The refusal itself is what is returned.
func (d deps) refused(o options, err error) error {
	if err == nil || o.dryRun || !o.wantsFiles() {
		return err
	}
	now := d.now()
	var reports []bake.Report
	for _, in := range o.roles {
		reports = append(reports, bake.Refused(in, o.started, now, err, fault.NextOf(err)))
	}
	if werr := errors.Join(o.writeReport(reports), o.files.write(reports)); werr != nil {
		return fault.New(fault.KindOf(err), fault.NextOf(err), fmt.Errorf("%w; then %w", err, werr))
	}
	return err
}

// wantsFiles says whether any file was asked for.
func (o options) wantsFiles() bool { return o.report != "" || o.files != artifacts{} }

// writeReport writes the file of --report.
func (o options) writeReport(reports []bake.Report) error {
	if o.report == "" {
		return nil
	}
	text, err := bake.AllOf(reports).JSON()
	if len(o.roles) <= 1 && len(reports) == 1 {
		text, err = reports[0].JSON()
	}
	if err == nil {
		err = os.WriteFile(o.report, text, 0o644)
	}
	if err != nil {
		return fault.New(fault.Unpublished, "the bake itself is over; its result is on stdout", fmt.Errorf("writing the report: %w", err))
	}
	return nil
}
