package deploy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Tag selects the instances that carry it with one of its values.
type Tag struct {
	Key    string // as Systems Manager takes it: tag:NAME
	Values []string
}

// maxTagValues is how many values a target may have
// (https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_Target.html).
const maxTagValues = 50

// ParseTag reads tag:NAME=VALUE or tag:NAME=VALUE,VALUE.
func ParseTag(s string) (Tag, error) {
	key, list, ok := strings.Cut(s, "=")
	values := strings.Split(list, ",")
	bad := !ok || !regexp.MustCompile(`^tag:[^ ,=].{0,127}$`).MatchString(key) || len(values) > maxTagValues
	for _, v := range values {
		bad = bad || v == "" || len(v) > 256
	}
	if bad {
		return Tag{}, fmt.Errorf("%q is no target: want tag:NAME=VALUE, or up to %d values with commas between", s, maxTagValues)
	}
	return Tag{key, values}, nil
}

// String is what ParseTag reads.
func (t Tag) String() string { return t.Key + "=" + strings.Join(t.Values, ",") }

// Spreader has one order spread a deploy over the hosts of a wave by itself.
type Spreader interface {
	// Spread returns when the order has ended. It tells begun and settled of each
	// host once, chosen or not; errUntouched is of one that never began.
	Spread(ctx context.Context, s Spread) error
}

// Spread is what a Spreader is to do, and whom it tells.
type Spread struct {
	Hosts     []Host
	AtOnce    int
	MaxErrors int // failures after which no further host begins
	HostTime  time.Duration
	Begun     func(instance string)
	Settled   func(instance string, build release.ID, err error)
}

// errUntouched says that a host never began.
var errUntouched = errors.New("the command was stopped before it reached the host")

// SSMByTag sends one command to all instances with a tag. Which ones these are is
// known to Systems Manager alone, and told by their answers.
type SSMByTag struct {
	*SSM
	Tag Tag
}

// Spread implements Spreader.
func (e SSMByTag) Spread(ctx context.Context, s Spread) error {
	sent, err := e.API.SendCommand(ctx, &ssm.SendCommandInput{DocumentName: aws.String("AWS-RunShellScript"),
		Targets: []types.Target{{Key: &e.Tag.Key, Values: e.Tag.Values}}, Comment: aws.String("deployctl rollout"), TimeoutSeconds: aws.Int32(deliverTime),
		MaxConcurrency: aws.String(strconv.Itoa(s.AtOnce)), MaxErrors: aws.String(strconv.Itoa(s.MaxErrors)),
		Parameters: map[string][]string{"commands": {ssmScript}, "executionTimeout": {fmt.Sprint(int(s.HostTime.Seconds()))}}})
	if err != nil {
		return awsfault.New("ssm:SendCommand", "sending the command to "+e.Tag.String(), err)
	}
	command := aws.ToString(sent.Command.CommandId)
	seen, settled := map[string]bool{}, map[string]bool{}
	turns := (max(len(s.Hosts), 1) + s.AtOnce - 1) / s.AtOnce
	for end := e.Clock.Now().Add(time.Duration(turns+1) * (s.HostTime + deliverTime*time.Second)); ; {
		if err := e.Clock.Sleep(ctx, batchLook); err != nil {
			e.cancel(ctx, command)
			return err
		}
		over, err := e.ended(ctx, command) // asked first: what ends in between is then in the list
		if err == nil {
			err = e.answers(ctx, command, seen, settled, s)
		}
		if awserr.IsPassing(err) {
			over = false // not all may have been heard
		} else if err != nil {
			return err
		}
		late := e.Clock.Now().After(end)
		if late {
			e.cancel(ctx, command)
		}
		if over || late {
			e.missing(s, seen, settled, late)
			return nil
		}
	}
}

// ended says whether the command is over on all instances.
func (e SSMByTag) ended(ctx context.Context, command string) (bool, error) {
	out, err := e.API.ListCommands(ctx, &ssm.ListCommandsInput{CommandId: &command})
	if err != nil {
		return false, awsfault.New("ssm:ListCommands", "looking at the command", err)
	}
	if len(out.Commands) == 0 {
		return false, nil // sent a moment ago
	}
	switch out.Commands[0].Status {
	case types.CommandStatusPending, types.CommandStatusInProgress, types.CommandStatusCancelling:
		return false, nil
	}
	return true, nil
}

// answers tells what the instances have answered so far.
func (e SSMByTag) answers(ctx context.Context, command string, seen, settled map[string]bool, s Spread) error {
	in := &ssm.ListCommandInvocationsInput{CommandId: &command, Details: true, MaxResults: aws.Int32(batchHosts)}
	for {
		out, err := e.API.ListCommandInvocations(ctx, in)
		if err != nil {
			return awsfault.New("ssm:ListCommandInvocations", "looking at the command", err)
		}
		for _, i := range out.CommandInvocations {
			id := aws.ToString(i.InstanceId)
			if !seen[id] && i.Status != types.CommandInvocationStatusPending {
				seen[id] = true
				s.Begun(id)
			}
			if settled[id] || !over(i.Status) {
				continue
			}
			settled[id] = true
			build, err := e.read(ctx, command, i)
			if i.Status == types.CommandInvocationStatusCancelled && aws.ToString(i.StatusDetails) == "Terminated" {
				err = errUntouched // MaxErrors was reached
			}
			s.Settled(id, build, err)
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
}

// missing tells of the hosts that the command did not get to.
func (e SSMByTag) missing(s Spread, seen, settled map[string]bool, late bool) {
	for _, h := range s.Hosts {
		switch {
		case settled[h.Instance]:
		case late && seen[h.Instance]:
			s.Settled(h.Instance, "", fault.Newf(fault.Timeout, "", "SSM had no answer within %s", s.HostTime))
		default:
			s.Settled(h.Instance, "", fault.Newf(fault.Check, "tag it, or roll out by ids: leave --ssm-target out",
				"the command for %s did not reach it: it does not carry the tag, or SSM does not know it", e.Tag))
		}
	}
}

// spread has one order deploy to all hosts of a wave. Instances that answer and
// were not chosen become a wave of their own: they run the build as well, and
// a rollback has to reach them.
func (x *Executor) spread(ctx context.Context, r *Rollout, hosts []*HostRun, b *counter) error {
	known, beyond := map[string]*HostRun{}, Wave{Name: "beyond the selection"}
	for h := range r.each {
		known[h.Instance] = h
	}
	open := map[string]bool{}
	s := Spread{AtOnce: r.Strategy.Parallel, MaxErrors: max(0, r.Strategy.MaxUnhealthy.AtMost(r.Hosts())-r.Counts()[Failed]), HostTime: r.Strategy.HostTimeout}
	for _, h := range hosts {
		open[h.Instance] = true
		s.Hosts = append(s.Hosts, h.Host)
	}
	start := x.Clock.Now()
	s.Begun = func(id string) {
		if open[id] {
			b.begun(known[id])
		}
	}
	s.Settled = func(id string, build release.ID, err error) {
		if err == nil && build != r.Build {
			err = fmt.Errorf("it runs build %s, not %s: does it follow another channel?", build.Short(), r.Build.Short())
		}
		state, problem := outcome(err, Deployed, Failed)
		took := x.Clock.Now().Sub(start)
		switch h := known[id]; {
		case open[id] && errors.Is(err, errUntouched):
			h.State = Pending
		case open[id]:
			h.State, h.Problem, h.Took = state, problem, took
			b.host(h)
		case h != nil && state == Failed && !errors.Is(err, errUntouched): // the canary, which the tag selects as well
			h.State, h.Problem = state, problem
		case h == nil && !errors.Is(err, errUntouched):
			beyond.Hosts = append(beyond.Hosts, HostRun{Host: Host{Instance: id}, State: state, Problem: problem, Took: took})
			x.Board.Info(id + " carries the tag and was not chosen: it deployed, too")
		}
	}
	err := x.Tag.Spread(ctx, s)
	if len(beyond.Hosts) > 0 {
		r.Waves = append(r.Waves, beyond)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && r.verdict() == "" && slices.ContainsFunc(hosts, func(h *HostRun) bool { return h.State == Pending }) {
		err = fault.New(fault.Check, "", errors.New("somebody stopped the command"))
	}
	return err
}
