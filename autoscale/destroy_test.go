package autoscale

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"bakehouse/internal/fault"
)

func TestPruneTakesOnlyWhatIsOurs(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(strings.Replace(base, "web:", "foreign:", 1))
	group := strings.TrimPrefix(base[strings.Index(base, "  web:"):], "")
	c.apply("owner: shop\n" + base + strings.Replace(group, "web:", "api:", 1) + strings.Replace(group, "web:", "old:", 1))
	s := mustParse(t, "owner: shop\n"+base+strings.Replace(group, "web:", "api:", 1))
	ctx := context.Background()
	if _, _, err := Prune(ctx, c.w, s, PruneOptions{MaxShare: 0.2}); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "1 of 3 groups") {
		t.Errorf("a third of the groups may go: %v", err)
	}
	p, foreign, err := Prune(ctx, c.w, s, PruneOptions{MaxShare: 0.5})
	if err != nil || len(p.Changes) != 1 || p.Changes[0].Group != "old" || !slices.Equal(foreign, []Leftover{{"foreign", ""}}) {
		t.Fatalf("prune plans %s, lists %v, %v", summary(p), foreign, err)
	}
	if _, err := p.Apply(ctx, c.w, Observed{}, silent{}); err != nil {
		t.Fatal(err)
	}
	if p, _, err := Prune(ctx, c.w, s, PruneOptions{}); err != nil || !p.Empty() {
		t.Errorf("a second prune finds %s, %v", summary(p), err)
	}
	if _, _, err := Prune(ctx, c.w, mustParse(t, base), PruneOptions{MaxShare: 1}); fault.KindOf(err) != fault.Usage {
		t.Errorf("a file without owner prunes: %v", err)
	}
}

// whats are the blockers that err lists.
func whats(err error) []string {
	var b *BlockedError
	if !errors.As(err, &b) {
		return nil
	}
	var out []string
	for _, one := range b.Blockers {
		out = append(out, one.What)
	}
	return out
}

func TestDestroyListsAllThatBlocksItAndLiftsIt(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ctx := context.Background()
	two := "    policies: {up: {type: ChangeInCapacity, adjustment: 1}}\n    alarms: {a: {namespace: X, metric: A, comparison: '>', threshold: 1, period: 60, policy: up}, b: {namespace: X, metric: B, comparison: '>', threshold: 1, period: 60, policy: up}}\n"
	c.apply(strings.Replace(base, "    network", two+"    hooks: {bye: {on: terminating, timeout: 90}, hello: {on: launching}}\n    suspended: [Terminate]\n    protection: {deletion: prevent-all-deletion}\n    network", 1))
	_, err := DestroyGroup(ctx, c.w, "us-east-1", "web", false)
	want := []string{"deletion protection is prevent-all-deletion", "process Terminate is suspended: instances would stay", "hook bye holds each instance on its way out for up to 90 s"}
	if got := whats(err); !slices.Equal(got, want) || fault.KindOf(err) != fault.Check {
		t.Errorf("blockers are %q, want %q (%v)", got, want, err)
	}
	p, err := DestroyGroup(ctx, c.w, "us-east-1", "web", true)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := kinds(p), []Kind{UpdateGroup, Resume, DeleteHook, DeleteAlarm, DeleteAlarm, DeleteGroup}; !slices.Equal(got, want) {
		t.Errorf("lifting plans %v, want %v", got, want)
	}
	// The second alarm cannot be deleted: the group must be there for a re-run.
	c.aws.Fail("DeleteAlarms", "", "AccessDenied")
	if _, err := p.Apply(ctx, c.w, Observed{}, silent{}); err == nil || !strings.Contains(err.Error(), "4 of 6 changes done, 1 failed, 1 not tried") {
		t.Fatalf("half a destroy is told as %v", err)
	}
	if p, err = DestroyGroup(ctx, c.w, "us-east-1", "web", false); err != nil || !slices.Equal(kinds(p), []Kind{DeleteAlarm, DeleteGroup}) {
		t.Fatalf("the re-run plans %v, %v", kinds(p), err)
	}
	if _, err := p.Apply(ctx, c.w, Observed{}, silent{}); err != nil {
		t.Fatal(err)
	}
	if _, err := DestroyGroup(ctx, c.w, "us-east-1", "web", false); fault.KindOf(err) != fault.Check {
		t.Errorf("destroying what is gone: %v", err)
	}
}

func TestBlockers(t *testing.T) {
	t.Parallel()
	g := live("web", 3, "InService Healthy 2", "Standby Healthy 2", "InService Healthy 2")
	g.Instances[2].ProtectedFromScaleIn = aws.Bool(true)
	g.WarmPoolConfiguration, g.WarmPoolSize = &astypes.WarmPoolConfiguration{}, aws.Int32(2)
	got := whats(blocked("destroying", Blockers(g, nil, &RefreshStatus{ID: "r", Status: "InProgress", Percent: 40})))
	want := []string{"instance refresh r is InProgress at 40 %", "instance i-1 is in standby: somebody works on it", "instance i-2 is protected from scale-in", "there is a warm pool of 2 instances"}
	if !slices.Equal(got, want) {
		t.Errorf("blockers are %q, want %q", got, want)
	}
	if got := Blockers(live("web", 1, "InService Healthy 2"), map[string]Hook{"h": {On: ptr("launching")}}, &RefreshStatus{Status: "Successful"}); len(got) != 0 {
		t.Errorf("nothing blocks it, but %v", got)
	}
	err := blocked("pruning", append(Blockers(g, nil, nil), Blockers(g, nil, nil)...))
	if err == nil || err.Error() != "pruning web: 6 things are in the way" || blocked("x", nil) != nil {
		t.Errorf("the error is %v", err)
	}
}

func TestDestroyLeavesAnAlarmThatAnotherGroupNeeds(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ctx := context.Background()
	arn := map[string]string{}
	for _, group := range []string{"web", "api"} {
		c.apply(strings.Replace(base, "web:", group+":", 1))
		out, err := c.as.PutScalingPolicy(ctx, &as.PutScalingPolicyInput{AutoScalingGroupName: &group, PolicyName: aws.String("up"), AdjustmentType: aws.String("ChangeInCapacity"), ScalingAdjustment: aws.Int32(1)})
		if err != nil {
			t.Fatal(err)
		}
		arn[group] = *out.PolicyARN
	}
	for name, actions := range map[string][]string{"web|shared": {arn["web"], arn["api"]}, "web|own": {arn["web"], "arn:aws:sns:us-east-1:1:ops"}} {
		if _, err := c.w.Alarms.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: &name, AlarmActions: actions, Namespace: aws.String("X"), MetricName: aws.String("Y"), Statistic: "Sum", Period: aws.Int32(60),
			ComparisonOperator: "GreaterThanThreshold", EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1)}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := DestroyGroup(ctx, c.w, "us-east-1", "web", false)
	if err != nil || len(p.Changes) != 2 || p.Changes[0].Name != "web|own" {
		t.Errorf("destroy plans %s, %v", summary(p), err)
	}
}
