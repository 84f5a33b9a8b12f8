package deploy

import (
	"context"
	"errors"
	"testing"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/smithy-go"
)

// pair is a load balancer with several target groups of which one takes nobody
// back, and whose registrations hear the end of their context.
type pair struct {
	*scales
	full string   // group
	end  func()   // ends the host's time at the first registration; may be nil
	back []string // groups that took the host back
}

func (p *pair) RegisterTargets(ctx context.Context, in *elb.RegisterTargetsInput, _ ...func(*elb.Options)) (*elb.RegisterTargetsOutput, error) {
	if p.end != nil {
		p.end()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if *in.TargetGroupArn == p.full {
		return nil, errors.New("too many targets")
	}
	p.back = append(p.back, *in.TargetGroupArn)
	return &elb.RegisterTargetsOutput{}, nil
}

func (p *pair) host() Host {
	return Host{Instance: "i-1", Targets: []Target{{"arn:a", 80}, {"arn:b", 80}}}
}

func TestAGroupThatTakesNobodyBackDoesNotKeepTheOthersFromIt(t *testing.T) {
	t.Parallel()
	p := &pair{scales: newScales("i-1"), full: "arn:a"}
	_, err := Balanced{Engine: p, API: p, Clock: p, Drain: time.Minute, Healthy: time.Minute}.Deploy(context.Background(), p.host())
	if err == nil || len(p.back) != 1 || p.back[0] != "arn:b" {
		t.Errorf("put back into %v, %v; want arn:b and an error of arn:a", p.back, err)
	}
}

func TestAHostIsPutBackThoughItsTimeEndsMeanwhile(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	p := &pair{scales: newScales("i-1"), end: cancel}
	_, _ = Balanced{Engine: p, API: p, Clock: p, Drain: time.Minute, Healthy: time.Minute}.Deploy(ctx, p.host())
	if len(p.back) != 2 {
		t.Errorf("put back into %v", p.back)
	}
}

// busy is a load balancer that does not answer some looks in between.
type busy struct {
	*scales
	looks int
}

func (b *busy) DescribeTargetHealth(ctx context.Context, in *elb.DescribeTargetHealthInput, o ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error) {
	if b.looks++; b.looks%2 == 0 {
		return nil, &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}
	}
	return b.scales.DescribeTargetHealth(ctx, in, o...)
}

func TestABusyLoadBalancerIsAskedAgain(t *testing.T) {
	t.Parallel()
	b := &busy{scales: newScales("i-1"), looks: 1}
	e := b.engine()
	e.API = b
	if _, err := e.Deploy(context.Background(), Host{Instance: "i-1", Targets: []Target{{"arn:tg", 80}}}); err != nil {
		t.Errorf("%v after %v", err, b.log)
	}
}
