package asg

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/smithy-go"
)

// launch begins a member, in the group or in its warm pool. Its weight is that
// of the first choice until the launch is done.
func (s *Service) launch(g *group, cause string, pool bool) (*member, effect) {
	state := statePending
	if pool {
		state = warmed + statePending
	}
	m := &member{state: state, token: s.uuid(), busy: true, born: s.now(), protected: !pool && g.str("NewInstancesProtectedFromScaleIn") == "true"}
	choices := s.choices(g)
	m.take(choices[0])
	m.launch = s.begin(g, "Launching a new EC2 instance", cause, statusInProgress)
	g.members = append(g.members, m)
	tries, refused := s.onOffer(g, choices)
	t := &attempt{s: s, base: Launch{Group: g.name, Token: m.token, Tags: propagated(g)}, choices: tries, err: refused}
	if name := g.source().str("LaunchConfigurationName"); name != "" {
		t.base.Configuration, t.base.Image = name, s.configs[name].str("ImageId")
	}
	return m, effect{do: t.run, done: func(err error) { s.launched(g, m, t, err) }}
}

// attempt is a launch that tries one choice after the other.
type attempt struct {
	s       *Service
	base    Launch
	choices []choice
	err     error // before any is tried
	id      string
	made    choice
	from    Template
	empty   []place // that had no capacity
}

func (t *attempt) run(ctx context.Context) error {
	err := t.err
	for _, c := range t.choices {
		t.made = c
		if err = t.try(ctx, c); !capacity(err) {
			return err
		}
		t.empty = append(t.empty, c.at)
	}
	return err
}

func (t *attempt) try(ctx context.Context, c choice) (err error) {
	in := t.base
	in.Zone, in.Subnet, in.Spot = c.at.zone, c.at.subnet, c.spot
	if c.said {
		in.Type = c.kind
	}
	if in.Configuration == "" {
		t.from, err = c.template, c.unknown
		if t.s.templates.other != nil { // $Latest is what it is now
			t.from, err = t.s.templates.resolve(ctx, c.ref)
		}
		if err != nil {
			return err
		}
		in.TemplateID, in.TemplateName, in.Version = t.from.ID, t.from.Name, t.from.Version
	}
	t.id, err = t.s.machines.Launch(ctx, in)
	return err
}

// capacity reports whether err means that another zone or type may do.
func capacity(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet", "SpotMaxPriceTooLow", "UnfulfillableCapacity", "MaxSpotInstanceCountExceeded", "Unsupported":
		return true
	}
	return false
}

// launched writes down what became of a launch.
func (s *Service) launched(g *group, m *member, t *attempt, err error) {
	m.busy = false
	for _, p := range t.empty {
		g.troubled[p] = s.now()
	}
	if err != nil {
		s.expel(g, m)
		g.failures++
		g.retry = s.now().Add(min(10*time.Second<<min(g.failures-1, 10), 5*time.Minute))
		s.finish(m.launch, statusFailed, launchFailure(err))
		s.notice(g, noticeLaunchError, m, m.launch)
		return
	}
	m.take(t.made)
	m.id, m.template, m.config, m.ec2 = t.id, t.from, t.base.Configuration, ec2Pending
	if !t.made.said { // the version that $Latest was by then knows it best
		m.kind = cmp.Or(t.from.Type, m.kind)
	}
	g.failures = 0
	m.launch.description = "Launching a new EC2 instance: " + m.id
	m.launch.status, m.launch.progress = statusPreService, 30
	m.launch.zone, m.launch.subnet = m.at.zone, m.at.subnet
	s.move(g, m, m.state)
}

// launchFailure is the message of a failed launch, with AWS's code in front.
func launchFailure(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Sprintf("%s - %s. Launching EC2 instance failed.", api.ErrorCode(), strings.TrimSuffix(api.ErrorMessage(), "."))
	}
	return err.Error() + ". Launching EC2 instance failed."
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
