package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

func TestTheFilesForJenkinsAreWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := artifacts{filepath.Join(dir, "p"), filepath.Join(dir, "j"), filepath.Join(dir, "h")}
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
	for _, flag := range []string{"--properties", "--junit", "--html", "--report"} {
		r := run(t, config.Config{}, nil, "--role", "web", flag, "/no/such/folder/f")
		if r.code != 2 || r.got != nil || !strings.Contains(r.stderr, flag) {
			t.Errorf("%s: exit %d\n%s", flag, r.code, r.stderr)
		}
	}
}
