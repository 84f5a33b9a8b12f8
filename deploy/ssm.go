package deploy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"golang.org/x/sync/errgroup"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// RunCommand is the part of Systems Manager that SSM uses.
type RunCommand interface {
	SendCommand(context.Context, *ssm.SendCommandInput, ...func(*ssm.Options)) (*ssm.SendCommandOutput, error)
	ListCommands(context.Context, *ssm.ListCommandsInput, ...func(*ssm.Options)) (*ssm.ListCommandsOutput, error)
	ListCommandInvocations(context.Context, *ssm.ListCommandInvocationsInput, ...func(*ssm.Options)) (*ssm.ListCommandInvocationsOutput, error)
	GetCommandInvocation(context.Context, *ssm.GetCommandInvocationInput, ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error)
	DescribeInstanceInformation(context.Context, *ssm.DescribeInstanceInformationInput, ...func(*ssm.Options)) (*ssm.DescribeInstanceInformationOutput, error)
	CancelCommand(context.Context, *ssm.CancelCommandInput, ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error)
}

const (
	// batchHosts is how many ids SendCommand takes
	// (https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html).
	batchHosts  = 50
	batchWindow = 200 * time.Millisecond // how long the first host of a batch waits for more
	batchLook   = 2 * time.Second        // between two looks at a command
	deliverTime = 60                     // seconds in which an instance must have taken the command
	cancelTime  = 5 * time.Second
)

// ssmScript is deployScript for Run Command, which keeps 2,500 characters of
// output in a list: the build alone is printed.
const ssmScript = "boot-agent deploy >&2 || exit $?\nboot-agent status --json | tr -d ' \\n' | grep -o '\"current\":\"[0-9a-f]*\"' || true"

// SSM is the engine that has Systems Manager's Run Command run the agent: no
// port is open, no key is placed. Hosts that are deployed to at the same time
// share a command, up to 50 of them, and one look at it; so a wave of 500 hosts
// costs ten commands. It may be used by several goroutines.
type SSM struct {
	API   RunCommand
	Clock Clock

	mu   sync.Mutex
	open *batch // gathering; nil: none
}

// batch is hosts that share a command.
type batch struct {
	hosts []*inBatch
	full  chan struct{} // closed when no more fit
}

// inBatch is one host that waits for its outcome.
type inBatch struct {
	id    string
	ended <-chan struct{} // closed when nobody waits any more
	until time.Time       // when that is at the latest; zero: not known
	done  chan outcomeOf  // takes one
}

type outcomeOf struct {
	build release.ID
	err   error
}

// Deploy has the agent of h deploy.
func (e *SSM) Deploy(ctx context.Context, h Host) (release.ID, error) {
	w := &inBatch{id: h.Instance, ended: ctx.Done(), done: make(chan outcomeOf, 1)}
	w.until, _ = ctx.Deadline()
	e.join(ctx, w)
	select {
	case o := <-w.done:
		return o.build, o.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// join puts w into the open batch, or opens one.
func (e *SSM) join(ctx context.Context, w *inBatch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		b := &batch{full: make(chan struct{})}
		e.open = b
		go e.gather(ctx, b)
	}
	b := e.open
	if b.hosts = append(b.hosts, w); len(b.hosts) == batchHosts {
		e.open = nil
		close(b.full)
	}
}

// gather gives a batch time to fill, then runs it. The batch outlives any
// single host's context, and ends when all of them have.
func (e *SSM) gather(first context.Context, b *batch) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(first))
	defer cancel()
	window, stop := context.WithCancel(first)
	go func() {
		select {
		case <-b.full:
			stop()
		case <-window.Done():
		}
	}()
	_ = e.Clock.Sleep(window, batchWindow) // cut short when the batch is full
	stop()
	e.mu.Lock()
	if e.open == b {
		e.open = nil
	}
	hosts := b.hosts
	e.mu.Unlock()
	go func() {
		for _, h := range hosts {
			<-h.ended
		}
		cancel()
	}()
	if err := e.run(ctx, hosts); err != nil {
		for _, h := range hosts {
			h.settle("", err)
		}
	}
}

// settle tells the outcome; a second one is dropped.
func (h *inBatch) settle(build release.ID, err error) {
	select {
	case h.done <- outcomeOf{build, err}:
	default:
	}
}

// run sends the command to the hosts whose SSM agent is there, and tells each
// host's outcome. An error is that of all hosts that have none yet.
func (e *SSM) run(ctx context.Context, hosts []*inBatch) error {
	hosts, err := e.reachable(ctx, hosts)
	if err != nil || len(hosts) == 0 {
		return err
	}
	waiting := map[string]*inBatch{}
	var ids []string
	for _, h := range hosts {
		waiting[h.id] = h
		ids = append(ids, h.id)
	}
	sent, err := e.API.SendCommand(ctx, &ssm.SendCommandInput{DocumentName: aws.String("AWS-RunShellScript"), InstanceIds: ids,
		Comment: aws.String("deployctl rollout"), TimeoutSeconds: aws.Int32(deliverTime),
		// The waves are ours: within one, no host waits for another, and none is left out because another failed.
		MaxConcurrency: aws.String("100%"), MaxErrors: aws.String("100%"),
		Parameters: map[string][]string{"commands": {ssmScript}, "executionTimeout": {e.limit(hosts)}}})
	if awserr.Code(err) == "InvalidInstanceId" && len(hosts) > 1 {
		return e.apart(ctx, hosts)
	}
	if err != nil {
		return awsfault.New("ssm:SendCommand", "sending the command", err)
	}
	command := aws.ToString(sent.Command.CommandId)
	for len(waiting) > 0 {
		if err := e.Clock.Sleep(ctx, batchLook); err != nil {
			e.cancel(ctx, command)
			return err
		}
		// The hosts' own time bounds how often a look may fail.
		if err := e.look(ctx, command, waiting); err != nil && !awserr.IsPassing(err) {
			return err
		}
	}
	return nil
}

// apart runs a batch in two halves: one of its instances has ended since SSM
// heard of it, and SendCommand refuses all for it.
func (e *SSM) apart(ctx context.Context, hosts []*inBatch) error {
	var halves errgroup.Group
	for _, half := range [][]*inBatch{hosts[:len(hosts)/2], hosts[len(hosts)/2:]} {
		halves.Go(func() error {
			if err := e.run(ctx, half); err != nil {
				for _, h := range half {
					h.settle("", err)
				}
			}
			return nil
		})
	}
	return halves.Wait()
}

// limit is the seconds that the longest of the hosts' deadlines leaves.
func (e *SSM) limit(hosts []*inBatch) string {
	longest := time.Minute
	for _, h := range hosts {
		if h.until.IsZero() {
			longest = max(longest, time.Hour)
		} else {
			longest = max(longest, h.until.Sub(e.Clock.Now()))
		}
	}
	return fmt.Sprint(int(longest.Seconds()))
}

// reachable tells the hosts without an SSM agent so: one of them would have
// SendCommand refuse all.
func (e *SSM) reachable(ctx context.Context, hosts []*inBatch) ([]*inBatch, error) {
	var ids []string
	for _, h := range hosts {
		ids = append(ids, h.id)
	}
	online := map[string]types.PingStatus{}
	in := &ssm.DescribeInstanceInformationInput{MaxResults: aws.Int32(batchHosts),
		Filters: []types.InstanceInformationStringFilter{{Key: aws.String("InstanceIds"), Values: ids}}}
	for {
		out, err := e.API.DescribeInstanceInformation(ctx, in)
		if err != nil {
			return nil, awsfault.New("ssm:DescribeInstanceInformation", "asking which hosts SSM reaches", err)
		}
		for _, i := range out.InstanceInformationList {
			online[aws.ToString(i.InstanceId)] = i.PingStatus
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			break
		}
	}
	var good []*inBatch
	for _, h := range hosts {
		switch status, known := online[h.id]; {
		case !known:
			h.settle("", fault.Newf(fault.Check, "give its instance profile AmazonSSMManagedInstanceCore, and see that the SSM agent runs", "SSM does not know the instance"))
		case status != types.PingStatusOnline:
			h.settle("", fault.Newf(fault.Check, "see why its SSM agent does not answer", "SSM has lost the instance (%s)", status))
		default:
			good = append(good, h)
		}
	}
	return good, nil
}

// look asks once how the command stands on all hosts.
func (e *SSM) look(ctx context.Context, command string, waiting map[string]*inBatch) error {
	in := &ssm.ListCommandInvocationsInput{CommandId: &command, Details: true, MaxResults: aws.Int32(batchHosts)}
	for {
		out, err := e.API.ListCommandInvocations(ctx, in)
		if err != nil {
			return awsfault.New("ssm:ListCommandInvocations", "looking at the command", err)
		}
		for _, i := range out.CommandInvocations {
			h := waiting[aws.ToString(i.InstanceId)]
			if h == nil || !over(i.Status) {
				continue
			}
			delete(waiting, h.id)
			h.settle(e.read(ctx, command, i))
		}
		if in.NextToken = out.NextToken; aws.ToString(in.NextToken) == "" {
			return nil
		}
	}
}

func over(s types.CommandInvocationStatus) bool {
	switch s {
	case types.CommandInvocationStatusPending, types.CommandInvocationStatusInProgress, types.CommandInvocationStatusDelayed, types.CommandInvocationStatusCancelling:
		return false
	}
	return true
}

// read tells the build that the host printed, or why it has none.
func (e *SSM) read(ctx context.Context, command string, i types.CommandInvocation) (release.ID, error) {
	var printed strings.Builder
	code := int32(0)
	for _, p := range i.CommandPlugins {
		printed.WriteString(aws.ToString(p.Output))
		code = max(code, p.ResponseCode)
	}
	switch i.Status {
	case types.CommandInvocationStatusSuccess:
		m := regexp.MustCompile(`"current":"([0-9a-f]{64})"`).FindStringSubmatch(printed.String())
		if m == nil {
			return "", errors.New("reading the status of boot-agent: it names no release")
		}
		return release.ID(m[1]), nil
	case types.CommandInvocationStatusFailed:
		return "", fmt.Errorf("boot-agent deploy: exit code %d: %s", code, lastError(e.stderr(ctx, command, i, printed.String())))
	}
	return "", fmt.Errorf("running boot-agent deploy by SSM: %s: %s", i.Status, strings.TrimSpace(aws.ToString(i.StatusDetails)))
}

// stderr asks for what the list has only the beginning of.
func (e *SSM) stderr(ctx context.Context, command string, i types.CommandInvocation, printed string) string {
	out, err := e.API.GetCommandInvocation(ctx, &ssm.GetCommandInvocationInput{CommandId: &command, InstanceId: i.InstanceId})
	if err != nil || aws.ToString(out.StandardErrorContent) == "" {
		return printed
	}
	return aws.ToString(out.StandardErrorContent)
}

// cancel has Run Command stop what it has not begun yet.
func (e *SSM) cancel(ctx context.Context, command string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer cancel()
	_, _ = e.API.CancelCommand(ctx, &ssm.CancelCommandInput{CommandId: &command}) // best effort: a deploy that goes on does no harm
}
