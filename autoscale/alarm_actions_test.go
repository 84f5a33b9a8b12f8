package autoscale

import (
	"slices"
	"strings"
	"testing"

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"bakehouse/internal/fault"
)

// alarmOf is the alarm of a name as CloudWatch has it.
func (c *cloud) alarmOf(name string) cwtypes.MetricAlarm {
	c.t.Helper()
	out, err := c.w.Alarms.DescribeAlarms(c.t.Context(), &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{name}})
	if err != nil || len(out.MetricAlarms) != 1 {
		c.t.Fatalf("%d alarms %s, %v", len(out.MetricAlarms), name, err)
	}
	return out.MetricAlarms[0]
}

const page, desk = "arn:aws:sns:us-east-1:123456789012:page", "arn:aws:sns:us-east-1:123456789012:desk"

// telling is alarmed with more keys of the alarm.
func telling(more string) string {
	return in(strings.Replace(alarmed, "policy: up}", "policy: up, "+more+"}", 1))
}

func TestAnAlarmTellsWhomTheFileNames(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const name = "web|up|M"
	c.apply(telling("actions: ['" + page + "'], ok_actions: ['" + desk + "'], no_data_actions: ['" + page + "', '" + desk + "']"))
	a := c.alarmOf(name)
	if len(a.AlarmActions) != 2 || !slices.Contains(a.AlarmActions, page) || !slices.Equal(a.OKActions, []string{desk}) || len(a.InsufficientDataActions) != 2 {
		t.Errorf("actions %v, ok %v, no data %v", a.AlarmActions, a.OKActions, a.InsufficientDataActions)
	}
	c.apply(in(strings.Replace(alarmed, "threshold: 70", "threshold: 71", 1))) // absent keys are left alone
	if a := c.alarmOf(name); len(a.AlarmActions) != 2 || len(a.OKActions) != 1 || len(a.InsufficientDataActions) != 2 {
		t.Errorf("a file that says nothing of them changes actions to %v, ok %v, no data %v", a.AlarmActions, a.OKActions, a.InsufficientDataActions)
	}
	c.apply(telling("actions: ['" + desk + "'], ok_actions: []"))
	if a := c.alarmOf(name); len(a.AlarmActions) != 2 || !slices.Contains(a.AlarmActions, desk) || len(a.OKActions) != 0 || len(a.InsufficientDataActions) != 2 {
		t.Errorf("actions %v, ok %v, no data %v", a.AlarmActions, a.OKActions, a.InsufficientDataActions)
	}
	c.apply(telling("actions: []"))
	if a := c.alarmOf(name); len(a.AlarmActions) != 1 || !strings.Contains(a.AlarmActions[0], ":scalingPolicy:") {
		t.Errorf("an empty list leaves %v beside the policy", a.AlarmActions)
	}
}

func TestAnAlarmMayOnlyTell(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	only := in("alarms: {full: {namespace: N, metric: DiskUsed, comparison: '>', threshold: 90, period: 60, actions: ['" + page + "']}}")
	c.apply(only)
	if a := c.alarmOf("web||DiskUsed"); !slices.Equal(a.AlarmActions, []string{page}) {
		t.Errorf("it sets off %v", a.AlarmActions)
	}
	_, s, notes := c.written("web")
	if p, _ := c.plan(s); !p.Empty() || len(s.Groups["web"].Alarms) != 1 || notes != "" {
		t.Errorf("imported, a plan is %s; notes %q", summary(p), notes)
	}
	if p := c.apply(in("alarms: {}")); len(p.Changes) != 1 || p.Changes[0].Kind != DeleteAlarm {
		t.Errorf("taken out of the file, a plan is %s", summary(p))
	}
}

// The policies of others on an alarm are nobody's list.
func TestActionsDoNotTakeAnotherGroupsPolicyOff(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	other := "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:11111111-2222-3333-4444-555555555555:autoScalingGroupName/api:policyName/up"
	c.apply(in(alarmed))
	a := c.alarmOf("web|up|M")
	c.putAlarm("web|up|M", append(a.AlarmActions, other, desk)...)
	c.apply(telling("actions: ['" + page + "']"))
	if got := c.alarmOf("web|up|M").AlarmActions; len(got) != 3 || !slices.Contains(got, other) || slices.Contains(got, desk) || !slices.Contains(got, page) {
		t.Errorf("it sets off %v", got)
	}
}

func TestAnAlarmThatOnlyTellsNeedsItsMetricsToo(t *testing.T) {
	t.Parallel()
	p, _ := newCloud(t).plan(mustParse(t, in("policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {full: {namespace: AWS/AutoScaling, metric: GroupTotalInstances, comparison: '>', threshold: 3, period: 60, actions: ['"+page+
		"']}, low: {namespace: AWS/AutoScaling, metric: GroupTotalInstances, comparison: '<', threshold: 1, period: 60, policy: up}}")))
	i := slices.IndexFunc(p.Changes, func(c Change) bool { return c.Kind == EnableMetrics })
	if i < 0 || p.Changes[i].Reason != "alarm full and policy up (alarm low) need GroupTotalInstances" {
		t.Errorf("the plan is %s", summary(p))
	}
}

func TestActionsThatAreRefused(t *testing.T) {
	t.Parallel()
	rest := "namespace: N, metric: M, comparison: '>', threshold: 70, period: 60"
	for text, want := range map[string]string{
		rest:                       "policy is needed, or a list of actions",
		rest + ", actions: [page]": "actions.0: \"page\" is no ARN",
		rest + ", actions: ['arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:1:autoScalingGroupName/web:policyName/up']": "actions.0: a policy of the group is named by policy",
		rest + ", ok_actions: [a, b, c, d, e, f]":          "ok_actions: CloudWatch takes 5, here are 6",
		rest + ", policy: up, actions: [a, b, c, d, e]":    "actions: CloudWatch takes 5 with the policy, here are 6",
		rest + ", policy: none, actions: ['" + page + "']": "there is no policy \"none\"",
	} {
		_, err := Parse("autoscale.yaml", []byte(in("policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {busy: {"+text+"}}")))
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// CloudWatch has alarms on PromQL, which show neither a metric nor queries.
func TestAlarmsThatNoFileCanSayAreLeftOutWhole(t *testing.T) {
	t.Parallel()
	l := liveOf(astypes.AutoScalingGroup{})
	l.addAlarm("web", cwtypes.MetricAlarm{AlarmName: ptr("web||slow"), AlarmActions: []string{page}})
	l.addAlarm("web", cwtypes.MetricAlarm{AlarmName: ptr("web||M"), MetricName: ptr("M"), Namespace: ptr("N"), AlarmActions: []string{page}})
	g := l.imported("web")
	if notes := l.leftOut("web", g); g.Alarms != nil || !slices.Equal(notes, []string{"web: alarms are left out: one of them watches, or sets off, what no file can name"}) {
		t.Errorf("alarms %v, notes %q", g.Alarms, notes)
	}
}
