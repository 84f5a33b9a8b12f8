package asg

import (
	"context"
	"fmt"
	"time"
)

// step brings one member on by one state, or returns the call that it needs.
func (s *Service) step(g *group, m *member) []effect {
	if m.busy || m.id == "" {
		return nil
	}
	if !m.failed.IsZero() && !s.now().Before(m.failed.Add(failing)) {
		m.sent, m.failed = false, time.Time{}
	}
	switch {
	case m.in(statePending):
		return s.stepIn(g, m)
	case m.state == stateInService:
		return s.stepInService(g, m)
	case m.in(stateTerminating), m.in(warmed + stateTerminating):
		return s.stepOut(g, m)
	case m.state == stateEntering:
		s.move(g, m, stateStandby)
		s.finish(m.end, statusSuccessful, "")
	case m.state == stateDetaching:
		s.move(g, m, stateDetached)
		s.finish(m.end, statusSuccessful, "")
		s.expel(g, m)
	default:
		return s.stepPool(g, m)
	}
	return nil
}

// down reports whether the machine of m runs no more, nor will.
func (m *member) down() bool {
	return m.ec2 == gone || m.ec2 == ec2Terminated || m.ec2 == ec2ShuttingDown || m.ec2 == ec2Stopped || m.ec2 == ec2Stopping
}

// stepIn brings m into service: hooks first, then the machine must run.
func (s *Service) stepIn(g *group, m *member) []effect {
	switch {
	case m.ec2 == ec2Stopped && !m.sent && m.pooled: // drawn from the warm pool
		return []effect{s.call(m, s.machines.Start)}
	case m.down() && !m.pooled:
		s.finish(m.launch, statusFailed, "Instance became unhealthy while waiting for instance to be in InService state. The instance is "+m.ec2+".")
		s.discard(g, m, "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.")
	case m.state == statePending && !m.asked && s.hold(g, m, onLaunch):
	case m.state == statePending+wait4:
		switch s.settle(m) {
		case abandon:
			s.finish(m.launch, statusCancelled, m.abandoned())
			s.discard(g, m, "an instance was taken out of service in response to a launch lifecycle hook that was abandoned.")
		case goOn:
			s.move(g, m, statePending+proceed)
			m.launch.status = statusPreService
		}
	case m.ec2 == ec2Running:
		m.pooled = false
		s.move(g, m, stateInService)
		s.serve(g, m)
	}
	return nil
}

// serve ends or prolongs the activity that brought m into service.
func (s *Service) serve(g *group, m *member) {
	if g.warmup() > 0 && m.launch != nil && m.launch.end.IsZero() {
		m.launch.status, m.launch.progress = statusWarmup, 90
		return
	}
	s.finish(m.launch, statusSuccessful, "")
	s.notice(g, noticeLaunch, m, m.launch)
}

// stepInService looks after a member in service.
func (s *Service) stepInService(g *group, m *member) []effect {
	if m.launch != nil && m.launch.status == statusWarmup && !s.now().Before(m.since.Add(g.warmup())) {
		s.finish(m.launch, statusSuccessful, "")
		s.notice(g, noticeLaunch, m, m.launch)
		s.moved = true
	}
	s.checkHealth(g, m)
	return nil
}

// discard ends a member without the hooks of its end: it never served.
func (s *Service) discard(g *group, m *member, what string) {
	s.dismissUnheld(g, m, s.because(g, what))
	m.asked = true
}

// dismiss begins the end of m, and with it the wait for its hooks: who hears that
// it is to end may answer at once.
func (s *Service) dismiss(g *group, m *member, cause string) {
	s.dismissUnheld(g, m, cause)
	if !g.deleting {
		s.hold(g, m, onEnd)
	}
}

// dismissUnheld begins the end of m.
func (s *Service) dismissUnheld(g *group, m *member, cause string) {
	description := "Terminating EC2 instance: " + m.id
	m.end = s.begin(g, description, cause, statusInProgress)
	m.end.zone, m.end.subnet = m.at.zone, m.at.subnet
	s.finish(m.launch, statusCancelled, "The instance was taken out before it was in service.")
	if m.lives() || m.state == stateStandby || m.state == stateRetained {
		s.move(g, m, stateTerminating)
		return
	}
	s.move(g, m, warmed+stateTerminating)
}

// phase is m's state without Wait and Proceed.
func (m *member) phase() string {
	if m.in(warmed + stateTerminating) {
		return warmed + stateTerminating
	}
	return stateTerminating
}

// stepOut takes m out of the group: hooks first, then the machine ends, or
// goes to the warm pool.
func (s *Service) stepOut(g *group, m *member) []effect {
	phase := m.phase()
	switch {
	case m.state == phase && !m.asked && !g.deleting && s.hold(g, m, onEnd):
	case m.state == phase+wait4 && !g.deleting:
		switch s.settle(m) {
		case abandon:
			if g.get("InstanceLifecyclePolicy").get("RetentionTriggers").str("TerminateHookAbandon") == "retain" {
				s.move(g, m, stateRetained)
				s.finish(m.end, statusFailed, m.abandoned())
				return nil
			}
			s.move(g, m, phase+proceed)
		case goOn:
			s.move(g, m, phase+proceed)
		}
	case m.pooled && !g.deleting && !m.down():
		s.finish(m.end, statusSuccessful, "")
		s.move(g, m, warmed+statePending)
		m.asked, m.launch = true, nil
	case m.ec2 == gone || m.ec2 == ec2Terminated:
		s.finish(m.end, statusSuccessful, "")
		s.notice(g, noticeEnd, m, m.end)
		s.expel(g, m)
	case !m.sent && m.ec2 != ec2ShuttingDown:
		return []effect{s.terminate(g, m)}
	}
	return nil
}

// failing is the pause after a call to Machines that failed.
const failing = 5 * time.Second

// call makes a call for m, once in its state; one that fails is made again
// after a pause.
func (s *Service) call(m *member, do func(context.Context, []string) error) effect {
	m.busy, m.sent = true, true
	id := m.id
	return effect{
		do: func(ctx context.Context) error { return do(ctx, []string{id}) },
		done: func(err error) {
			if m.busy = false; err != nil {
				m.failed = s.now()
			}
		},
	}
}

// terminate ends a member's machine.
func (s *Service) terminate(g *group, m *member) effect {
	e := s.call(m, s.machines.Terminate)
	then := e.done
	e.done = func(err error) {
		then(err)
		if err != nil {
			m.end.message = fmt.Sprintf("%s. Terminating EC2 instance failed.", err)
			s.notice(g, noticeEndError, m, m.end)
		}
	}
	return e
}
