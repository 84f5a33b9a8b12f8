package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"bakehouse/internal/fault"
)

// park is Systems Manager with some instances.
type park struct {
	mu        sync.Mutex
	lost      map[string]types.PingStatus // instances that are not online; "" is unknown
	bad       map[string]bool             // instances on which the agent fails
	slow      int                         // looks until a command is over
	looks     map[string]int              // by command
	sent      [][]string                  // ids of each command
	limits    []string
	cancelled []string
	refuse    error
	dead      string        // an instance that ended, which DescribeInstanceInformation still calls online
	busy      int           // looks that are throttled
	over      chan struct{} // closed by a cancel
}

func (p *park) DescribeInstanceInformation(_ context.Context, in *ssm.DescribeInstanceInformationInput, _ ...func(*ssm.Options)) (*ssm.DescribeInstanceInformationOutput, error) {
	out := &ssm.DescribeInstanceInformationOutput{}
	for _, id := range in.Filters[0].Values {
		status, lost := p.lost[id]
		if lost && status == "" {
			continue
		}
		if !lost {
			status = types.PingStatusOnline
		}
		out.InstanceInformationList = append(out.InstanceInformationList, types.InstanceInformation{InstanceId: aws.String(id), PingStatus: status})
	}
	return out, nil
}

func (p *park) SendCommand(_ context.Context, in *ssm.SendCommandInput, _ ...func(*ssm.Options)) (*ssm.SendCommandOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		return nil, p.refuse
	}
	if slices.Contains(in.InstanceIds, p.dead) {
		return nil, &smithy.GenericAPIError{Code: "InvalidInstanceId", Message: "Instances not in a valid state for account"}
	}
	p.sent = append(p.sent, in.InstanceIds)
	p.limits = append(p.limits, in.Parameters["executionTimeout"][0])
	return &ssm.SendCommandOutput{Command: &types.Command{CommandId: aws.String(fmt.Sprint(len(p.sent) - 1))}}, nil
}

func (p *park) ListCommandInvocations(_ context.Context, in *ssm.ListCommandInvocationsInput, _ ...func(*ssm.Options)) (*ssm.ListCommandInvocationsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks[*in.CommandId]++
	if p.busy > 0 {
		p.busy--
		return nil, &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	}
	var n int
	_, _ = fmt.Sscan(*in.CommandId, &n)
	out := &ssm.ListCommandInvocationsOutput{}
	for _, id := range p.sent[n] {
		i := types.CommandInvocation{InstanceId: aws.String(id), Status: types.CommandInvocationStatusInProgress}
		if p.looks[*in.CommandId] > p.slow {
			i.Status = types.CommandInvocationStatusSuccess
			i.CommandPlugins = []types.CommandPlugin{{Output: aws.String(`"current":"` + strings.Repeat("b", 64) + `"`)}}
			if p.bad[id] {
				i.Status, i.CommandPlugins[0] = types.CommandInvocationStatusFailed, types.CommandPlugin{ResponseCode: 4, Output: aws.String("cut off")}
			}
		}
		out.CommandInvocations = append(out.CommandInvocations, i)
	}
	return out, nil
}

func (p *park) ListCommands(context.Context, *ssm.ListCommandsInput, ...func(*ssm.Options)) (*ssm.ListCommandsOutput, error) {
	return nil, errors.New("commands by ids are not asked for as a whole")
}

func (p *park) GetCommandInvocation(context.Context, *ssm.GetCommandInvocationInput, ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error) {
	return &ssm.GetCommandInvocationOutput{StandardErrorContent: aws.String("boot-agent: error: not healthy\n  next: look\n")}, nil
}

func (p *park) CancelCommand(_ context.Context, in *ssm.CancelCommandInput, _ ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cancelled = append(p.cancelled, *in.CommandId)
	if p.over != nil {
		close(p.over)
	}
	return &ssm.CancelCommandOutput{}, nil
}

// gathering is a clock on which a batch waits until it is full, or until let go.
type gathering struct{ let chan struct{} }

func (gathering) Now() time.Time { return start() }

func (g gathering) Sleep(ctx context.Context, d time.Duration) error {
	if d != batchWindow {
		return ctx.Err()
	}
	select {
	case <-g.let:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// deployAll deploys to n hosts at once, and lets the last batch go when all of
// them wait.
func deployAll(ctx context.Context, t *testing.T, p *park, n int) (builds map[string]string, errs map[string]error) {
	t.Helper()
	p.looks = map[string]int{}
	let := make(chan struct{})
	e := &SSM{API: p, Clock: gathering{let}}
	builds, errs = map[string]string{}, map[string]error{}
	var mu sync.Mutex
	var wait, joined sync.WaitGroup
	for i := range n {
		joined.Add(1)
		wait.Go(func() {
			id := fmt.Sprintf("i-%03d", i)
			w := &inBatch{id: id, ended: ctx.Done(), done: make(chan outcomeOf, 1)}
			e.join(ctx, w)
			joined.Done()
			var o outcomeOf
			select {
			case o = <-w.done:
			case <-ctx.Done():
				o.err = context.Cause(ctx)
			}
			mu.Lock()
			defer mu.Unlock()
			builds[id], errs[id] = string(o.build), o.err
		})
	}
	joined.Wait()
	close(let)
	wait.Wait()
	return builds, errs
}

func TestSSMSharesCommands(t *testing.T) {
	t.Parallel()
	p := &park{slow: 3, bad: map[string]bool{"i-007": true}, lost: map[string]types.PingStatus{"i-008": "", "i-009": types.PingStatusConnectionLost}}
	builds, errs := deployAll(context.Background(), t, p, 120)
	if len(p.sent) != 3 {
		t.Errorf("%d commands for 120 hosts, want 3", len(p.sent))
	}
	var all []string
	for _, ids := range p.sent {
		if len(ids) > batchHosts {
			t.Errorf("a command for %d hosts", len(ids))
		}
		all = append(all, ids...)
	}
	slices.Sort(all)
	if len(slices.Compact(all)) != 118 || slices.Contains(all, "i-008") {
		t.Errorf("commands went to %d hosts", len(all))
	}
	for id, want := range map[string]string{"i-007": "boot-agent deploy: exit code 4: not healthy", "i-008": "SSM does not know the instance", "i-009": "SSM has lost the instance (ConnectionLost)"} {
		if errs[id] == nil || errs[id].Error() != want {
			t.Errorf("%s: %v, want %s", id, errs[id], want)
		}
		delete(errs, id)
	}
	for id, err := range errs {
		if err != nil || builds[id] != strings.Repeat("b", 64) {
			t.Errorf("%s: %s, %v", id, builds[id], err)
		}
	}
}

func TestSSMGoesOnWithoutAnInstanceThatEndedMeanwhile(t *testing.T) {
	t.Parallel()
	p := &park{dead: "i-004"}
	builds, errs := deployAll(context.Background(), t, p, 10)
	for id, err := range errs {
		if id == p.dead {
			if fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "InvalidInstanceId") {
				t.Errorf("%s: %v", id, err)
			}
		} else if err != nil || builds[id] != strings.Repeat("b", 64) {
			t.Errorf("%s, which lives: %s, %v", id, builds[id], err)
		}
	}
}

func TestSSMLooksAgainWhenItIsThrottled(t *testing.T) {
	t.Parallel()
	p := &park{busy: 5, slow: 5}
	_, errs := deployAll(context.Background(), t, p, 3)
	for id, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestSSMRefusedNamesTheRight(t *testing.T) {
	t.Parallel()
	p := &park{refuse: &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}}
	_, errs := deployAll(context.Background(), t, p, 3)
	for id, err := range errs {
		if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "ssm:SendCommand") {
			t.Errorf("%s: %v, next %q", id, err, fault.NextOf(err))
		}
	}
}

func TestSSMIsCancelledWithTheLastHost(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("interrupted")
	p := &park{slow: 1 << 30, looks: map[string]int{}, over: make(chan struct{})}
	let := make(chan struct{})
	close(let)
	e := &SSM{API: p, Clock: waiting{gathering{let}, func() { cancel(why) }}}
	if _, err := e.Deploy(ctx, Host{Instance: "i-1"}); !errors.Is(err, why) {
		t.Errorf("deploying: %v", err)
	}
	<-p.over // the test's own deadline ends it when nobody cancels
}

// waiting ends the caller at the first look, and then waits as a real clock does.
type waiting struct {
	gathering
	look func()
}

func (w waiting) Sleep(ctx context.Context, d time.Duration) error {
	if d == batchWindow {
		return w.gathering.Sleep(ctx, d)
	}
	w.look()
	<-ctx.Done()
	return context.Cause(ctx)
}
