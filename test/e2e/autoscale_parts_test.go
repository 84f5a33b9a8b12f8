//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// partsFile has two groups without instances; its arguments are the type and
// the parts that both have.
const partsFile = `version: 2
region: us-east-1
defaults:
  capacity: {min: 0, max: 0}
  launch: {image: 'ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id', type: %s}
  network: {zones: [us-east-1a]}
%s
groups:
  parts-a: {}
  parts-b: {}
`

// everyPart is all that a group may have beside its own fields.
const everyPart = `  load_balancing:
    classic: [front]
    target_groups: ['arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/parts/0123456789abcdef']
    traffic_sources: ['arn:aws:vpc-lattice:us-east-1:123456789012:targetgroup/tg-0123456789abcdef0']
  tags: {Team: shop}
  policies:
    up: {type: ChangeInCapacity, adjustment: 1}
    queue: {track: {target: 10, namespace: parts, metric: backlog, statistic: Average}}
  alarms:
    hot: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 300, policy: up, ok_actions: ['arn:aws:sns:us-east-1:123456789012:ops'], tags: {Of: parts}}
  schedules: {day: {cron: '0 8 * * *', min: 0}}
  hooks: {drain: {on: terminating, timeout: 60, default: CONTINUE}}
  warm_pool: {state: Stopped}
  notifications: {'arn:aws:sns:us-east-1:123456789012:ops': ['autoscaling:EC2_INSTANCE_LAUNCH_ERROR']}
  metrics: [GroupInServiceInstances]
  suspended: [InstanceRefresh]`

// noPart takes all of it away.
const noPart = `  load_balancing: {classic: [], target_groups: [], traffic_sources: []}
  tags: {}
  policies: {}
  alarms: {}
  schedules: {}
  hooks: {}
  warm_pool: {none: true}
  notifications: {}
  metrics: []
  suspended: []`

// TestEveryPartComesAndGoes gives groups every part and takes it away again;
// the plan is empty after each step. At the end refreshes are begun, which wait
// as their process is suspended, and ended in both ways.
func TestEveryPartComesAndGoes(t *testing.T) {
	x := newScaling(t)
	x.removed("parts-a", "parts-b")
	for _, parts := range []string{noPart, everyPart, strings.Replace(everyPart, "{Of: parts}", "{By: hand}", 1), noPart, everyPart} {
		x.write(partsFile, "t3.small", parts)
		x.settled()
	}
	x.onlyReads("plan", "--exit-code", "FILE")
	x.write(partsFile, "t3.medium", everyPart)
	x.ends(0, "refresh", "parts-a", "parts-b", "FILE", "--yes")
	x.ends(0, "refresh", "parts-a", "FILE", "--rollback", "--yes")
	x.ends(0, "refresh", "parts-b", "FILE", "--cancel", "--yes")
	if o := x.ends(0, "status", "parts-a", "parts-b", "FILE"); !strings.Contains(o.Stdout, "RollbackInProgress") || !strings.Contains(o.Stdout, "Cancelling") {
		t.Errorf("status does not tell how the refreshes stand:\n%s", o.Stdout)
	}
	if o := x.ends(4, "apply", "--yes", "FILE"); !strings.Contains(o.Stderr, "is under way (") || !strings.Contains(o.Stderr, "autoscalectl status parts-") {
		t.Errorf("a change in the middle of a refresh: %s", o.Stderr)
	}
}
