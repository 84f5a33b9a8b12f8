package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

func TestRefusalsAreOneLineWithANextStep(t *testing.T) {
	t.Parallel()
	for args, says := range map[string]string{
		"run":                            "--once or --every",
		"run --once --every 5m":          "--once or --every",
		"run --every 1s":                 "15s or more",
		"plan extra":                     "extra",
		"explain":                        "NODE",
		"plan --grace 1m":                "min_age",
		"plan --max-percent 0":           "max_percent",
		"plan --state s3://BAD_/x":       "--state",
		"plan --state x --saves http://": "--saves",
		"undo --hold 0s":                 "--hold",
		"plan --output yaml":             "--output",
		"plan --state x --chef-key nope": "chef",
	} {
		var stdout, stderr strings.Builder
		p := cliapp.Process{Args: append([]string{"chef-reaper"}, strings.Fields(args)...), Stdout: &stdout, Stderr: &stderr,
			Getenv: func(string) string { return "/nowhere" }}
		d := deps{Process: p, world: connect, now: time.Now, config: func(string, bool) (config.Config, error) { return config.Config{}, nil }}
		code := cliapp.Run(context.Background(), p, newApp(d), nil)
		if code != 2 || stdout.Len() > 0 || !strings.Contains(stderr.String(), says) || strings.Count(stderr.String(), "\n") > 5 {
			t.Errorf("%s: exit %d, want 2:\n%s%s", args, code, stdout.String(), stderr.String())
		}
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	t.Parallel()
	file := config.Config{Region: "eu-west-1", Reaper: config.Reaper{MinAge: time.Minute, MaxPercent: 5, MinLive: "0", Regions: []string{"us-east-1", "eu-west-1"}}}
	var got options
	p := cliapp.Process{Args: strings.Fields("chef-reaper plan --max-percent 50 --state /s"), Stdout: &strings.Builder{}, Stderr: &strings.Builder{}, Getenv: func(string) string { return "" }}
	d := deps{Process: p, config: func(string, bool) (config.Config, error) { return file, nil },
		world: func(_ context.Context, o options) (world, error) {
			got = o
			return world{}, fault.Newf(fault.Check, "", "seen enough")
		}}
	cliapp.Run(context.Background(), p, newApp(d), nil)
	if got.policy.MaxPercent != 50 || got.policy.MinAge != time.Minute || got.policy.MinLive != 0 || got.saves != "/s" || len(got.regions) != 2 {
		t.Errorf("options are %+v", got)
	}
}
