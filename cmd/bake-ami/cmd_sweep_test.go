package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

const someBake = "01JD0000000000000000000000"

// runSweep runs the tool up to the point where a sweep would talk to the world.
func runSweep(t *testing.T, file config.Config, env map[string]string, args ...string) (r ran, got *sweepOptions) {
	t.Helper()
	var out, errs bytes.Buffer
	p := cliapp.Process{Args: append([]string{"bake-ami"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(k string) string { return env[k] }}
	d := deps{Process: p, now: time.Now, config: func(string, bool) (config.Config, error) { return file, nil },
		sweeper: func(_ *cli.Context, o sweepOptions) (bake.Sweeper, error) { got = &o; return bake.Sweeper{}, errEnough }}
	r.code = cliapp.Run(t.Context(), p, newApp(d), nil)
	r.stdout, r.stderr = out.String(), errs.String()
	return r, got
}

func TestSweepReadsItsSettings(t *testing.T) {
	t.Parallel()
	file := config.Config{Region: "eu-west-1", Chef: config.Chef{ServerURL: "http://c", ClientName: "me", ClientKey: "/k"}}
	for _, c := range []struct {
		args    []string
		env     map[string]string
		regions string
		bake    string
	}{
		{[]string{"sweep"}, nil, "eu-west-1", ""},
		{[]string{"sweep"}, map[string]string{"AWS_REGION": "us-west-2"}, "us-west-2", ""},
		{[]string{"sweep", "--region", "a", "--region", "b", "--no-chef", "-n"}, map[string]string{"AWS_REGION": "us-west-2"}, "a b", ""},
		{[]string{"abort", someBake, "--region", "a"}, nil, "a", someBake},
	} {
		r, got := runSweep(t, file, c.env, c.args...)
		if got == nil {
			t.Errorf("%v: exit %d: %s", c.args, r.code, r.stderr)
			continue
		}
		if strings.Join(got.regions, " ") != c.regions || got.bake != c.bake || got.keyFile != "/k" {
			t.Errorf("%v: %+v", c.args, got)
		}
	}
}

func TestSweepRefusesBadUsage(t *testing.T) {
	t.Parallel()
	chef := config.Config{Chef: config.Chef{ServerURL: "http://c", ClientName: "me", ClientKey: "/k"}}
	for _, c := range []struct {
		file config.Config
		args []string
		says string
	}{
		{chef, []string{"abort"}, "BAKE-ID"},
		{chef, []string{"abort", "web"}, "no bake id"},
		{chef, []string{"abort", strings.ToLower(someBake)}, "no bake id"},
		{chef, []string{"sweep", someBake}, "unexpected argument"},
		{chef, []string{"sweep", "--older-than", "3d"}, "--older-than"},
		{config.Config{}, []string{"sweep"}, "Chef server"},
	} {
		r, got := runSweep(t, c.file, nil, c.args...)
		if r.code != 2 || got != nil || !strings.Contains(r.stderr, c.says) || strings.Count(r.stderr, "\n") > 5 {
			t.Errorf("%v: exit %d, want 2 and %q:\n%s", c.args, r.code, c.says, r.stderr)
		}
	}
}
