package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"bakehouse/autoscale"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
)

const backed = `version: 2
region: us-east-1
groups:
  web:
    capacity: {mode: backstop, min: 4, max: 20}
    launch: {image: ami-1, type: t3.large}
    network: {zones: [us-east-1a, us-east-1b]}
`

// pair is a spot group of ten and its backstop, and the tool that balances
// them.
type pair struct {
	t       *testing.T
	serving int // of the spot group
	desired int32
	tag     *types.TagDescription
	calls   []string
	fail    map[string]error
	pauses  int
	stop    int // after so many pauses comes SIGTERM
	each    func(n int)
	now     time.Time
	end     time.Time // when SIGTERM comes; zero: never
	looks   []time.Time
	noticed []string // instances under an interruption notice
	spot    func()   // before each answer about them
	inbox   inbox
}

func (p *pair) called(name string) error {
	p.calls = append(p.calls, name)
	_, action, _ := strings.Cut(name, ":")
	return p.fail[action]
}

func (p *pair) DescribeAutoScalingGroups(_ context.Context, in *as.DescribeAutoScalingGroupsInput, _ ...func(*as.Options)) (*as.DescribeAutoScalingGroupsOutput, error) {
	spot := types.AutoScalingGroup{AutoScalingGroupName: aws.String("web"), DesiredCapacity: aws.Int32(10), MinSize: aws.Int32(4), MaxSize: aws.Int32(20)}
	for i := range p.serving {
		spot.Instances = append(spot.Instances, types.Instance{InstanceId: aws.String(spotID(i)), LifecycleState: types.LifecycleStateInService})
	}
	backstop := types.AutoScalingGroup{AutoScalingGroupName: aws.String("web-backstop"), DesiredCapacity: aws.Int32(p.desired), MinSize: aws.Int32(0), MaxSize: aws.Int32(20)}
	if p.tag != nil {
		backstop.Tags = []types.TagDescription{*p.tag}
	}
	return &as.DescribeAutoScalingGroupsOutput{AutoScalingGroups: []types.AutoScalingGroup{spot, backstop}}, p.called("autoscaling:DescribeAutoScalingGroups")
}

func (p *pair) SetDesiredCapacity(_ context.Context, in *as.SetDesiredCapacityInput, _ ...func(*as.Options)) (*as.SetDesiredCapacityOutput, error) {
	if err := p.called("autoscaling:SetDesiredCapacity"); err != nil {
		return nil, err
	}
	p.desired = *in.DesiredCapacity
	return &as.SetDesiredCapacityOutput{}, nil
}

func (p *pair) CreateOrUpdateTags(_ context.Context, in *as.CreateOrUpdateTagsInput, _ ...func(*as.Options)) (*as.CreateOrUpdateTagsOutput, error) {
	p.tag = &types.TagDescription{Key: in.Tags[0].Key, Value: in.Tags[0].Value}
	return &as.CreateOrUpdateTagsOutput{}, p.called("autoscaling:CreateOrUpdateTags")
}

func (p *pair) DescribeSpotInstanceRequests(context.Context, *ec2.DescribeSpotInstanceRequestsInput, ...func(*ec2.Options)) (*ec2.DescribeSpotInstanceRequestsOutput, error) {
	out := &ec2.DescribeSpotInstanceRequestsOutput{SpotInstanceRequests: []ec2types.SpotInstanceRequest{{InstanceId: aws.String("i-none")}}}
	if p.spot != nil {
		p.spot()
	}
	for _, id := range p.noticed {
		out.SpotInstanceRequests = append(out.SpotInstanceRequests, ec2types.SpotInstanceRequest{InstanceId: &id, Status: &ec2types.SpotInstanceStatus{Code: aws.String("marked-for-termination")}})
	}
	p.looks = append(p.looks, p.now)
	return out, p.called("ec2:DescribeSpotInstanceRequests")
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, serving: 10, fail: map[string]error{}, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	p.inbox.pair = p
	return p
}

func (p *pair) run(file string, args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "autoscale.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		p.t.Fatal(err)
	}
	var out, errs bytes.Buffer
	signals := make(chan os.Signal, 1)
	process := cliapp.Process{Args: append([]string{"autoscalectl", "balance", path}, args...), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	app := newApp(deps{Process: process, now: func() time.Time { return p.now },
		balance: func(context.Context, awscfg.Options) (balanceClients, error) {
			return balanceClients{autoscale.BalanceWorld{Groups: p, Spot: p, Now: func() time.Time { return p.now }}, &p.inbox}, nil
		},
		pause: func(ctx context.Context, d time.Duration) error {
			p.now = p.now.Add(d)
			if p.pauses++; p.pauses == p.stop || !p.end.IsZero() && !p.now.Before(p.end) {
				signals <- syscall.SIGTERM
				<-ctx.Done()
			}
			if p.each != nil {
				p.each(p.pauses)
			}
			return context.Cause(ctx)
		}})
	code = cliapp.Run(context.Background(), process, app, signals)
	return code, out.String(), errs.String()
}

func TestBalanceOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.serving = 6
	code, out, errs := p.run(backed, "--once", "--dry-run")
	if want := "2026-11-23T12:00:00Z web: backstop 0 -> 4 (planned): spot has 6 of 10 units in service; up to 4 at once\n"; code != 0 || out != want || p.desired != 0 {
		t.Errorf("a dry run ends with %d, desired %d, and prints\n%s%s", code, p.desired, out, errs)
	}
	if slices.Contains(p.calls, "autoscaling:SetDesiredCapacity") || slices.Contains(p.calls, "autoscaling:CreateOrUpdateTags") {
		t.Errorf("a dry run writes: %v", p.calls)
	}
	if code, out, _ := p.run(backed, "--once"); code != 0 || p.desired != 4 || !strings.Contains(out, "backstop 0 -> 4 (done)") {
		t.Errorf("it ends with %d, desired %d, and prints\n%s", code, p.desired, out)
	}
	var line struct {
		From, To, Target int
		Result           string
		Reasons          []string
	}
	code, out, _ = p.run(backed, "--once", "--output", "json")
	if err := json.Unmarshal([]byte(out), &line); err != nil || code != 0 || line.From != 4 || line.To != 4 || line.Result != "unchanged" || len(line.Reasons) == 0 {
		t.Errorf("JSON: %d, %v in\n%s", code, err, out)
	}
}

func TestBalanceUntilStopped(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.stop = 60
	p.each = func(n int) {
		switch n {
		case 4:
			p.serving = 6
		case 8:
			p.serving = 10
			p.fail["DescribeAutoScalingGroups"] = errors.New("try\nagain")
		case 9:
			delete(p.fail, "DescribeAutoScalingGroups")
		}
	}
	code, out, errs := p.run(backed, "--every", "15s")
	if code != 0 || p.desired != 0 {
		t.Errorf("after SIGTERM it ends with %d, the backstop at %d", code, p.desired)
	}
	for _, want := range []string{"12:01:00Z web: backstop 0 -> 4 (done)", "web: backstop 4 -> 0 (done)", "no more was needed for 5m0s"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if n := strings.Count(out, "\n"); n > 8 {
		t.Errorf("it says %d lines about two changes:\n%s", n, out)
	}
	if want := "2026-11-23T12:02:00Z autoscalectl: error: reading groups: try again\n"; !strings.HasPrefix(errs, want) {
		t.Errorf("the error reads %q, want %q", errs, want)
	}
}

func TestBalanceRefusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file string
		args []string
		code int
		want string
	}{
		{backed, nil, 2, "give --once or --every TIME"},
		{backed, []string{"--once", "--every", "15s"}, 2, "give --once or --every TIME"},
		{backed, []string{"--every", "1s"}, 2, "--every 1s: want 5s to 10m0s"},
		{backed, []string{"--once", "--hold", "-1s"}, 2, "--hold -1s"},
		{backed, []string{"--once", "--grace", "2h"}, 2, "--grace 2h0m0s"},
		{strings.Replace(backed, "mode: backstop", "mode: mixed", 1), []string{"--once"}, 2, "the file has no group of mode backstop"},
	} {
		p := newPair(t)
		if code, _, errs := p.run(c.file, c.args...); code != c.code || !strings.Contains(errs, c.want) || len(p.calls) != 0 {
			t.Errorf("%v: code %d, calls %v, %s", c.args, code, p.calls, errs)
		}
	}
	p := newPair(t)
	p.fail["DescribeSpotInstanceRequests"] = &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "no"}
	if code, _, errs := p.run(backed, "--every", "15s"); code != 5 || !strings.Contains(errs, "docs/iam/autoscalectl.json") || p.pauses != 0 {
		t.Errorf("without the right it ends with %d after %d pauses: %s", code, p.pauses, errs)
	}
}

func TestThePolicyListsTheCallsOfBalance(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.serving = 6
	p.run(backed, "--once")
	slices.Sort(p.calls)
	if got, want := slices.Compact(p.calls), policy(t, "Balance"); !slices.Equal(got, want) {
		t.Errorf("balance calls\n%v\nand docs/iam/autoscalectl.json allows\n%v", got, want)
	}
}
