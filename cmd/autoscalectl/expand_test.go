package main

import (
	"encoding/json"
	"strings"
	"testing"

	"bakehouse/autoscale"
	"bakehouse/test/asg"
)

// modes is a file with each mode and each short form.
const modes = `version: 2
region: us-east-1
owner: shop
defaults:
  launch: {image: ami-1, type: t3.small, monitoring: true}
  network: {zones: [us-east-1a, us-east-1b]}
groups:
  api:
    capacity: {mode: mixed, min: 2, max: 10, on_demand_base: 1}
    mixed: {types: [t3.small, t3a.small]}
    load_balancing: {target_groups: ['arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/api/0123456789abcdef']}
    policies:
      load: {requests_per_target: {target: 1000}}
      slow: {latency: {target: 0.5}}
  cron:
    capacity: {mode: on_demand, min: 1, max: 2, headroom: 50}
    schedules: {office: {hours: {from: '08:00', to: '18:00', days: MON-FRI}, time_zone: Europe/Berlin, min: 2}}
  jobs:
    capacity: {mode: backstop, min: 2, max: 12, on_demand_base: 2, headroom: 20}
    policies: {jobs: {queue: {name: jobs, latency: 60, seconds_per_message: 2}}}
`

func newModes(t *testing.T) *desk {
	d := newDesk(t)
	d.aws.AddTargetGroup(asg.TargetGroup{Name: "api", ID: "0123456789abcdef", LoadBalancers: []string{"app/shop/fedcba9876543210"}})
	d.write(modes)
	return d
}

func TestEveryModeAndShortFormIsAppliedOnce(t *testing.T) {
	t.Parallel()
	d := newModes(t)
	d.want(0, "jobs-backstop (the on-demand half of jobs)", "apply", "--yes", "FILE")
	out := d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
	if !strings.Contains(out, "promise: jobs (backstop): shortfall at most") {
		t.Errorf("a plan promises nothing:\n%s", out)
	}
	d.want(0, "jobs-backstop", "status", "jobs", "--region", "us-east-1")
	d.want(0, "", "prune", "--yes", "FILE")
	// The expanded file is another way to say the same.
	d.write(d.want(0, "part_of: jobs", "expand", "FILE"))
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE")
	// One name takes both halves away.
	out = d.want(0, "5 changes in 1 group: 5 gone", "destroy", "--yes", "--region", "us-east-1", "jobs")
	if !strings.Contains(out, "jobs (its spot half)") {
		t.Errorf("destroy does not say what it takes:\n%s", out)
	}
	d.write(modes)
	d.want(10, "create group jobs-backstop", "plan", "--exit-code", "FILE")
}

func TestExpandSaysWhatItCannotWrite(t *testing.T) {
	t.Parallel()
	d := newModes(t)
	out := d.want(0, "# a plan collects GroupDesiredCapacity, GroupInServiceCapacity, GroupPendingCapacity of jobs: policies down (alarm excess) and up (alarm shortfall) of jobs-backstop need Group", "expand", "--group", "jobs", "FILE")
	if strings.Contains(out, "api") || !strings.Contains(out, "# promise: jobs (backstop)") {
		t.Errorf("one group of the file:\n%s", out)
	}
	d.want(2, "has no such group", "expand", "--group", "none", "FILE")
	if len(d.aws.Calls()) != 0 {
		t.Errorf("expanding asked AWS: %v", d.aws.Calls())
	}
}

func TestWarningsAreShownAndInJSON(t *testing.T) {
	t.Parallel()
	d := newModes(t)
	const few = "api: mixed.types: 4 spot pools"
	d.want(0, "autoscale.yaml:10:13: warning: "+few, "validate", "FILE")
	d.want(0, few, "plan", "FILE")
	// The queue reports nothing here, which only AWS can say.
	d.want(0, "warning: jobs: policies.jobs.track: AWS/SQS ApproximateNumberOfMessagesVisible {QueueName=jobs}: no data in the last 15 minutes", "plan", "FILE")
	d.aws.SetMetric(asg.Metric{Namespace: "AWS/SQS", Name: "ApproximateNumberOfMessagesVisible", Dimensions: map[string]string{"QueueName": "jobs"}}, 0)
	var plan autoscale.Plan
	if err := json.Unmarshal([]byte(d.want(0, "", "plan", "--output", "json", "FILE")), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Warnings) != 2 || plan.Warnings[0].Line != 10 || len(plan.Promises) != 2 || plan.Promises[0].Seconds != 240 {
		t.Errorf("in JSON: %+v, %+v", plan.Warnings, plan.Promises)
	}
	var valid struct{ Warnings []autoscale.Warning }
	if err := json.Unmarshal([]byte(d.want(0, "", "validate", "--output", "json", "FILE")), &valid); err != nil || len(valid.Warnings) != 2 {
		t.Errorf("validate in JSON: %+v, %v", valid, err)
	}
}
