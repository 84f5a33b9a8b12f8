package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/bake"
	"bakehouse/bake/cost"
	"bakehouse/bake/inventory"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

func TestTheFilesForJenkinsAreWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := artifacts{properties: filepath.Join(dir, "p"), junit: filepath.Join(dir, "j"), html: filepath.Join(dir, "h")}
	var out, errs bytes.Buffer
	d := deps{Process: cliapp.Process{Stdout: &out, Stderr: &errs}}
	if err := d.finish(options{files: a}, bake.Report{ImageID: "ami-1", Region: "us-east-1", Role: "web"}, nil); err != nil {
		t.Fatal(err)
	}
	if errs.String() != "[bake-ami] AMI us-east-1 ami-1\n" || out.String() != "ami-1\n" {
		t.Errorf("stderr %q, stdout %q", errs.String(), out.String())
	}
	for path, want := range map[string]string{a.properties: "BAKE_AMI_ID=ami-1\n", a.junit: "<testsuite name=\"bake-ami web\"", a.html: "ami-1"} {
		if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v\n%s", path, err, b)
		}
	}
	errs.Reset()
	a.junit = filepath.Join(dir, "no", "such")
	err := d.finish(options{files: a, output: cliapp.JSON}, bake.Report{ImageID: "ami-1"}, nil)
	if fault.KindOf(err) != fault.Unpublished || errs.Len() > 0 {
		t.Errorf("a file that cannot be written is %v; stderr with --output json: %q", err, errs.String())
	}
}

func TestFilesThatCannotBeWrittenAreRefusedFirst(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--properties", "--junit", "--html", "--report", "--sbom", "--report-dir"} {
		r := run(t, config.Config{}, nil, "--role", "web", flag, "/no/such/folder/f")
		if r.code != 2 || r.got != nil || !strings.Contains(r.stderr, flag) {
			t.Errorf("%s: exit %d\n%s", flag, r.code, r.stderr)
		}
	}
}

// held is a small inventory.
func held(bake, nginx string) inventory.Inventory {
	return inventory.Inventory{BakeID: bake, Role: "web", Facts: inventory.Facts{OS: inventory.OS{ID: "ubuntu"}, Arch: "amd64",
		Packages: []inventory.Package{{Name: "nginx", Version: nginx, Arch: "amd64"}}}}
}

func TestAReportFolderHoldsTheWholeSet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	was, now := held("A", "1.0"), held("B", "1.1")
	diff := inventory.Compare(inventory.Named{Label: "ami-1", Inventory: was}, inventory.Named{Label: "ami-2", Inventory: now})
	var out, errs bytes.Buffer
	d := deps{Process: cliapp.Process{Stdout: &out, Stderr: &errs}}
	web := bake.Report{ImageID: "ami-2", Region: "us-east-1", Role: "web", Result: "done", Inventory: &now, Changes: &diff, Cost: &cost.Estimate{AsOf: "2025-01", Currency: "USD", Lines: []cost.Line{{What: "builder"}}}}
	if err := d.finishAll(options{files: artifacts{dir: dir}, roles: make([]bake.Inputs, 2)}, bake.AllOf([]bake.Report{web, {Role: "db", Result: "failed"}}), nil); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"bake.properties", "junit.xml", "report.html", "report.json", "web.cdx.json", "web.diff.html", "web.inventory.json"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, %v", names, err)
	}
	if !strings.Contains(errs.String(), "[bake-ami] web: cost about 0.0000 USD once") {
		t.Errorf("stderr: %s", errs.String())
	}
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil || !strings.Contains(string(b), `"result": "failed",`) {
		t.Errorf("report.json: %v", err)
	}
}

func TestARefusalLeavesItsReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out, errs bytes.Buffer
	p := cliapp.Process{Args: []string{"bake-ami", "--role", "web", "--report-dir", dir, "--report", filepath.Join(dir, "r")}, Stdin: strings.NewReader(""),
		Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	d := deps{Process: p, now: time.Now, config: func(string, bool) (config.Config, error) { return config.Config{}, nil },
		world: func(context.Context, *options) (bake.World, error) {
			return bake.World{}, fault.Newf(fault.Chef, "upload the role", "looking for role web: no")
		}}
	if code := cliapp.Run(t.Context(), p, newApp(d), nil); code != 3 || !strings.Contains(errs.String(), "no") {
		t.Errorf("exit %d: %s", code, errs.String())
	}
	for name, want := range map[string]string{"r": `"result": "refused"`, "report.json": `"next": "upload the role"`, "junit.xml": `failures="1"`,
		"bake.properties": "BAKE_RESULT=refused\n", "report.html": "looking for role web: no"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
	var r bake.Report
	b, err := os.ReadFile(filepath.Join(dir, "r"))
	if err != nil || json.Unmarshal(b, &r) != nil || r.Role != "web" || r.Inventory != nil {
		t.Errorf("%v %+v", err, r)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 5 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestContradictoryFilesAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--role", "a", "--role", "b", "--sbom", filepath.Join(t.TempDir(), "s")}, {"--role", "a", "--inventory", "bucket"}, {"--role", "a", "--inventory", "s3://B_"}} {
		if r := run(t, config.Config{}, nil, args...); r.code != 2 || r.got != nil || !strings.Contains(r.stderr, args[len(args)-2]) {
			t.Errorf("%v: exit %d\n%s", args, r.code, r.stderr)
		}
	}
	r := run(t, config.Config{Image: config.Image{Inventory: "s3://bkt/p"}}, nil, "--role", "a")
	if r.got == nil || r.got.bucket.String() != "s3://bkt/p" || !r.got.in.InventoryInS3 {
		t.Errorf("the file's bucket: exit %d %+v\n%s", r.code, r.got, r.stderr)
	}
}
