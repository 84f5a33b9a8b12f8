package main

import (
	"errors"
	"time"

	"bakehouse/autoscale"
)

// reporter is what steps are told to.
type reporter interface {
	StepStarted(name string)
	StepProgress(name, detail string)
	StepDone(name string, took time.Duration, err error)
	Info(line string)
}

// refreshSteps shows each refresh as a step, and activities as lines of their
// own.
type refreshSteps struct {
	r       reporter
	wish    string
	now     func() time.Time
	started map[string]time.Time
}

// Refresh shows how far a refresh is, and its end.
func (s *refreshSteps) Refresh(now autoscale.RefreshStatus) {
	name := "refresh of " + now.Group
	if s.started == nil {
		s.started = map[string]time.Time{}
	}
	if _, open := s.started[now.Group]; !open {
		s.started[now.Group] = s.now()
		s.r.StepStarted(name)
	}
	if !now.Over() {
		s.r.StepProgress(name, refreshLine(now))
		return
	}
	var err error
	if now.Status != s.wish {
		err = errors.New(refreshLine(now))
	}
	s.r.StepDone(name, s.now().Sub(s.started[now.Group]), err)
}

// Activity shows one scaling activity.
func (s *refreshSteps) Activity(a autoscale.Activity) {
	s.r.Info(a.Group + " " + activityLine(painter(false), a))
}
