package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/autoscale"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/test/asg"
)

// desk is the tool on a service of its own.
type desk struct {
	t        *testing.T
	aws      *asg.Service
	url      string
	file     string
	terminal bool
	answer   string
	colors   bool
	env      map[string]string
	signals  chan os.Signal
	now      func() time.Time
	sleep    func(context.Context, time.Duration) error
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, aws: asg.New(time.Now), file: filepath.Join(t.TempDir(), "autoscale.yaml"), now: time.Now, sleep: sleep,
		signals: make(chan os.Signal, 1)}
	d.aws.AddImage(asg.Image{ID: "ami-1", Created: time.Now()})
	server := httptest.NewServer(d.aws)
	t.Cleanup(server.Close)
	d.url = server.URL
	d.write(sample)
	return d
}

const sample = `version: 2
region: us-east-1
owner: shop
groups:
  web:
    capacity: {min: 1, max: 4}
    launch: {image: ami-1, type: t3.small, user_data: "#!/bin/sh\necho one\n"}
    network: {zones: [us-east-1a]}
    policies: {up: {type: ChangeInCapacity, adjustment: 1}}
    alarms: {busy: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 300, policy: up}}
    hooks: {}
    notifications: {}
    schedules: {}
`

func (d *desk) write(text string) {
	d.t.Helper()
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) world(context.Context, awscfg.Options) (autoscale.World, error) {
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &d.url, HTTPClient: &asg.Client{}, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")}
	return autoscale.World{Groups: as.NewFromConfig(cfg), EC2: ec2.NewFromConfig(cfg), Alarms: cloudwatch.NewFromConfig(cfg), Balancers: elbv2.NewFromConfig(cfg),
		Parameters: ssm.NewFromConfig(cfg), Now: d.now, Sleep: d.sleep}, nil
}

// run runs the tool; FILE in args stands for the file.
func (d *desk) run(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	for i, a := range args {
		if a == "FILE" {
			args[i] = d.file
		}
	}
	var out, errs bytes.Buffer
	p := cliapp.Process{Args: withDefault(append([]string{"autoscalectl"}, args...)), Stdin: strings.NewReader(d.answer), Stdout: &out, Stderr: &errs,
		Getenv: func(name string) string { return d.env[name] }}
	app := newApp(deps{Process: p, world: d.world, terminal: func() bool { return d.terminal }, colors: func() bool { return d.colors },
		size: func() (int, int) { return 80, 24 }, now: d.now})
	code = cliapp.Run(context.Background(), p, app, d.signals)
	return code, out.String(), errs.String()
}

// want runs the tool and demands a code and a text on either stream.
func (d *desk) want(code int, text string, args ...string) string {
	d.t.Helper()
	got, out, errs := d.run(args...)
	if got != code || !strings.Contains(out+errs, text) {
		d.t.Errorf("autoscalectl %v: code %d, want %d and %q in\n%s%s", args, got, code, text, out, errs)
	}
	return out
}

func TestTheWholeWay(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want(0, "valid (version 2, region us-east-1, 1 group)", "validate", "FILE")
	d.want(0, "does not exist", "status", "FILE")
	d.want(10, "the plan has 4 changes", "plan", "--exit-code", "FILE")
	d.want(2, "there is no terminal to ask on", "FILE")
	d.terminal, d.answer = true, "n\n"
	d.want(2, "nothing was changed", "FILE")
	d.answer = "y\n"
	d.want(0, "create group web: the group does not exist", "FILE")
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
	d.write(strings.Replace(sample, "echo one", "echo two", 1))
	out := d.want(0, "        - echo one\n        + echo two\n", "plan", "FILE")
	if !strings.Contains(out, "launch.version: 1 -> 2") {
		t.Errorf("the new version's number is missing in\n%s", out)
	}
	d.want(0, "", "apply", "--yes", "FILE")
	imported := d.want(0, "user_data: |", "import", "--region", "us-east-1", "web")
	d.write(imported)
	d.want(0, "Nothing to change", "plan", "FILE")
	d.want(0, "", "destroy", "--yes", "--region", "us-east-1", "web")
	d.want(4, "there is no such group", "import", "--region", "us-east-1", "web")
}

func TestPlanAndApplySpeakJSON(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	var plan autoscale.Plan
	if err := json.Unmarshal([]byte(d.want(0, "", "plan", "--output", "json", "FILE")), &plan); err != nil || len(plan.Changes) != 4 || plan.Changes[0].Reason == "" {
		t.Errorf("the plan in JSON has %d changes: %v", len(plan.Changes), err)
	}
	var result struct{ Changes []outcome }
	if err := json.Unmarshal([]byte(d.want(0, "", "apply", "--yes", "--output", "json", "FILE")), &result); err != nil || len(result.Changes) != 4 || result.Changes[3].Result != "done" {
		t.Errorf("the result in JSON is %+v: %v", result, err)
	}
	if out := d.want(0, "", "plan", "--output", "json", "FILE"); out != "{\n  \"changes\": []\n}\n" {
		t.Errorf("an empty plan is %s", out)
	}
}

func TestAFailureHalfwayIsTold(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.aws.Fail("PutScalingPolicy", "AccessDenied")
	d.want(5, "2 of 4 changes done, 1 failed, 1 not tried", "apply", "--yes", "FILE")
	d.want(0, "", "apply", "--yes", "FILE")
	d.want(0, "Nothing to change", "plan", "FILE")
}

func TestPruneSaysWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write(strings.Replace(strings.Replace(sample, "  web:", "  other:", 1), "owner: shop", "owner: else", 1))
	d.want(0, "", "apply", "--yes", "FILE")
	d.write(sample)
	d.want(0, "", "apply", "--yes", "FILE")
	d.want(0, "not ours, left alone: other (owner else)", "prune", "--yes", "FILE")
	d.write(strings.Replace(sample, "  web:", "  new:", 1))
	d.want(4, "1 of 1 groups of owner shop would go", "prune", "--yes", "FILE")
	d.want(0, "delete group web", "prune", "--yes", "--max-share", "1", "FILE")
}

func TestUpgradeAndRefusals(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write("groups: {web: {min_size: 0, max_size: 1, ami: ami-1, instance_type: t3.nano, zones: [us-west-1a]}}\n")
	d.want(0, "the format of 2013, region us-west-1", "validate", "FILE")
	d.write(d.want(0, "version: 2", "upgrade", "FILE"))
	d.want(0, "valid (version 2, region us-west-1", "validate", "FILE")
	d.write(strings.Replace(sample, "max: 4", "mx: 4", 1))
	d.want(2, `autoscale.yaml:6:24: unknown key "mx" in groups.web.capacity`, "validate", "FILE")
	d.want(2, "there is no ./none.yaml", "./none.yaml")
	d.want(2, "unknown command \"plam\"", "plam")
	d.want(2, "missing --region", "import", "web")
	d.want(2, "missing argument GROUP", "import", "--region", "us-east-1")
	if len(d.aws.Calls()) != 0 {
		t.Errorf("refusals asked AWS: %v", d.aws.Calls())
	}
}
