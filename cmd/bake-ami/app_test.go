package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

// ran is how one run ended.
type ran struct {
	code           int
	stdout, stderr string
	got            *options // what the world was asked for; nil: it was not
}

var errEnough = errors.New("seen enough")

// run runs the tool up to the point where it would talk to the world.
func run(t *testing.T, file config.Config, env map[string]string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	var r ran
	p := cliapp.Process{Args: append([]string{"bake-ami"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(k string) string { return env[k] }}
	d := deps{Process: p, now: time.Now, config: func(string, bool) (config.Config, error) { return file, nil },
		world: func(_ context.Context, o *options) (bake.World, error) { r.got = o; return bake.World{}, errEnough }}
	r.code = cliapp.Run(t.Context(), p, newApp(d), nil)
	r.stdout, r.stderr = out.String(), errs.String()
	return r
}

func TestNothingToBakeIsSaidFirst(t *testing.T) {
	t.Parallel()
	r := run(t, config.Config{}, nil)
	if r.code != 2 || r.got != nil || !strings.Contains(r.stderr, "no role is named") || !strings.Contains(r.stderr, "--role NAME") {
		t.Errorf("exit %d, asked the world %v: %s", r.code, r.got != nil, r.stderr)
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	t.Parallel()
	file := config.Config{Region: "eu-west-1", Chef: config.Chef{ServerURL: "http://file", ClientName: "me", ClientKey: "/k", ValidatorKey: "ssm:/v"},
		Bake:  config.Bake{InstanceType: []string{"m5.large"}, Subnet: []string{"tag:a=b"}, Spot: true, Encrypt: true, Timeout: 30 * time.Minute, Tags: map[string]string{"team": "a"}, RootVolumeGB: 20},
		Agent: config.Agent{Environment: map[string]string{"HTTPS_PROXY": "p"}, NodePrefix: "n-", Tags: []string{"blue"}},
		Apps:  map[string]config.App{"shop": {Roles: []string{"web"}, Bucket: "b", Channel: "production", PublicKeys: []string{"ed25519:file"}}}}
	r := run(t, file, map[string]string{"JOB_NAME": "j", "XDG_STATE_HOME": "/s"}, "--role", "web", "--instance-type", "c5.large", "--tag", "x=y=z", "--instance-type", "c5a.large", "--spot=false", "--root-volume-type", "gp3", "--root-volume-iops", "4000", "--metadata-hop-limit", "2", "--public-key", "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if r.got == nil {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	in := r.got.in
	for what, pair := range map[string][2]any{
		"instance types": {strings.Join(in.InstanceTypes, " "), "c5.large c5a.large"}, "subnet": {in.Subnets[0], "tag:a=b"}, "spot": {in.Spot, false},
		"disk": {in.Disk, bake.Disk{Type: "gp3", IOPS: 4000, Encrypted: true}}, "metadata": {in.Metadata, bake.Metadata{HopLimit: 2}}, "region": {in.Region, "eu-west-1"}, "timeout": {in.Timeout, 30 * time.Minute},
		"expire after": {in.ExpireAfter, bake.DefaultExpireAfter}, "volume": {in.RootVolumeGB, 20}, "server": {in.ChefServerURL, "http://file"},
		"tag of the file": {in.Tags["team"], "a"}, "tag": {in.Tags["x"], "y=z"}, "job": {in.CI["JOB_NAME"], "j"},
		"state": {r.got.stateDir, "/s/bakehouse"}, "client": {r.got.client, "me"}, "proxy": {in.AgentEnv["HTTPS_PROXY"], "p"},
		"bucket": {in.Agent.App.Bucket, "b"}, "app": {in.Agent.App.Name, "shop"}, "key": {strings.Join(in.Agent.App.PublicKeys, " "), "ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}, "prefix": {in.Agent.Chef.NodePrefix, "n-"}, "tags": {strings.Join(in.Agent.Chef.Tags, " "), "blue"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestARolesOwnSettingsHoldForItAlone(t *testing.T) {
	t.Parallel()
	file := config.Config{Chef: config.Chef{ServerURL: "http://file"}, Where: map[string]string{"roles.db.bake.instance_type": "f:1:1"},
		Bake: config.Bake{InstanceType: []string{"t3.small"}}, Roles: map[string]config.Role{"db": {Bake: config.Bake{InstanceType: []string{"r7i.large"}}}}}
	for role, want := range map[string]string{"web": "t3.small", "db": "r7i.large"} {
		if r := run(t, file, nil, "--role", role); r.got == nil || r.got.in.InstanceTypes[0] != want {
			t.Errorf("role %s: exit %d, %+v\n%s", role, r.code, r.got, r.stderr)
		}
	}
}

func TestSeveralRolesHaveOneReport(t *testing.T) {
	t.Parallel()
	r := run(t, config.Config{}, nil, "--role", "web", "--role", "db")
	if r.got == nil || len(r.got.roles) != 2 || r.got.roles[1].Role != "db" {
		t.Fatalf("exit %d: %+v\n%s", r.code, r.got, r.stderr)
	}
	var out bytes.Buffer
	d := deps{Process: cliapp.Process{Stdout: &out, Stderr: &bytes.Buffer{}}}
	o := options{report: filepath.Join(t.TempDir(), "report.json")}
	reports := bake.Reports{Bakes: []bake.Report{{Role: "web", ImageID: "ami-1"}, {Role: "db"}}}
	failed := fault.Newf(fault.Chef, "", "x")
	if err := d.finishAll(o, reports, failed); !errors.Is(err, failed) || out.String() != "web ami-1\n" {
		t.Errorf("%v, stdout %q", err, out.String())
	}
	b, err := os.ReadFile(o.report)
	var got bake.Reports
	if err != nil || json.Unmarshal(b, &got) != nil || len(got.Bakes) != 2 {
		t.Errorf("report file: %v %s", err, b)
	}
	for _, args := range [][]string{{"--role", "web", "--role", "web"}, {"--role", "web,db", "--image-name", "fixed"}, {"config", "--role", "a,b"}} {
		if r := run(t, config.Config{}, nil, args...); r.code != 2 || r.got != nil {
			t.Errorf("%v: exit %d, %s", args, r.code, r.stderr)
		}
	}
}

func TestUsageErrorsAreShort(t *testing.T) {
	t.Parallel()
	two := config.Config{Apps: map[string]config.App{"a": {Roles: []string{"web"}, AllowUnsigned: true}, "b": {Roles: []string{"web"}}, "c": {Roles: []string{"keyless"}}}}
	for _, args := range [][]string{{"--bogus"}, {"web"}, {"--role", "web", "--tag", "x"}, {"--role", "web"}, {"--role", "keyless"}, {"--output", "xml"},
		{"--role", "web", "--root-volume-gb", "big"}, {"--role", "web", "--report", "/no/such/folder/r.json"}} {
		r := run(t, two, nil, args...)
		if r.code != 2 || strings.Count(r.stderr, "\n") > 5 || r.stdout != "" || r.got != nil {
			t.Errorf("%v: exit %d, world asked: %v\n%s", args, r.code, r.got != nil, r.stderr)
		}
	}
}

func TestHelpTellsEveryExitCode(t *testing.T) {
	t.Parallel()
	r := run(t, config.Config{}, nil, "--help")
	if r.code != 0 || !strings.Contains(r.stdout, fault.Help()) {
		t.Errorf("exit %d, help:\n%s", r.code, r.stdout)
	}
}

func TestTheImageIsPrintedAlsoWhenTheCleanUpIsIncomplete(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	d := deps{Process: cliapp.Process{Stdout: &out, Stderr: &bytes.Buffer{}}}
	path := filepath.Join(t.TempDir(), "report.json")
	failed := fault.Newf(fault.Leftover, "", "x")
	if err := d.finish(options{report: path}, bake.Report{ImageID: "ami-1"}, failed); !errors.Is(err, failed) || out.String() != "ami-1\n" {
		t.Errorf("%v, stdout %q", err, out.String())
	}
	b, err := os.ReadFile(path)
	var report bake.Report
	if err != nil || json.Unmarshal(b, &report) != nil || report.ImageID != "ami-1" {
		t.Errorf("report file: %v %s", err, b)
	}
	out.Reset()
	if err := d.finish(options{output: cliapp.JSON}, bake.Report{Result: "failed"}, failed); !errors.Is(err, failed) || !json.Valid(out.Bytes()) {
		t.Errorf("%v, stdout %q", err, out.String())
	}
}
