package deploy

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// Gate is asked after each wave whether the rollout may go on.
type Gate interface {
	// Ask returns why it must not, or "". An error says that the gate cannot
	// tell, and stops the rollout as well: nobody goes on blindly.
	Ask(ctx context.Context, r *Rollout, wave string) (string, error)
	// Watched says whether it is asked again and again during the pause after
	// a wave, not at its end alone.
	Watched() bool
}

// gateEvery is the pause between two looks at the watched gates.
const gateEvery = 15 * time.Second

// hold waits out the pause after wave i, if another one follows or gates look
// at what the wave has done, and asks the gates. Waves that were held are
// counted, so that a resumed rollout does not get past a gate that nobody asked.
func (x *Executor) hold(ctx context.Context, r *Rollout, i int) error {
	last := i == len(r.Waves)-1
	if r.Held > i || last && len(x.Gates) == 0 {
		return nil
	}
	name := r.Waves[i].Name
	if r.Strategy.Pause > 0 {
		x.Board.Info(fmt.Sprintf("pause of %s after %s", r.Strategy.Pause, name))
	}
	for left := r.Strategy.Pause; left > 0; left -= gateEvery {
		if err := x.ask(ctx, r, name, true); err != nil {
			return err
		}
		step := left
		if slices.ContainsFunc(x.Gates, Gate.Watched) {
			step = min(left, gateEvery)
		} else {
			left = 0
		}
		if err := x.Clock.Sleep(ctx, step); err != nil {
			return err
		}
	}
	if err := x.ask(ctx, r, name, false); err != nil {
		return err
	}
	r.Held = i + 1
	return nil
}

// ask asks the gates, or the watched ones alone. What one says stops the rollout.
func (x *Executor) ask(ctx context.Context, r *Rollout, wave string, watched bool) error {
	for _, g := range x.Gates {
		if watched && !g.Watched() {
			continue
		}
		why, err := g.Ask(ctx, r, wave)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			why = err.Error()
		}
		if why == "" {
			continue
		}
		r.Reason, r.Phase = "after "+wave+": "+why, RollingBack
		return errors.Join(errors.New(r.Reason), x.save(ctx, r))
	}
	return nil
}

// CloudWatch is the call of CloudWatch that Alarms makes.
type CloudWatch interface {
	DescribeAlarms(context.Context, *cloudwatch.DescribeAlarmsInput, ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error)
}

// Alarms is a gate: none of the named CloudWatch alarms may be in state ALARM.
type Alarms struct {
	API   CloudWatch
	Names []string // up to 100
}

// Watched: an alarm that goes off during a pause ends it.
func (a Alarms) Watched() bool { return true }

// Ask names the alarms that went off.
func (a Alarms) Ask(ctx context.Context, _ *Rollout, _ string) (string, error) {
	states, err := a.states(ctx)
	if err != nil {
		return "", err
	}
	var off []string
	for _, name := range a.Names {
		if states[name] == types.StateValueAlarm {
			off = append(off, name)
		}
	}
	if len(off) == 0 {
		return "", nil
	}
	return "alarm " + strings.Join(off, ", ") + " went off", nil
}

// Check refuses, before anything is touched, alarms that do not exist and such
// as are in state ALARM already: they would stop the first wave.
func (a Alarms) Check(ctx context.Context) error {
	states, err := a.states(ctx)
	if err != nil {
		return err
	}
	for _, name := range a.Names {
		switch state, known := states[name]; {
		case !known:
			return fault.Newf(fault.Usage, "correct --alarm, or the region", "looking at alarm %s: there is none of that name", name)
		case state == types.StateValueAlarm:
			return fault.Newf(fault.Check, "wait until it is over, or leave --alarm "+name+" out", "looking at alarm %s: it is in state ALARM already", name)
		}
	}
	return nil
}

func (a Alarms) states(ctx context.Context) (map[string]types.StateValue, error) {
	out, err := a.API.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: a.Names, MaxRecords: aws.Int32(100),
		AlarmTypes: []types.AlarmType{types.AlarmTypeMetricAlarm, types.AlarmTypeCompositeAlarm}})
	if err != nil {
		return nil, awsfault.New("cloudwatch:DescribeAlarms", "looking at alarms", err)
	}
	states := map[string]types.StateValue{}
	for _, m := range out.MetricAlarms {
		states[aws.ToString(m.AlarmName)] = m.StateValue
	}
	for _, c := range out.CompositeAlarms {
		states[aws.ToString(c.AlarmName)] = c.StateValue
	}
	return states, nil
}

// gateLinger is how long the output of a command that has ended is waited for:
// what it left running may hold the pipe.
const gateLinger = time.Second

// maxSaid is how much of a command's output is kept, in bytes.
const maxSaid = 16 << 10

// lastBytes keeps the end of what is written to it.
type lastBytes struct{ b []byte }

func (l *lastBytes) Write(p []byte) (int, error) {
	if l.b = append(l.b, p...); len(l.b) > 2*maxSaid {
		l.b = append(l.b[:0], l.b[len(l.b)-maxSaid:]...)
	}
	return len(p), nil
}

// Command is a gate: a shell command on the operator's machine that must end
// with 0. It is told where the rollout stands by BAKEHOUSE_ variables.
type Command struct {
	Script  string
	Env     []string // of the command, beside its own
	Timeout time.Duration
}

// Watched: a command is asked once, at the end of the pause.
func (c Command) Watched() bool { return false }

// Ask runs the command; the last line that it printed is the reason.
func (c Command) Ask(ctx context.Context, r *Rollout, wave string) (string, error) {
	limit, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	cmd := exec.CommandContext(limit, "sh", "-c", c.Script)
	n := r.Counts()
	cmd.Env = append(slices.Clone(c.Env), "BAKEHOUSE_ROLLOUT="+r.ID, "BAKEHOUSE_APP="+r.App, "BAKEHOUSE_CHANNEL="+r.Channel,
		"BAKEHOUSE_BUILD="+string(r.Build), "BAKEHOUSE_PREVIOUS="+string(r.Previous), "BAKEHOUSE_WAVE="+wave,
		fmt.Sprintf("BAKEHOUSE_DEPLOYED=%d", n[Deployed]), fmt.Sprintf("BAKEHOUSE_FAILED=%d", n[Failed]), fmt.Sprintf("BAKEHOUSE_HOSTS=%d", r.Hosts()))
	// What the shell started must end with it, or the pipe stays open.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = gateLinger
	var said lastBytes
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if cmd.Process != nil {
		_ = cmd.Cancel() // what it left running ends, too
	}
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // it said yes, and left something running
		return "", nil
	}
	if limit.Err() != nil && ctx.Err() == nil {
		return fmt.Sprintf("the gate %q did not end within %s", c.Script, c.Timeout), nil
	}
	lines := strings.Split(strings.TrimSpace(string(said.b)), "\n")
	return strings.TrimSuffix(fmt.Sprintf("the gate %q says no (%v): %s", c.Script, err, lines[len(lines)-1]), ": "), nil
}
