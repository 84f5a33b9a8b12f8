package scaling

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"bakehouse/test/asg"
)

const (
	looks   = 3           // failed health checks in a row that make an instance ill
	between = time.Second // two looks at the same target
)

// target is an instance's place in a target group.
type target struct{ group, instance string }

// sick is a target that fails its health checks.
type sick struct {
	times int
	last  time.Time
}

// targets keeps the members of a region's groups registered with the groups'
// target groups for as long as they are in service.
type targets struct {
	groups *autoscaling.Client
	lb     *elb.Client
	now    func() time.Time

	mu         sync.Mutex
	registered map[target]bool
	ill        map[target]sick
}

// settle registers who came into service, and deregisters who left it.
func (t *targets) settle(ctx context.Context) error {
	wanted := map[target]bool{}
	pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(t.groups, &autoscaling.DescribeAutoScalingGroupsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range page.AutoScalingGroups {
			for _, i := range g.Instances {
				if i.LifecycleState != astypes.LifecycleStateInService {
					continue
				}
				for _, arn := range g.TargetGroupARNs {
					wanted[target{arn, aws.ToString(i.InstanceId)}] = true
				}
			}
		}
	}
	t.mu.Lock()
	var come, leave []target
	for w := range wanted {
		if !t.registered[w] {
			come = append(come, w)
		}
	}
	for r := range t.registered {
		if !wanted[r] {
			leave = append(leave, r)
		}
	}
	t.mu.Unlock()
	return errors.Join(t.change(ctx, come, true), t.change(ctx, leave, false))
}

// change registers or deregisters targets one by one; what fails is tried
// again at the next tick, but a target group that is gone needs no farewell.
func (t *targets) change(ctx context.Context, all []target, in bool) error {
	var failed error
	for _, one := range all {
		list := []elbtypes.TargetDescription{{Id: &one.instance}}
		var err error
		if in {
			_, err = t.lb.RegisterTargets(ctx, &elb.RegisterTargetsInput{TargetGroupArn: &one.group, Targets: list})
		} else {
			_, err = t.lb.DeregisterTargets(ctx, &elb.DeregisterTargetsInput{TargetGroupArn: &one.group, Targets: list})
		}
		var lost *elbtypes.TargetGroupNotFoundException
		if err != nil && (in || !errors.As(err, &lost)) {
			failed = errors.Join(failed, err)
			continue
		}
		t.mu.Lock()
		if in {
			t.registered[one] = true
		} else {
			delete(t.registered, one)
			delete(t.ill, one)
		}
		t.mu.Unlock()
	}
	return failed
}

// health names the instances of a group that failed their last health checks.
// The load balancer of the lab counts no thresholds, so they are counted here.
func (t *targets) health(ctx context.Context, g asg.Balanced) ([]string, error) {
	var ill []string
	for _, arn := range g.TargetGroups {
		for _, id := range g.Instances {
			bad, err := t.look(ctx, target{arn, id})
			if err != nil {
				return nil, err
			}
			if bad && !slices.Contains(ill, id) {
				ill = append(ill, id)
			}
		}
	}
	return ill, nil
}

// look asks for a target's health, if the last look is long enough ago.
func (t *targets) look(ctx context.Context, one target) (ill bool, err error) {
	t.mu.Lock()
	s, known := t.ill[one], t.registered[one]
	t.mu.Unlock()
	if !known || t.now().Sub(s.last) < between {
		return s.times >= looks, nil
	}
	out, err := t.lb.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &one.group, Targets: []elbtypes.TargetDescription{{Id: &one.instance}}})
	if err != nil {
		return false, err
	}
	s.last = t.now()
	s.times++
	for _, d := range out.TargetHealthDescriptions {
		if d.TargetHealth.State != elbtypes.TargetHealthStateEnumUnhealthy {
			s.times = 0
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ill[one] = s
	return s.times >= looks, nil
}
