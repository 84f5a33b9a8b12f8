package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Balancers is the part of Elastic Load Balancing that Balanced uses.
type Balancers interface {
	DescribeTargetGroups(context.Context, *elb.DescribeTargetGroupsInput, ...func(*elb.Options)) (*elb.DescribeTargetGroupsOutput, error)
	DescribeTargetHealth(context.Context, *elb.DescribeTargetHealthInput, ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error)
	DeregisterTargets(context.Context, *elb.DeregisterTargetsInput, ...func(*elb.Options)) (*elb.DeregisterTargetsOutput, error)
	RegisterTargets(context.Context, *elb.RegisterTargetsInput, ...func(*elb.Options)) (*elb.RegisterTargetsOutput, error)
}

// Target is a host's place in a target group.
type Target struct {
	Group string `json:"group"`          // ARN of the target group
	Port  int32  `json:"port,omitempty"` // 0: the group's own
}

// balancerLook is the pause between two looks at a target's health, and
// giveBackTime what a host has to be registered again, also after an interrupt.
const (
	balancerLook = 2 * time.Second
	giveBackTime = 30 * time.Second
)

// Balanced is an engine that takes a host out of its target groups, lets its
// connections drain, has another engine deploy, and puts it back, until every
// group finds it healthy. A host is put back whatever became of the deploy: one
// that failed runs its last good build. Where a host belongs was noted when the
// rollout was planned (Host.Targets), so a rollout that died while a host was
// out puts it back when it is resumed.
type Balanced struct {
	Engine  Engine
	API     Balancers
	Clock   Clock
	Drain   time.Duration // how long connections may take to end; then the deploy begins anyway
	Healthy time.Duration // how long a host may take to be found healthy
}

// Deploy takes h out, deploys and puts it back.
func (b Balanced) Deploy(ctx context.Context, h Host) (release.ID, error) {
	if len(h.Targets) == 0 {
		return b.Engine.Deploy(ctx, h)
	}
	build, err := b.without(ctx, h)
	// Nobody else would put it back, so it is done whatever ends the host's time.
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveBackTime)
	defer cancel()
	if rerr := b.register(back, h); rerr != nil {
		return build, errors.Join(err, rerr)
	}
	if err != nil {
		return build, err
	}
	return build, b.healthy(ctx, h)
}

// without deploys while h takes no requests.
func (b Balanced) without(ctx context.Context, h Host) (release.ID, error) {
	for _, t := range h.Targets {
		_, err := b.API.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: aws.String(t.Group), Targets: t.of(h)})
		if err != nil {
			return "", awsfault.New("elasticloadbalancing:DeregisterTargets", "taking "+h.Instance+" out of its target group", err)
		}
	}
	for until := b.Clock.Now().Add(b.Drain); ; {
		states, err := b.states(ctx, h)
		if err != nil && !awserr.IsPassing(err) {
			return "", err
		}
		if err == nil && !anyOf(states, types.TargetHealthStateEnumDraining) || !b.Clock.Now().Before(until) {
			break
		}
		if err := b.Clock.Sleep(ctx, balancerLook); err != nil {
			return "", err
		}
	}
	return b.Engine.Deploy(ctx, h)
}

// register puts h back into all its groups: one that refuses does not keep the
// others from it.
func (b Balanced) register(ctx context.Context, h Host) error {
	var failed error
	for _, t := range h.Targets {
		_, err := b.API.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: aws.String(t.Group), Targets: t.of(h)})
		failed = errors.Join(failed, awsfault.New("elasticloadbalancing:RegisterTargets", "putting "+h.Instance+" back into its target group", err))
	}
	return failed
}

// healthy waits until every group finds h healthy. A group that no load
// balancer uses looks at nobody.
func (b Balanced) healthy(ctx context.Context, h Host) error {
	for until := b.Clock.Now().Add(b.Healthy); ; {
		states, err := b.states(ctx, h)
		bad := unhealthy(states)
		switch {
		case err != nil && !awserr.IsPassing(err):
			return err
		case err != nil:
			bad = err.Error()
		case bad == "":
			return nil
		}
		if !b.Clock.Now().Before(until) {
			return fault.Newf(fault.Check, "look at the target group's health check", "the load balancer does not find it healthy within %s: %s", b.Healthy, bad)
		}
		if err := b.Clock.Sleep(ctx, balancerLook); err != nil {
			return err
		}
	}
}

// states is how each of h's groups sees it.
func (b Balanced) states(ctx context.Context, h Host) ([]types.TargetHealth, error) {
	var all []types.TargetHealth
	for _, t := range h.Targets {
		out, err := b.API.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(t.Group), Targets: t.of(h)})
		if err != nil {
			return nil, awsfault.New("elasticloadbalancing:DescribeTargetHealth", "looking at "+h.Instance+" in its target group", err)
		}
		for _, d := range out.TargetHealthDescriptions {
			if d.TargetHealth != nil {
				all = append(all, *d.TargetHealth)
			}
		}
	}
	return all, nil
}

func (t Target) of(h Host) []types.TargetDescription {
	d := types.TargetDescription{Id: aws.String(h.Instance)}
	if t.Port != 0 {
		d.Port = aws.Int32(t.Port)
	}
	return []types.TargetDescription{d}
}

func anyOf(states []types.TargetHealth, want types.TargetHealthStateEnum) bool {
	for _, s := range states {
		if s.State == want {
			return true
		}
	}
	return false
}

// unhealthy is the first state that keeps requests away, in words, or "".
func unhealthy(states []types.TargetHealth) string {
	for _, s := range states {
		switch {
		case s.State == types.TargetHealthStateEnumHealthy:
		case s.State == types.TargetHealthStateEnumUnused && s.Reason == types.TargetHealthReasonEnumNotInUse:
		default:
			return fmt.Sprintf("%s %s", s.State, aws.ToString(s.Description))
		}
	}
	return ""
}

// Place notes on each host where it stands in the named target groups (ARNs or
// names). A group that does not exist, or has targets that are not instances,
// is fault.Usage. Hosts in none of them are deployed to as they are.
func Place(ctx context.Context, api Balancers, groups []string, hosts []Host) error {
	for _, name := range groups {
		arn, err := groupARN(ctx, api, name)
		if err != nil {
			return err
		}
		out, err := api.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
		if err != nil {
			return awsfault.New("elasticloadbalancing:DescribeTargetHealth", "looking at target group "+name, err)
		}
		ports := map[string][]int32{}
		for _, d := range out.TargetHealthDescriptions {
			// One that is being taken out is somebody else's work.
			if d.Target != nil && d.TargetHealth != nil && d.TargetHealth.State != types.TargetHealthStateEnumDraining {
				ports[aws.ToString(d.Target.Id)] = append(ports[aws.ToString(d.Target.Id)], aws.ToInt32(d.Target.Port))
			}
		}
		for i := range hosts {
			for _, port := range ports[hosts[i].Instance] {
				hosts[i].Targets = append(hosts[i].Targets, Target{arn, port})
			}
		}
	}
	return nil
}

// groupARN finds a target group.
func groupARN(ctx context.Context, api Balancers, name string) (string, error) {
	in := &elb.DescribeTargetGroupsInput{Names: []string{name}}
	if len(name) > 4 && name[:4] == "arn:" {
		in = &elb.DescribeTargetGroupsInput{TargetGroupArns: []string{name}}
	}
	out, err := api.DescribeTargetGroups(ctx, in)
	if err != nil {
		return "", awsfault.New("elasticloadbalancing:DescribeTargetGroups", "looking for target group "+name, err)
	}
	if len(out.TargetGroups) != 1 {
		return "", fault.Newf(fault.Usage, "correct --target-group", "looking for target group %s: there are %d", name, len(out.TargetGroups))
	}
	g := out.TargetGroups[0]
	if g.TargetType != types.TargetTypeEnumInstance {
		return "", fault.Newf(fault.Usage, "name a target group of instances", "looking at target group %s: its targets are of type %s", name, g.TargetType)
	}
	return aws.ToString(g.TargetGroupArn), nil
}
