package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// runCatalog runs the tool up to the point where it would talk to AWS.
func runCatalog(t *testing.T, file config.Config, args ...string) (r ran, got *catalogOptions) {
	t.Helper()
	var out, errs bytes.Buffer
	p := cliapp.Process{Args: append([]string{"bake-ami"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }}
	d := deps{Process: p, now: time.Now, config: func(string, bool) (config.Config, error) { return file, nil },
		catalog: func(_ context.Context, o catalogOptions) (catalog, error) { got = &o; return catalog{}, errEnough }}
	r.code = cliapp.Run(t.Context(), p, newApp(d), nil)
	r.stdout, r.stderr = out.String(), errs.String()
	return r, got
}

func TestCommandsAboutImagesRefuseBadInputBeforeAnyCall(t *testing.T) {
	t.Parallel()
	here := config.Config{Region: "eu-west-1"}
	for line, want := range map[string]string{
		"prune":                            "--role",
		"prune --keep 3":                   "--role",
		"prune --role web":                 "--keep N",
		"prune --role web --keep -1":       "--keep -1",
		"prune --role web --keep x":        "invalid value",
		"prune --role web --older-than 30": "90d",
		"prune --role web --keep 1 --template-versions -1": "--template-versions",
		"prune --role web --keep 1 extra":                  "unexpected argument",
		"list ami-1":                                       "unexpected argument",
		"list --region a --region a":                       "given twice",
		"list --output yaml":                               "--output",
		"show":                                             "missing argument AMI",
		"show web":                                         "no image id",
		"publish":                                          "missing argument AMI",
		"publish ami-1":                                    "nothing says where",
		"publish ami-1 --publish-ssm /aws/x":               "AWS's own",
		"publish ami-1 --publish-ssm a/b":                  "begins with /",
		"publish ami-1 --launch-template-default --publish-ssm /x": "--launch-template-default",
		"publish ami-1 --publish-launch-template ab":               "neither id nor name",
		"publish ami-1 --deprecate-predecessors soon":              "90d",
		"resume x":                    "no bake id",
		"resume --state-dir /nowhere": "no bake that can be resumed",
		"resume " + someBake + " --state-dir /nowhere": "its journal is not in",
	} {
		r, got := runCatalog(t, here, strings.Fields(line)...)
		if r.code != 2 || got != nil || !strings.Contains(r.stderr, want) || strings.Count(r.stderr, "\n") > 5 {
			t.Errorf("%s: exit %d, connected %v:\n%s", line, r.code, got != nil, r.stderr)
		}
	}
	if r, got := runCatalog(t, config.Config{}, "list"); r.code != 2 || got != nil || !strings.Contains(r.stderr, "--region") {
		t.Errorf("no region: exit %d\n%s", r.code, r.stderr)
	}
}

func TestCommandsAboutImagesReadFlagsAndFile(t *testing.T) {
	t.Parallel()
	file := config.Config{Region: "eu-west-1", Image: config.Image{PublishSSM: []string{"/ami/web"}, DeprecatePredecessors: "now"}}
	if _, got := runCatalog(t, file, "publish", "ami-1"); got == nil || got.image != "ami-1" || got.regions[0] != "eu-west-1" {
		t.Errorf("publish by the file's keys alone: %+v", got)
	}
	if _, got := runCatalog(t, file, "list", "--region", "a", "--region", "b"); got == nil || len(got.regions) != 2 {
		t.Errorf("two regions: %+v", got)
	}
}
