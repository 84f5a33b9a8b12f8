package asg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"
)

// advance brings every group one step on. It returns what must be done to
// machines for the next one, and whether anything moved without them.
func (s *Service) advance() (work []effect, moved bool) {
	s.moved = false
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		g := s.groups[name]
		for _, m := range slices.Clone(g.members) {
			work = append(work, s.step(g, m)...)
		}
		work = append(work, s.reconcile(g)...)
		if g.deleting && len(g.members) == 0 {
			delete(s.groups, name)
		}
	}
	return work, s.moved
}

// step brings one member on.
func (s *Service) step(g *group, m *member) []effect {
	switch {
	case m.busy || m.id == "":
		return nil
	case m.state == statePending && m.ec2 == ec2Running:
		s.move(g, m, stateInService)
		s.finish(m.launch, statusSuccessful, "")
	case m.ending() && (m.ec2 == gone || m.ec2 == ec2Terminated):
		s.finish(m.end, statusSuccessful, "")
		g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
	case m.state == stateTerminating && m.ec2 != "shutting-down":
		return []effect{s.terminate(g, m)}
	}
	return nil
}

// terminate ends a member's machine.
func (s *Service) terminate(_ *group, m *member) effect {
	m.busy = true
	id := m.id
	return effect{
		do: func(ctx context.Context) error { return s.machines.Terminate(ctx, []string{id}) },
		done: func(err error) {
			m.busy = false
			if err == nil {
				m.ec2 = "shutting-down"
			}
		},
	}
}

// reconcile launches what is missing and ends what is too many.
func (s *Service) reconcile(g *group) []effect {
	var alive []*member
	for _, m := range g.members {
		if m.lives() {
			alive = append(alive, m)
		}
	}
	want := g.number("DesiredCapacity")
	if g.deleting {
		want = 0
	}
	var work []effect
	for have := len(alive); have < want && !g.suspended("Launch") && !s.now().Before(g.retry); have++ {
		work = append(work, s.launch(g, len(alive), want))
	}
	for have := len(alive); have > want && !g.suspended("Terminate"); have-- {
		s.scaleIn(g, alive[have-1], len(alive), want)
	}
	if len(alive) == want {
		g.reasons = nil
	}
	return work
}

// scaleIn begins the end of m.
func (s *Service) scaleIn(g *group, m *member, have, want int) {
	cause := s.because(g, fmt.Sprintf("an instance was taken out of service in response to a difference between desired and actual capacity, shrinking the capacity from %d to %d.", have, want))
	m.end = s.begin(g, "Terminating EC2 instance: "+m.id, cause+fmt.Sprintf(" At %s instance %s was selected for termination.", causeTime(s.now()), m.id), statusInProgress)
	s.move(g, m, stateTerminating)
}

// launch begins a member.
func (s *Service) launch(g *group, have, want int) effect {
	m := &member{state: statePending, zone: s.leanest(g), token: s.uuid(), busy: true, protected: g.str("NewInstancesProtectedFromScaleIn") == "true"}
	m.launch = s.begin(g, "Launching a new EC2 instance", s.because(g, fmt.Sprintf("an instance was started in response to a difference between desired and actual capacity, increasing the capacity from %d to %d.", have, want)), statusInProgress)
	m.launch.zone = m.zone
	g.members = append(g.members, m)
	ref, config := specOf(g.node)
	in := Launch{Group: g.name, Zone: m.zone, Token: m.token, Tags: propagated(g), Configuration: config}
	var id string
	from, known := s.templates.known(ref)
	return effect{
		do: func(ctx context.Context) (err error) {
			if config == "" {
				if s.templates.other != nil { // $Latest is what it is now
					from, known = s.templates.resolve(ctx, ref)
				}
				if known != nil {
					return known
				}
				in.TemplateID, in.TemplateName, in.Version = from.ID, from.Name, from.Version
			}
			id, err = s.machines.Launch(ctx, in)
			return err
		},
		done: func(err error) {
			m.id, m.template, m.config = id, from, config
			s.launched(g, m, err)
		},
	}
}

// launched writes down what became of a launch.
func (s *Service) launched(g *group, m *member, err error) {
	m.busy = false
	if err != nil {
		g.members = slices.DeleteFunc(g.members, func(o *member) bool { return o == m })
		g.failures++
		g.retry = s.now().Add(min(10*time.Second<<min(g.failures-1, 10), 5*time.Minute))
		s.finish(m.launch, statusFailed, launchFailure(err))
		return
	}
	g.failures = 0
	m.ec2 = "pending"
	m.launch.description = "Launching a new EC2 instance: " + m.id
	m.launch.status, m.launch.progress = statusPreService, 30
	s.move(g, m, statePending)
}

// launchFailure is the message of a failed launch, with AWS's code in front.
func launchFailure(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Sprintf("%s - %s. Launching EC2 instance failed.", api.ErrorCode(), strings.TrimSuffix(api.ErrorMessage(), "."))
	}
	return err.Error() + ". Launching EC2 instance failed."
}

// specOf is what a group launches from: a template, or a launch configuration.
func specOf(g *node) (TemplateRef, string) {
	spec := g.get("LaunchTemplate")
	if m := g.get("MixedInstancesPolicy"); m != nil {
		spec = m.get("LaunchTemplate").get("LaunchTemplateSpecification")
	}
	if spec == nil {
		return TemplateRef{}, g.str("LaunchConfigurationName")
	}
	return refOf(spec), ""
}

func refOf(spec *node) TemplateRef {
	return TemplateRef{ID: spec.str("LaunchTemplateId"), Name: spec.str("LaunchTemplateName"), Version: spec.str("Version")}
}

// propagated are the tags that an instance of g is launched with.
func propagated(g *group) map[string]string {
	tags := map[string]string{"aws:autoscaling:groupName": g.name}
	for _, t := range g.all("Tags") {
		if t.str("PropagateAtLaunch") == "true" {
			tags[t.str("Key")] = t.str("Value")
		}
	}
	return tags
}

// leanest is the zone of g with the fewest members.
func (s *Service) leanest(g *group) string {
	zones := g.texts("AvailabilityZones")
	if len(zones) == 0 {
		return "us-east-1a"
	}
	count := func(zone string) (n int) {
		for _, m := range g.members {
			if m.zone == zone && m.lives() {
				n++
			}
		}
		return n
	}
	return slices.MinFunc(zones, func(a, b string) int { return count(a) - count(b) })
}
