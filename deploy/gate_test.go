package deploy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"bakehouse/internal/fault"
)

// door is a gate that says no when it is asked for the nth time.
type door struct {
	asked   []string
	no      int // 0: never
	err     error
	watched bool
}

func (d *door) Watched() bool { return d.watched }

func (d *door) Ask(_ context.Context, _ *Rollout, wave string) (string, error) {
	d.asked = append(d.asked, wave)
	if len(d.asked) == d.no {
		return "the door is shut", d.err
	}
	return "", nil
}

func TestGatesAreAskedAfterEachWave(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(5)
	x, gate := f.executor(), &door{}
	x.Gates = []Gate{gate}
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Pause: time.Minute})
	if err := x.Run(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if want := []string{"canary", "wave 1", "wave 2"}; !slices.Equal(gate.asked, want) || r.Held != 3 {
		t.Errorf("asked after %v (held %d), want %v", gate.asked, r.Held, want)
	}
	if want := []time.Duration{time.Minute, time.Minute, time.Minute}; !slices.Equal(f.slept, want) {
		t.Errorf("slept %v, want %v", f.slept, want)
	}
}

func TestAWatchedGateEndsThePause(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(5)
	x, gate := f.executor(), &door{watched: true, no: 3}
	x.Gates = []Gate{gate}
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Pause: time.Hour})
	err := x.Run(context.Background(), r)
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "after canary: the door is shut") || r.Phase != RolledBack {
		t.Errorf("%v, phase %s", err, r.Phase)
	}
	if len(f.slept) != 2 || f.slept[0] != gateEvery {
		t.Errorf("slept %v, want twice %s", f.slept, gateEvery)
	}
	if f.runs["i-00"] != oldBuild || f.runs["i-01"] != oldBuild || f.channel != oldBuild {
		t.Errorf("after the rollback: %v, channel %s", f.runs, f.channel)
	}
}

func TestAGateThatCannotTellStops(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(3)
	x := f.executor()
	x.Gates = []Gate{&door{no: 1, err: errors.New("no network")}}
	r := planned(hosts, Strategy{Canary: Amount{N: 1}})
	if err := x.Run(context.Background(), r); err == nil || !strings.Contains(err.Error(), "no network") || r.Phase != RolledBack {
		t.Errorf("%v, phase %s", err, r.Phase)
	}
}

// TestAResumedRolloutAsksTheGateThatNobodyAsked ends the first run in the pause.
func TestAResumedRolloutAsksTheGateThatNobodyAsked(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(3)
	x, gate := f.executor(), &door{}
	x.Gates = []Gate{gate}
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Pause: time.Minute})
	ctx, cancel := context.WithCancel(context.Background())
	f.at = func(string) { cancel() }
	if err := x.Run(ctx, r); err == nil {
		t.Fatal("the run was not interrupted")
	}
	f.at = nil
	if err := x.Run(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if want := []string{"canary", "wave 1"}; !slices.Equal(gate.asked, want) {
		t.Errorf("asked after %v, want %v", gate.asked, want)
	}
}

// board is CloudWatch with some alarms.
type alarmBoard map[string]types.StateValue

func (b alarmBoard) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	out := &cloudwatch.DescribeAlarmsOutput{}
	for _, name := range in.AlarmNames {
		if state, ok := b[name]; ok && strings.HasPrefix(name, "all-") {
			out.CompositeAlarms = append(out.CompositeAlarms, types.CompositeAlarm{AlarmName: aws.String(name), StateValue: state})
		} else if ok {
			out.MetricAlarms = append(out.MetricAlarms, types.MetricAlarm{AlarmName: aws.String(name), StateValue: state})
		}
	}
	return out, nil
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	b := alarmBoard{"fine": types.StateValueOk, "new": types.StateValueInsufficientData, "all-bad": types.StateValueAlarm}
	ctx := context.Background()
	if why, err := (Alarms{b, []string{"fine", "new"}}).Ask(ctx, nil, ""); why != "" || err != nil {
		t.Errorf("quiet alarms: %q, %v", why, err)
	}
	if why, err := (Alarms{b, []string{"fine", "all-bad"}}).Ask(ctx, nil, ""); why != "alarm all-bad went off" || err != nil {
		t.Errorf("a loud one: %q, %v", why, err)
	}
	if err := (Alarms{b, []string{"fine", "new"}}).Check(ctx); err != nil {
		t.Error(err)
	}
	if err := (Alarms{b, []string{"nope"}}).Check(ctx); fault.KindOf(err) != fault.Usage {
		t.Errorf("an unknown alarm: %v", err)
	}
	if err := (Alarms{b, []string{"all-bad"}}).Check(ctx); fault.KindOf(err) != fault.Check {
		t.Errorf("an alarm that is on already: %v", err)
	}
}

func TestCommandGate(t *testing.T) {
	t.Parallel()
	r := planned(nil, Strategy{})
	env := []string{"PATH=/usr/bin:/bin"}
	for script, want := range map[string]string{
		`test "$BAKEHOUSE_WAVE $BAKEHOUSE_BUILD $BAKEHOUSE_CHANNEL" = "canary bb production"`: "",
		`echo first; echo errors are up; exit 3`:                                              `says no (exit status 3): errors are up`,
		`sleep 60 & wait`:                                                                     "did not end within",
	} {
		c := Command{Script: script, Env: env, Timeout: 5 * time.Second}
		if strings.Contains(script, "sleep") {
			c.Timeout = 50 * time.Millisecond
		}
		why, err := c.Ask(context.Background(), r, "canary")
		if err != nil || !strings.Contains(why, want) || want == "" && why != "" {
			t.Errorf("%s: %q, %v; want %q", script, why, err, want)
		}
	}
}

func TestAGateThatLeavesSomethingBehindStillAnswers(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for script, want := range map[string]string{"sleep 120 & exit 0": "", "echo no; sleep 120 & exit 1": "says no (exit status 1): no"} {
		why, err := Command{Script: script, Env: []string{"PATH=/usr/bin:/bin"}, Timeout: time.Minute}.Ask(ctx, planned(nil, Strategy{}), "canary")
		if err != nil || !strings.Contains(why, want) || want == "" && why != "" || ctx.Err() != nil {
			t.Errorf("%s: %q, %v, %v; want %q", script, why, err, ctx.Err(), want)
		}
	}
}

func TestAGateThatPrintsWithoutEndIsNotKept(t *testing.T) {
	t.Parallel()
	var kept lastBytes
	for range 1000 {
		if n, err := kept.Write([]byte(strings.Repeat("x", 999) + "\n")); n != 1000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(kept.b) > 2*maxSaid || !strings.HasSuffix(string(kept.b), "xx\n") {
		t.Errorf("%d bytes of a gate's words are kept", len(kept.b))
	}
}
