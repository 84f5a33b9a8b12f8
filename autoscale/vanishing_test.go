package autoscale

import (
	"context"
	"testing"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/smithy-go"

	"bakehouse/internal/fault"
)

// leaving is Auto Scaling while a group is on its way out: it is listed, and
// gone when its hooks are asked for.
type leaving struct {
	GroupsAPI
	status string // of every group in the list
	asked  int    // for hooks
}

func (l *leaving) DescribeAutoScalingGroups(ctx context.Context, in *as.DescribeAutoScalingGroupsInput, o ...func(*as.Options)) (*as.DescribeAutoScalingGroupsOutput, error) {
	out, err := l.GroupsAPI.DescribeAutoScalingGroups(ctx, in, o...)
	if err == nil && l.status != "" {
		for i := range out.AutoScalingGroups {
			out.AutoScalingGroups[i].Status = &l.status
		}
	}
	return out, err
}

func (l *leaving) DescribeLifecycleHooks(context.Context, *as.DescribeLifecycleHooksInput, ...func(*as.Options)) (*as.DescribeLifecycleHooksOutput, error) {
	l.asked++
	return nil, &smithy.GenericAPIError{Code: "ValidationError", Message: "AutoScalingGroup name not found - AutoScalingGroup 'web' not found"}
}

const hooked = `version: 2
region: us-east-1
groups:
  web:
    capacity: {min: 0, max: 1}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a]}
    hooks: {out: {on: terminating}}
`

// TestAGroupThatIsLeavingHasNoHooks: one that AWS is deleting may be gone
// before its hooks are asked for, and a plan waits for its end anyway.
func TestAGroupThatIsLeavingHasNoHooks(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(hooked)
	s := mustParse(t, hooked)
	l := &leaving{GroupsAPI: c.w.Groups, status: "Delete in progress"}
	c.w.Groups = l
	o, err := Observe(context.Background(), c.w, s)
	if err != nil || l.asked != 0 {
		t.Fatalf("reading a group that is being deleted asks %d times for its hooks: %v", l.asked, err)
	}
	if _, err := Diff(s, o, DiffOptions{}); fault.KindOf(err) != fault.Check {
		t.Errorf("the plan for it: %v", err)
	}
}

// TestAGroupThatIsGoneIsNoGroup: one that vanishes between the list and its
// hooks is as one that was not listed.
func TestAGroupThatIsGoneIsNoGroup(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(hooked)
	s := mustParse(t, hooked)
	c.w.Groups = &leaving{GroupsAPI: c.w.Groups}
	o, err := Observe(context.Background(), c.w, s)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := o.Groups["web"]; there {
		t.Error("a group that is gone was observed")
	}
}
