package retain

import (
	"context"
	"fmt"
	"strings"
	"time"

	"bakehouse/bake/ami"
)

// Clock is the time as pruning sees it.
type Clock interface {
	Now() time.Time
	// Sleep waits for d, or until ctx ends, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Pruner prunes images. All fields are required.
type Pruner struct {
	Region func(region string) API
	Clock  Clock
	Say    func(line string) // progress
}

// Plan is what pruning will remove, and what it leaves, with reasons.
type Plan struct {
	Verdicts []Verdict `json:"images"`

	policy Policy
}

// Empty says whether there is nothing to remove.
func (p Plan) Empty() bool { return len(p.doomed()) == 0 }

// doomed lists what is to be removed, in the plan's order.
func (p Plan) doomed() []Verdict {
	var out []Verdict
	for _, v := range p.Verdicts {
		if v.Remove {
			out = append(out, v)
		}
	}
	return out
}

// Count is how many images the plan removes.
func (p Plan) Count() int { return len(p.doomed()) }

// Text renders the plan for people.
func (p Plan) Text() string {
	if len(p.Verdicts) == 0 {
		return "no image of " + strings.Join(p.policy.Roles, ", ") + " was found\n"
	}
	var b strings.Builder
	for _, v := range p.Verdicts {
		verb := "keep"
		if v.Remove {
			verb = "remove"
		}
		fmt.Fprintf(&b, "%-7s %-22s %s %s (%s): %s\n", verb, v.ID, v.Region, v.Name, v.Created.UTC().Format(time.DateOnly), v.Reason)
	}
	return b.String()
}

// Plan looks and decides, each region by itself; it changes nothing. One place
// that cannot be looked into refuses it all: who did not answer may be using
// an image.
func (p Pruner) Plan(ctx context.Context, regions []string, policy Policy) (Plan, error) {
	out := Plan{policy: policy, Verdicts: []Verdict{}}
	if err := policy.Check(); err != nil {
		return out, err
	}
	for _, region := range regions {
		p.Say(region)
		api := p.Region(region)
		images, err := ami.List(ctx, api.EC2, ami.Filter("tag:"+ami.TagRole, policy.Roles...))
		if err != nil {
			return out, fmt.Errorf("%s: %w", region, err)
		}
		verdicts, err := p.decide(ctx, region, images, images, policy)
		if err != nil {
			return out, fmt.Errorf("%s: %w", region, err)
		}
		out.Verdicts = append(out.Verdicts, verdicts...)
	}
	return out, nil
}

// decide gathers who uses the images asked about and decides on all. Whether
// an image is shared is asked only of those that would go otherwise.
func (p Pruner) decide(ctx context.Context, region string, images, about []ami.Image, policy Policy) ([]Verdict, error) {
	api := p.Region(region)
	refs, err := References(ctx, api, about, policy.Templates)
	if err != nil {
		return nil, err
	}
	verdicts := Decide(images, refs, policy, p.Clock.Now())
	if !policy.DespiteShares {
		var doomed []ami.Image
		for _, v := range verdicts {
			if v.Remove {
				doomed = append(doomed, v.Image)
			}
		}
		shares, err := sharesOf(ctx, api.EC2, doomed)
		if err != nil {
			return nil, err
		}
		verdicts = Decide(images, append(refs, shares...), policy, p.Clock.Now())
	}
	for i := range verdicts {
		verdicts[i].Region = region
	}
	return verdicts, nil
}
