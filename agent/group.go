package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

const (
	heartbeat         = 30 * time.Second // EC2 Auto Scaling takes no hook shorter than that
	defaultLaunchTime = 30 * time.Minute

	resultContinue = "CONTINUE"
	resultAbandon  = "ABANDON"
)

// Hook names a pending lifecycle action of an Auto Scaling group.
type Hook struct{ Group, Name, Instance string }

// Groups answers the lifecycle hooks of Auto Scaling groups.
type Groups interface {
	// Heartbeat gives a pending action its whole time again.
	Heartbeat(ctx context.Context, h Hook) error
	// Complete ends a pending action with CONTINUE or ABANDON. An action that
	// nobody waits for any more is no error.
	Complete(ctx context.Context, h Hook, result string) error
}

// Answer is what the instance told its group, and on the way to which state.
type Answer struct {
	Target string `json:"target,omitempty"` // lifecycle state; "" outside a group
	Result string `json:"result,omitempty"` // CONTINUE or ABANDON; "" when there was nobody to tell
}

// errLaunchTime ends a first boot that its launch hook cannot wait for.
var errLaunchTime = errors.New("the launch took too long")

// chainInGroup runs the chain as a member of its group: with heartbeats while
// it works, and its outcome as the answer to the launch hook. An instance that
// waits in a warm pool is prepared up to the pull; its app is started when the
// group takes it into service, with the build that is current by then.
func (s *session) chainInGroup(ctx context.Context) error {
	if err := s.runChain(ctx, Identify); err != nil {
		return err
	}
	var n Notice
	if err := s.askMetadata(ctx, "asking what the group intends", func() (err error) {
		n, err = s.deps.Metadata.Notice(ctx)
		return err
	}); err != nil && s.j.Warm {
		return err // to take it out of its pool on no word is worse than to wait for one
	} else if err != nil {
		s.deps.Events.Note("the group's intention is unknown: " + err.Error())
	}
	last := Start
	if n.warmed() {
		last = Pull
	} else if err := s.wake(); err != nil {
		return err
	}
	workCtx, stop := s.keepHook(ctx)
	err := s.runChain(workCtx, last)
	if err == nil && last == Start && !s.told(s.j) {
		err = s.current(workCtx)
	}
	stop()
	if errors.Is(context.Cause(workCtx), errLaunchTime) && err != nil {
		err = s.tooLate(err)
	}
	return errors.Join(err, s.tellOutcome(ctx, n, err))
}

// runChain runs the unfinished stages up to and with last.
func (s *session) runChain(ctx context.Context, last Stage) error {
	for _, st := range s.chain() {
		if !s.j.finished(st.name) {
			if err := s.runStage(ctx, st); err != nil {
				return err
			}
		}
		if st.name == last {
			return nil
		}
	}
	return nil
}

// wake takes an instance out of its warm pool: what it pulled may be old.
func (s *session) wake() error {
	if !s.j.Warm {
		return nil
	}
	s.deps.Events.Note("taken out of the warm pool")
	s.j.Warm, s.j.Hook = false, nil
	if s.conf.App != nil {
		s.j.record(Pull).State = Pending
	}
	return s.save()
}

// current pulls once more before the group is told, and starts again where the
// channel has moved: an instance born during a deploy must not serve the old build.
func (s *session) current(ctx context.Context) error {
	if s.conf.App == nil {
		return nil
	}
	before := s.j.Build
	if err := s.pull(ctx); err != nil || s.j.Build == before {
		return err
	}
	s.deps.Events.Note("the channel moved while the app was started; starting the new build")
	return s.start(ctx)
}

// launchHook is the launch hook to answer; nil without one, without a group, and once
// it was answered.
func (s *session) launchHook() *Hook {
	group := s.j.Identity.Group()
	if s.conf.Group.LaunchHook == "" || group == "" || s.j.Hook != nil {
		return nil
	}
	return &Hook{Group: group, Name: s.conf.Group.LaunchHook, Instance: s.j.InstanceID}
}

// keepHook sends heartbeats for the launch hook until stop is called. The
// context it returns ends when the launch has taken longer than its limit,
// counted from the first run, whatever was killed in between.
func (s *session) keepHook(ctx context.Context) (work context.Context, stop func()) {
	h := s.launchHook()
	if h == nil {
		return ctx, func() {}
	}
	left := s.launchEnd().Sub(s.deps.Clock.Now())
	work, cancel := context.WithTimeoutCause(ctx, max(left, 0), errLaunchTime)
	cloud, err := s.connect(work)
	if err != nil {
		s.deps.Events.Note("no heartbeats for the launch hook: " + err.Error())
		return work, cancel
	}
	beating := make(chan struct{})
	var lost error // of the last one: a lost one before it was made good
	go func() {
		defer close(beating)
		for s.deps.Clock.Sleep(work, heartbeat) == nil {
			if err := cloud.Groups.Heartbeat(work, *h); work.Err() == nil {
				lost = err
			}
		}
	}()
	return work, func() {
		cancel()
		<-beating
		if lost != nil { // else a right that is missing would show as a hook that nobody waits for
			s.deps.Events.Note("the last heartbeat for the launch hook failed: " + lost.Error())
		}
	}
}

// launchEnd is when the launch hook is told ABANDON at the latest. Heartbeats
// keep the hook's own time-out away until then.
func (s *session) launchEnd() time.Time {
	within := time.Duration(s.conf.Group.LaunchWithin)
	if within <= 0 {
		within = defaultLaunchTime
	}
	return s.j.record(Identify).Started.Add(within)
}

// tooLate records that the stage at work ran out of the launch's time.
func (s *session) tooLate(err error) error {
	err = fault.New(fault.Timeout, "raise agent.launch_within and the launch hook's global timeout, or bake more into the image",
		fmt.Errorf("%w: %w", errLaunchTime, err))
	for i := range s.j.Stages {
		if r := &s.j.Stages[i]; r.State == Running {
			r.end(s.deps.Clock.Now(), err)
		}
	}
	return err
}

// answer tells the group how it went, and the journal that it was told.
func (s *session) answer(ctx context.Context, n Notice, err error) error {
	s.j.Warm = err == nil && n.warmed()
	a := Answer{Target: n.Target, Result: resultContinue}
	if err != nil {
		a.Result = resultAbandon
	}
	if h := s.launchHook(); h == nil {
		a.Result = ""
	} else if err := s.tell(ctx, *h, a.Result); err != nil {
		return err
	}
	if s.j.Hook == nil {
		s.j.Hook = &a
	}
	if s.j.Warm {
		s.deps.Events.Note("prepared; waiting in the warm pool")
	}
	return s.save()
}

// tell completes a lifecycle action, and tries on where it can help.
func (s *session) tell(ctx context.Context, h Hook, result string) error {
	cloud, err := s.connect(ctx)
	if err != nil {
		return err
	}
	p := patience{For: "group " + h.Group + " to take " + result + " for hook " + h.Name, Attempts: 6, Base: time.Second, Cap: 15 * time.Second}
	if err := s.retry(ctx, p, func() error { return cloud.Groups.Complete(ctx, h, result) }); err != nil {
		return fault.New(fault.AWS, "give the instance profile autoscaling:CompleteLifecycleAction and autoscaling:RecordLifecycleActionHeartbeat on group "+h.Group,
			fmt.Errorf("telling group %s %s: %w", h.Group, result, err))
	}
	s.deps.Events.Note("told group " + h.Group + ": " + result)
	return s.reached(HookAnswered)
}

// lifecycle is Groups over the Auto Scaling API.
type lifecycle struct{ api *jsonAPI }

// Heartbeat implements Groups.
func (l *lifecycle) Heartbeat(ctx context.Context, h Hook) error {
	return l.call(ctx, "RecordLifecycleActionHeartbeat", h, nil)
}

// Complete implements Groups.
func (l *lifecycle) Complete(ctx context.Context, h Hook, result string) error {
	err := l.call(ctx, "CompleteLifecycleAction", h, url.Values{"LifecycleActionResult": {result}})
	// The API's answer when nobody waits: an earlier run of ours completed it,
	// or the hook's own time ran out. It has no code of its own.
	if awserr.Code(err) == "ValidationError" {
		return nil
	}
	return err
}

func (l *lifecycle) call(ctx context.Context, action string, h Hook, form url.Values) error {
	all := url.Values{"Action": {action}, "Version": {"2011-01-01"}, "AutoScalingGroupName": {h.Group}, "LifecycleHookName": {h.Name}, "InstanceId": {h.Instance}}
	for k, v := range form {
		all[k] = v
	}
	return l.api.query(ctx, "autoscaling", all)
}
