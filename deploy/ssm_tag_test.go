package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// tagged is Systems Manager with instances of one tag. A command runs on AtOnce of
// them between two looks, and stops once more than MaxErrors have failed.
type tagged struct {
	park
	ids     []string
	in      *ssm.SendCommandInput
	done    int
	hang    bool
	stopped bool
	calls   int
}

func (p *tagged) SendCommand(_ context.Context, in *ssm.SendCommandInput, _ ...func(*ssm.Options)) (*ssm.SendCommandOutput, error) {
	p.in, p.done = in, 0
	return &ssm.SendCommandOutput{Command: &types.Command{CommandId: aws.String("tag")}}, p.refuse
}

func (p *tagged) ListCommands(context.Context, *ssm.ListCommandsInput, ...func(*ssm.Options)) (*ssm.ListCommandsOutput, error) {
	if p.calls++; p.calls == 1 {
		return &ssm.ListCommandsOutput{}, nil // not known yet
	}
	var atOnce, most int
	_, _ = fmt.Sscan(*p.in.MaxConcurrency, &atOnce)
	_, _ = fmt.Sscan(*p.in.MaxErrors, &most)
	for range atOnce {
		if p.done < len(p.ids) && p.failed() <= most && !p.hang {
			p.done++
		}
	}
	status := types.CommandStatusInProgress
	if p.stopped = p.failed() > most; p.stopped {
		status = types.CommandStatusFailed
	} else if p.done == len(p.ids) {
		status = types.CommandStatusSuccess
	}
	return &ssm.ListCommandsOutput{Commands: []types.Command{{Status: status}}}, nil
}

func (p *tagged) failed() (n int) {
	for _, id := range p.ids[:p.done] {
		if p.park.bad[id] {
			n++
		}
	}
	return n
}

// ListCommandInvocations answers three a page.
func (p *tagged) ListCommandInvocations(_ context.Context, in *ssm.ListCommandInvocationsInput, _ ...func(*ssm.Options)) (*ssm.ListCommandInvocationsOutput, error) {
	from := 0
	if in.NextToken != nil {
		_, _ = fmt.Sscan(*in.NextToken, &from)
	}
	if p.busy > 0 {
		p.busy--
		return nil, &smithy.GenericAPIError{Code: "ThrottlingException", Message: "Rate exceeded"}
	}
	out := &ssm.ListCommandInvocationsOutput{}
	for n, id := range p.ids {
		if n < from || n >= from+3 {
			continue
		}
		i := types.CommandInvocation{InstanceId: aws.String(id), Status: types.CommandInvocationStatusInProgress}
		switch {
		case n < p.done && p.park.bad[id]:
			i.Status, i.CommandPlugins = types.CommandInvocationStatusFailed, []types.CommandPlugin{{ResponseCode: 4}}
		case n < p.done:
			i.Status, i.CommandPlugins = types.CommandInvocationStatusSuccess, []types.CommandPlugin{{Output: aws.String(`"current":"` + string(p.build()) + `"`)}}
		case p.stopped:
			i.Status, i.StatusDetails = types.CommandInvocationStatusCancelled, aws.String("Terminated")
		case !p.hang:
			i.Status = types.CommandInvocationStatusPending
		}
		out.CommandInvocations = append(out.CommandInvocations, i)
	}
	if from+3 < len(p.ids) {
		out.NextToken = aws.String(fmt.Sprint(from + 3))
	}
	return out, nil
}

func (p *tagged) build() release.ID { return release.ID(strings.Repeat("b", 64)) }

// ticking is a clock that every sleep moves on.
type ticking struct{ now time.Time }

func (c *ticking) Now() time.Time { return c.now }
func (c *ticking) Sleep(ctx context.Context, d time.Duration) error {
	c.now = c.now.Add(d)
	return ctx.Err()
}

func TestATagsAnswersAreLookedForAgainWhenSSMIsBusy(t *testing.T) {
	t.Parallel()
	p := &tagged{ids: []string{"i-00", "i-01", "i-02", "i-03"}}
	p.busy = 3
	if r, _, err := byTag(p, 4, 0); err != nil || r.Phase != Done {
		t.Errorf("%s, %v", r.Phase, err)
	}
}

// byTag runs a rollout over n hosts, two at once, against p.
func byTag(p *tagged, n int, unhealthy int) (*Rollout, *fleet, error) {
	f, hosts := newFleet(n)
	f.channel = p.build()
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Parallel: 2, MaxUnhealthy: Amount{N: unhealthy}, Target: "tag:Role=web"})
	r.Build = p.build()
	x := f.executor()
	x.Tag = SSMByTag{&SSM{API: p, Clock: &ticking{start()}}, Tag{"tag:Role", []string{"web"}}}
	return r, f, x.Run(context.Background(), r)
}

func ids(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("i-%02d", i))
	}
	return all
}

func TestOneCommandReachesATag(t *testing.T) {
	t.Parallel()
	p := &tagged{ids: append(ids(7), "i-guest")}
	r, f, err := byTag(p, 7, 0)
	if err != nil || r.Phase != Done || r.Counts()[Deployed] != 8 || len(r.Waves) != 3 || r.Waves[1].Name != "tag:Role=web" {
		t.Fatalf("%v, %s, %v in %d waves", err, r.Phase, r.Counts(), len(r.Waves))
	}
	if w := r.Waves[2]; w.Name != "beyond the selection" || len(w.Hosts) != 1 || w.Hosts[0].Instance != "i-guest" || w.Hosts[0].State != Deployed {
		t.Errorf("beyond: %+v", w)
	}
	if in := p.in; *in.Targets[0].Key != "tag:Role" || in.Targets[0].Values[0] != "web" || len(in.InstanceIds) != 0 || *in.MaxConcurrency != "2" || *in.MaxErrors != "0" {
		t.Errorf("sent %+v", in)
	}
	if fmt.Sprint(f.order) != "[i-00]" {
		t.Errorf("by ids went %v, want the canary alone", f.order)
	}
}

func TestATagThatDoesNotReachAHostFailsIt(t *testing.T) {
	t.Parallel()
	r, _, err := byTag(&tagged{ids: ids(4)}, 5, 1)
	if err != nil || r.Counts()[Failed] != 1 {
		t.Fatalf("%v, %v", err, r.Counts())
	}
	if h := r.Waves[1].Hosts[3]; h.State != Failed || !strings.Contains(h.Problem, "the command for tag:Role=web did not reach it") {
		t.Errorf("%+v", h)
	}
}

func TestMaxErrorsStopsACommandAndWhatItTouchedGoesBack(t *testing.T) {
	t.Parallel()
	p := &tagged{ids: append([]string{"i-guest"}, ids(7)...)}
	p.park.bad = map[string]bool{"i-01": true}
	r, f, err := byTag(p, 7, 0)
	if fault.KindOf(err) != fault.Check || r.Phase != RolledBack || !strings.Contains(r.Reason, "1 of 8 hosts failed, 0 are borne with: first i-01") {
		t.Fatalf("%v, %s", err, r.Phase)
	}
	// The guest and the canary, then 01; the rest was never touched.
	if n := r.Counts(); n[Restored] != 3 || n[Pending] != 5 {
		t.Errorf("%v", n)
	}
	if back := fmt.Sprint(f.order); strings.Contains(back, "i-05") || !strings.Contains(back, "i-guest") {
		t.Errorf("deployed by ids: %s", back)
	}
}

func TestACommandByTagThatHangsOrIsRefused(t *testing.T) {
	t.Parallel()
	p := &tagged{ids: ids(3), hang: true}
	r, _, err := byTag(p, 3, 0)
	if !strings.Contains(r.Reason, "SSM had no answer within 1m0s") || len(p.cancelled) != 1 {
		t.Errorf("it hangs: %v, cancelled %v", err, p.cancelled)
	}
	p = &tagged{ids: ids(3)}
	p.refuse = errors.New("no")
	if r, _, err = byTag(p, 3, 0); err == nil || !strings.Contains(err.Error(), "sending the command to tag:Role=web") || r.Phase != Rolling {
		t.Errorf("refused: %v, %s", err, r.Phase)
	}
}

// A resumed wave goes by ids: a tag cannot leave out who has deployed already.
func TestAResumedTagGoesByIds(t *testing.T) {
	t.Parallel()
	p := &tagged{ids: ids(3)}
	f, hosts := newFleet(3)
	f.channel = p.build()
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Target: "tag:Role=web"})
	r.Build = p.build()
	r.Waves[0].Hosts[0].State, r.Waves[1].Hosts[0].State, r.Waves[1].Hosts[1].State = Deployed, Deployed, Begun
	x := f.executor()
	x.Tag = SSMByTag{&SSM{API: p, Clock: &ticking{start()}}, Tag{"tag:Role", []string{"web"}}}
	if err := x.Run(context.Background(), r); err != nil || p.in != nil || fmt.Sprint(f.order) != "[i-02]" {
		t.Errorf("%v, sent %v, went %v", err, p.in, f.order)
	}
}

func TestParseTag(t *testing.T) {
	t.Parallel()
	if tag, err := ParseTag("tag:Role=web,db"); err != nil || tag.Key != "tag:Role" || len(tag.Values) != 2 || tag.String() != "tag:Role=web,db" {
		t.Errorf("%+v, %v", tag, err)
	}
	for _, bad := range []string{"", "Role=web", "tag:=web", "tag:Role", "tag:Role=", "tag:Role=a,,b", "tag:Role=" + strings.Repeat("a,", 60) + "a"} {
		if _, err := ParseTag(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
