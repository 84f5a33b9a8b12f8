package bake

import (
	"context"
	"fmt"
	"strings"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/bake/publish"
	"bakehouse/internal/fault"
)

// publishStep is the last step: what is old is touched only when the new image
// is proven, copied and kept.
const publishStep = "publish"

// publisher publishes in this world.
func (w World) publisher(say func(string)) publish.Publisher {
	return publish.Publisher{Region: w.Publish, Clock: w.Clock, Say: say}
}

// publish makes the kept image the one that others find.
func (s *Session) publish(ctx context.Context) error {
	done, err := s.publishAt(ctx, s.plan, s.publishTarget(s.places()), func(line string) { s.progress("%s", line) })
	s.published = &done
	return err
}

// target is the image as publishing sees it.
func (p Plan) publishTarget(places []publish.Place) publish.Target {
	return publish.Target{Places: places, Owner: p.owner.ARN, Image: ami.Image{BakeID: p.BakeID, Role: p.Recipe.Role,
		Arch: p.Recipe.Base.Architecture, Environment: p.Recipe.Environment}}
}

func (s *Session) publishTarget(places []publish.Place) publish.Target {
	t := s.plan.publishTarget(places)
	t.Image.ID = s.image
	return t
}

// publishAt looks again, since the world may have moved on while the bake ran,
// and publishes.
func (w World) publishAt(ctx context.Context, p Plan, t publish.Target, say func(string)) (publish.Plan, error) {
	pub := w.publisher(say)
	plan, err := pub.Plan(ctx, p.inputs.Publish, t)
	if err != nil {
		return plan, err
	}
	return pub.Apply(ctx, plan)
}

// places are where the image is: at home, and where it was copied to.
func (s *Session) places() []publish.Place {
	out := []publish.Place{{Region: s.plan.Launch.Region, ImageID: s.image}}
	for _, c := range s.copies {
		out = append(out, publish.Place{Region: c.Region, ImageID: c.ImageID})
	}
	return out
}

// planPublish finds out before anything is launched whether the wishes can be
// met, and what they will change as things are now.
func (w World) planPublish(ctx context.Context, p *Plan) error {
	if p.inputs.Publish.Empty() {
		return nil
	}
	places := []publish.Place{{Region: p.Launch.Region}}
	for _, c := range p.inputs.Distribute.Copies {
		places = append(places, publish.Place{Region: c.Region})
	}
	t := p.publishTarget(places)
	if p.Reuse != nil {
		var err error
		if t.Places, err = w.PlacesOf(ctx, *p.Reuse, p.Launch.Region, regionsOf(places[1:])); err != nil {
			return err
		}
		t.Image = *p.Reuse
	}
	plan, err := w.publisher(func(string) {}).Plan(ctx, p.inputs.Publish, t)
	p.Publish = &plan
	return err
}

func regionsOf(places []publish.Place) []string {
	var out []string
	for _, p := range places {
		out = append(out, p.Region)
	}
	return out
}

// PlacesOf finds an image's finished copies in other regions, by its bake id.
// The image itself comes first.
func (w World) PlacesOf(ctx context.Context, k ami.Image, home string, regions []string) ([]publish.Place, error) {
	out := []publish.Place{{Region: home, ImageID: k.ID}}
	for _, region := range regions {
		if region == home {
			continue
		}
		found, err := ami.List(ctx, w.Publish(region).EC2, ami.Filter("tag:"+ami.TagBakeID, k.BakeID))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", region, err)
		}
		for _, c := range found {
			if c.Finished() {
				out = append(out, publish.Place{Region: region, ImageID: c.ID})
				break
			}
		}
	}
	return out, nil
}

// publishReused publishes an image that was there already: a bake that asks
// for an image and for its publication gets both.
func (w World) publishReused(ctx context.Context, plan Plan, r Report) (Report, error) {
	if plan.inputs.Publish.Empty() {
		return r, nil
	}
	start := w.Clock.Now()
	w.Reporter.StepStarted(publishStep)
	places, err := w.PlacesOf(ctx, *plan.Reuse, plan.Launch.Region, regionsOf(copiesOf(plan)))
	if err == nil {
		t := publish.Target{Places: places, Owner: plan.owner.ARN, Image: *plan.Reuse}
		var done publish.Plan
		done, err = w.publishAt(ctx, plan, t, func(line string) { w.Reporter.StepProgress(publishStep, line) })
		r.Published = &done
	}
	now := w.Clock.Now()
	w.Reporter.StepDone(publishStep, now.Sub(start), err)
	r.Steps = append(r.Steps, stepTime(publishStep, start, now.Sub(start), err))
	r.EndedAt, r.Seconds = now.UTC(), now.Sub(plan.started).Seconds()
	if err != nil {
		err = plan.unpublished(plan.Reuse.ID, err)
		r.Result, r.Error, r.Next = "unpublished", err.Error(), fault.NextOf(err)
	}
	return r, err
}

func copiesOf(p Plan) []publish.Place {
	var out []publish.Place
	for _, c := range p.inputs.Distribute.Copies {
		out = append(out, publish.Place{Region: c.Region})
	}
	return out
}

// unpublished is what a bake says whose image is kept, and whose publication
// is not complete.
func (p Plan) unpublished(image string, err error) error {
	return fault.New(fault.Unpublished, "finish it: "+p.publishCommand(image),
		fmt.Errorf("image %s is finished and kept, but its publication is not: %w", image, err))
}

// publishCommand finishes what a bake could not publish.
func (p Plan) publishCommand(image string) string {
	w := p.inputs.Publish
	words := []string{"bake-ami publish", image, "--region", p.Launch.Region}
	for _, c := range p.inputs.Distribute.Copies {
		words = append(words, "--region", c.Region)
	}
	for _, name := range w.Parameters {
		words = append(words, "--publish-ssm", name)
	}
	if w.LaunchTemplate != "" {
		words = append(words, "--publish-launch-template", w.LaunchTemplate)
	}
	if w.MakeDefault {
		words = append(words, "--launch-template-default")
	}
	if w.Deprecate {
		age := "now"
		if w.After > 0 {
			age = fmt.Sprintf("%dh", int(w.After/time.Hour))
		}
		words = append(words, "--deprecate-predecessors", age)
	}
	return strings.Join(words, " ")
}
