package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// ten is a file whose first apply takes ten writing calls.
const ten = `version: 2
region: us-east-1
groups:
  api:
    capacity: {min: 0, max: 4}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a]}
    policies: {up: {type: ChangeInCapacity, adjustment: 1}, down: {type: ChangeInCapacity, adjustment: -1}}
    alarms: {busy: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 60, policy: up}}
    metrics: [GroupInServiceInstances]
  web:
    capacity: {min: 0, max: 4}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a]}
    policies: {up: {type: ChangeInCapacity, adjustment: 1}}
    schedules: {day: {cron: '0 8 * * *', min: 1}}
`

// writes are the calls since the last look that change something, in order.
func (d *desk) writes() []string {
	var out []string
	for _, c := range d.aws.Calls() {
		if !strings.HasPrefix(c.Action, "Describe") && !strings.HasPrefix(c.Action, "Get") && !strings.HasPrefix(c.Action, "List") {
			out = append(out, c.Action)
		}
	}
	d.aws.Forget()
	return out
}

func TestPermissionDeniedOnTheThirdOfTenCalls(t *testing.T) {
	t.Parallel()
	whole := newDesk(t)
	whole.write(ten)
	whole.want(0, "", "apply", "--yes", "FILE")
	all := whole.writes()
	if len(all) != 10 {
		t.Fatalf("the file takes %d calls: %v", len(all), all)
	}
	d := newDesk(t)
	d.write(ten)
	d.aws.Fail(all[2], "AccessDenied")
	code, out, errs := d.run("apply", "--yes", "--output", "json", "FILE")
	var result struct{ Changes []outcome }
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != 5 {
		t.Fatalf("code %d, %v in\n%s%s", code, err, out, errs)
	}
	counts := map[string]int{}
	for _, c := range result.Changes {
		counts[c.Result]++
		if c.Result == "failed" && !strings.Contains(c.Error, "AccessDenied") {
			t.Errorf("a failure without its cause: %+v", c)
		}
		if c.Group == "web" && c.Result != "done" {
			t.Errorf("the other group did not go on: %+v", c)
		}
	}
	if made := len(d.writes()) - 1; counts["done"] != made || counts["failed"] != 1 || counts["done"]+counts["failed"]+counts["skipped"] != len(result.Changes) || counts["skipped"] == 0 {
		t.Errorf("told as %v, and %d calls took effect", counts, made)
	}
	if !strings.Contains(errs, "docs/iam/autoscalectl.json") || !strings.Contains(errs, "what is done stays done") {
		t.Errorf("nothing says what to do:\n%s", errs)
	}
	d.want(0, "", "apply", "--yes", "FILE")
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
}

func TestEveryCallMayBeDeniedOnce(t *testing.T) {
	t.Parallel()
	whole := newDesk(t)
	whole.write(ten)
	whole.want(0, "", "apply", "--yes", "FILE")
	seen := map[string]int{}
	for n, action := range whole.writes() {
		d := newDesk(t)
		d.write(ten)
		d.aws.Fail(action, append(make([]string, seen[action]), "AccessDenied")...)
		seen[action]++
		d.want(5, "1 failed", "apply", "--yes", "FILE")
		d.want(0, "", "apply", "--yes", "FILE")
		if out := d.want(0, "Nothing to change", "plan", "--exit-code", "FILE"); out == "" {
			t.Errorf("call %d, %s", n, action)
		}
	}
}

func TestAStormOfThrottlingIsSurvived(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.write(ten)
	var pauses time.Duration
	d.sleep = func(_ context.Context, pause time.Duration) error {
		pauses += pause
		return nil
	}
	for _, action := range []string{"CreateLaunchTemplate", "CreateAutoScalingGroup", "PutScalingPolicy", "PutMetricAlarm", "PutScheduledUpdateGroupAction"} {
		d.aws.Fail(action, "Throttling", "RequestLimitExceeded", "Throttling", "Throttling", "Throttling", "", "Throttling")
	}
	d.want(0, "", "apply", "--yes", "FILE")
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
	if pauses < time.Minute {
		t.Errorf("AWS had %s to calm down", pauses)
	}
	d.change("adjustment: -1", "adjustment: -2")
	d.aws.Fail("PutScalingPolicy", strings.Fields(strings.Repeat("Throttling ", 6))...)
	d.want(5, "Throttling", "apply", "--yes", "FILE")
}

func TestWarningsAreOnThePage(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.change("    hooks: {}\n", "    hooks: {}\n    mixed: {on_demand_base: 1, types: [t3.small]}\n")
	out := d.want(0, "warning", "plan", "FILE")
	page := d.file + ".html"
	d.want(0, "", "plan", "--html", page, "FILE")
	var warning string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "warning") {
			warning = line
		}
	}
	if warning == "" {
		t.Fatalf("there is no warning in\n%s", out)
	}
	if html := read(t, page); !strings.Contains(html, `class="warn"`) {
		t.Errorf("the page has no warnings, the plan has %s", warning)
	}
}

func TestWithoutAnAnswerTheErrorSaysFromWhom(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.url = "http://127.0.0.1:1"
	for _, args := range [][]string{{"plan", "FILE"}, {"apply", "--yes", "FILE"}, {"status", "FILE"}, {"prune", "FILE"}, {"refresh", "web", "FILE"}, {"destroy", "--region", "us-east-1", "web"}, {"import", "--region", "us-east-1", "web"}} {
		code, _, errs := d.run(args...)
		if code != 5 || strings.Count(errs, "\n") > 3 || !strings.Contains(errs, "no answer from http://127.0.0.1:1/") || strings.Contains(errs, "StatusCode") || !strings.Contains(errs, "next: check that the region's endpoint can be reached") {
			t.Errorf("%v ends with %d:\n%s", args, code, errs)
		}
	}
}

func TestWithoutRightsTheErrorSaysWhichFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		action string
		args   []string
	}{
		{"DescribeAutoScalingGroups", []string{"plan", "FILE"}}, {"DescribeLaunchTemplateVersions", []string{"plan", "FILE"}}, {"DescribeScalingActivities", []string{"status", "FILE"}},
		{"DescribeInstanceRefreshes", []string{"refresh", "--replace-all", "web", "FILE"}}, {"StartInstanceRefresh", []string{"refresh", "--replace-all", "--yes", "web", "FILE"}}, {"DescribeAlarms", []string{"destroy", "--region", "us-east-1", "web"}},
	} {
		d := newDesk(t)
		d.want(0, "", "apply", "--yes", "FILE")
		d.aws.Fail(c.action, "AccessDenied")
		if code, _, errs := d.run(c.args...); code != 5 || !strings.Contains(errs, "AccessDenied") || !strings.Contains(errs, "docs/iam/autoscalectl.json") {
			t.Errorf("%s denied to %v: %d\n%s", c.action, c.args, code, errs)
		}
	}
}
