package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// scales is a load balancer with one target group, "tg", whose clock it is, too.
type scales struct {
	now     time.Time
	targets map[string]types.TargetHealthStateEnum // by instance; absent: not registered
	drains  time.Duration                          // that a target takes to drain
	heals   time.Duration                          // that one takes to be found healthy
	since   map[string]time.Time
	log     []string
	refuse  string // the call that is refused
	deploy  error
}

func newScales(ids ...string) *scales {
	s := &scales{now: start(), targets: map[string]types.TargetHealthStateEnum{}, since: map[string]time.Time{}, drains: 4 * time.Second, heals: 6 * time.Second}
	for _, id := range ids {
		s.targets[id] = types.TargetHealthStateEnumHealthy
	}
	return s
}

func (s *scales) Now() time.Time { return s.now }

func (s *scales) Sleep(ctx context.Context, d time.Duration) error {
	s.now = s.now.Add(d)
	return ctx.Err()
}

func (s *scales) did(call, id string) error {
	s.log = append(s.log, strings.TrimSpace(call+" "+id))
	if s.refuse == call {
		return &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}
	}
	return nil
}

func (s *scales) Deploy(_ context.Context, h Host) (release.ID, error) {
	err := s.did("deploy", h.Instance+" "+string(s.state(h.Instance)))
	return newBuild, errors.Join(err, s.deploy)
}

func (s *scales) state(id string) types.TargetHealthStateEnum {
	st, ok := s.targets[id]
	switch {
	case !ok:
		return types.TargetHealthStateEnumUnused
	case st == types.TargetHealthStateEnumDraining && s.now.Sub(s.since[id]) >= s.drains:
		return types.TargetHealthStateEnumUnused
	case st == types.TargetHealthStateEnumInitial && s.now.Sub(s.since[id]) >= s.heals:
		return types.TargetHealthStateEnumHealthy
	}
	return st
}

func (s *scales) DescribeTargetGroups(_ context.Context, in *elb.DescribeTargetGroupsInput, _ ...func(*elb.Options)) (*elb.DescribeTargetGroupsOutput, error) {
	kind := types.TargetTypeEnumInstance
	switch name := append(in.Names, in.TargetGroupArns...)[0]; name {
	case "tg", "arn:tg":
	case "lambda":
		kind = types.TargetTypeEnumLambda
	default:
		return nil, &smithy.GenericAPIError{Code: "TargetGroupNotFound", Message: "no such group"}
	}
	return &elb.DescribeTargetGroupsOutput{TargetGroups: []types.TargetGroup{{TargetGroupArn: aws.String("arn:tg"), TargetType: kind}}}, nil
}

func (s *scales) DescribeTargetHealth(_ context.Context, in *elb.DescribeTargetHealthInput, _ ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error) {
	var ids []string
	for _, t := range in.Targets {
		ids = append(ids, *t.Id)
	}
	if len(ids) == 0 {
		for id := range s.targets {
			ids = append(ids, id)
		}
	}
	out := &elb.DescribeTargetHealthOutput{}
	for _, id := range ids {
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, types.TargetHealthDescription{
			Target: &types.TargetDescription{Id: aws.String(id), Port: aws.Int32(80)}, TargetHealth: &types.TargetHealth{State: s.state(id), Description: aws.String("as the test has it")}})
	}
	return out, s.did("look", "")
}

func (s *scales) DeregisterTargets(_ context.Context, in *elb.DeregisterTargetsInput, _ ...func(*elb.Options)) (*elb.DeregisterTargetsOutput, error) {
	id := *in.Targets[0].Id
	s.targets[id], s.since[id] = types.TargetHealthStateEnumDraining, s.now
	return &elb.DeregisterTargetsOutput{}, s.did("out", fmt.Sprint(id, ":", *in.Targets[0].Port))
}

func (s *scales) RegisterTargets(_ context.Context, in *elb.RegisterTargetsInput, _ ...func(*elb.Options)) (*elb.RegisterTargetsOutput, error) {
	if err := s.did("in", *in.Targets[0].Id); err != nil {
		return nil, err
	}
	id := *in.Targets[0].Id
	s.targets[id], s.since[id] = types.TargetHealthStateEnumInitial, s.now
	return &elb.RegisterTargetsOutput{}, nil
}

func (s *scales) engine() Balanced {
	return Balanced{Engine: s, API: s, Clock: s, Drain: time.Minute, Healthy: time.Minute}
}

// placed is a host with its place in the group.
func placed(t *testing.T, s *scales, id string) Host {
	t.Helper()
	hosts := []Host{{Instance: id}}
	if err := Place(context.Background(), s, []string{"tg"}, hosts); err != nil {
		t.Fatal(err)
	}
	s.log = nil
	return hosts[0]
}

func TestBalancedTakesOutDrainsDeploysAndPutsBack(t *testing.T) {
	t.Parallel()
	s := newScales("i-1", "i-2")
	h := placed(t, s, "i-1")
	if len(h.Targets) != 1 || h.Targets[0] != (Target{"arn:tg", 80}) {
		t.Fatalf("it stands in %v", h.Targets)
	}
	build, err := s.engine().Deploy(context.Background(), h)
	s.log = slices.DeleteFunc(s.log, func(l string) bool { return l == "look" })
	if want := []string{"out i-1:80", "deploy i-1 unused", "in i-1"}; err != nil || build != newBuild || !slices.Equal(s.log, want) {
		t.Errorf("%s, %v: %v, want %v", build, err, s.log, want)
	}
	if s.state("i-1") != types.TargetHealthStateEnumHealthy || s.state("i-2") != types.TargetHealthStateEnumHealthy {
		t.Errorf("at the end: %v", s.targets)
	}
	s.log = nil
	if _, err := s.engine().Deploy(context.Background(), placed(t, s, "i-9")); err != nil || !slices.Equal(s.log, []string{"deploy i-9 unused"}) {
		t.Errorf("a host in no group: %v, %v", s.log, err)
	}
}

func TestBalancedPutsBackWhateverHappens(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		spoil func(*scales, context.CancelFunc)
		says  string
	}{
		"the deploy fails":       {func(s *scales, _ context.CancelFunc) { s.deploy = errors.New("not healthy") }, "not healthy"},
		"it never drains":        {func(s *scales, _ context.CancelFunc) { s.drains = time.Hour }, ""},
		"it is never healthy":    {func(s *scales, _ context.CancelFunc) { s.heals = time.Hour }, "does not find it healthy within 1m0s: initial"},
		"the operator ends it":   {func(s *scales, cancel context.CancelFunc) { cancel() }, "context canceled"},
		"no right to look at it": {func(s *scales, _ context.CancelFunc) { s.refuse = "look" }, "AccessDenied"},
	} {
		s := newScales("i-1")
		h := placed(t, s, "i-1")
		ctx, cancel := context.WithCancel(context.Background())
		c.spoil(s, cancel)
		_, err := s.engine().Deploy(ctx, h)
		cancel()
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q", what, err, c.says)
		}
		if st := s.targets["i-1"]; st != types.TargetHealthStateEnumInitial {
			t.Errorf("%s: it was left %s", what, st)
		}
	}
}

func TestBalancedNamesTheRight(t *testing.T) {
	t.Parallel()
	for call, right := range map[string]string{"out": "elasticloadbalancing:DeregisterTargets", "in": "elasticloadbalancing:RegisterTargets"} {
		s := newScales("i-1")
		h := placed(t, s, "i-1")
		s.refuse = call
		if _, err := s.engine().Deploy(context.Background(), h); fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), right) {
			t.Errorf("%s: %v, next %q", call, err, fault.NextOf(err))
		}
	}
}

func TestPlaceRefuses(t *testing.T) {
	t.Parallel()
	s := newScales("i-1")
	if err := Place(context.Background(), s, []string{"lambda"}, nil); fault.KindOf(err) != fault.Usage {
		t.Errorf("targets that are no instances: %v", err)
	}
	if err := Place(context.Background(), s, []string{"nope"}, nil); err == nil || !strings.Contains(err.Error(), "looking for target group nope") {
		t.Errorf("no group: %v", err)
	}
	s.targets["i-1"] = types.TargetHealthStateEnumDraining
	s.since["i-1"] = s.now
	hosts := []Host{{Instance: "i-1"}}
	if err := Place(context.Background(), s, []string{"arn:tg"}, hosts); err != nil || len(hosts[0].Targets) != 0 {
		t.Errorf("one that somebody takes out: %v, %v", hosts[0].Targets, err)
	}
}
