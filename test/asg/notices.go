package asg

import (
	"slices"
	"time"
)

// Events of notifications.
const (
	noticeTest        = "autoscaling:TEST_NOTIFICATION"
	noticeLaunch      = "autoscaling:EC2_INSTANCE_LAUNCH"
	noticeLaunchError = "autoscaling:EC2_INSTANCE_LAUNCH_ERROR"
	noticeEnd         = "autoscaling:EC2_INSTANCE_TERMINATE"
	noticeEndError    = "autoscaling:EC2_INSTANCE_TERMINATE_ERROR"
)

func noticeTypes() []string {
	return []string{noticeLaunch, noticeLaunchError, noticeEnd, noticeEndError, noticeTest}
}

// Notification is a message that a group sent to a topic.
type Notification struct {
	Topic    string // its ARN
	Event    string // autoscaling:EC2_INSTANCE_LAUNCH, …
	Group    string
	Instance string // "" for a test, or a launch that failed
	Activity string // its id
	Cause    string
	At       time.Time
}

// Sent returns the notifications of all groups so far, oldest first.
func (s *Service) Sent() []Notification {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.sent)
}

// notice tells every topic that listens for an event.
func (s *Service) notice(g *group, event string, m *member, a *activity) {
	for _, n := range sorted(s.notices) {
		if n.str("AutoScalingGroupName") != g.name || n.str("NotificationType") != event || a == nil {
			continue
		}
		s.sent = append(s.sent, Notification{Topic: n.str("TopicARN"), Event: event, Group: g.name, Instance: m.id, Activity: a.id, Cause: a.cause, At: s.now()})
	}
}
