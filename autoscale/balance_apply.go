package autoscale

import (
	"context"
	"fmt"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/fault"
)

// BalanceChange is what a look at one pair leads to; From equal to To changes
// no size.
type BalanceChange struct {
	Group    string   `json:"group"`
	Backstop string   `json:"backstop"`
	From     int      `json:"from"`
	To       int      `json:"to"`
	Target   int      `json:"target"`
	Service  int      `json:"spot_in_service"`
	Starting int      `json:"spot_starting"`
	Leaving  int      `json:"spot_leaving"`
	AtRisk   int      `json:"spot_at_risk"` // of those in service
	Reasons  []string `json:"reasons"`

	seen  BalanceSeen
	state string // the tag's new value
	due   time.Time
}

// BalancePlan is what a look at all pairs leads to.
type BalancePlan struct {
	Changes []BalanceChange `json:"groups"`
}

// Empty says that no size changes.
func (p BalancePlan) Empty() bool {
	for _, c := range p.Changes {
		if c.From != c.To {
			return false
		}
	}
	return true
}

// Due is when the next look can decide differently although nothing has
// changed; zero when it cannot.
func (p BalancePlan) Due() time.Time {
	var first time.Time
	for _, c := range p.Changes {
		if !c.due.IsZero() && (first.IsZero() || c.due.Before(first)) {
			first = c.due
		}
	}
	return first
}

// PlanBalance decides for each pair. It asks and writes nothing.
func PlanBalance(all []BalanceSeen, rule BalanceRule) BalancePlan {
	p := BalancePlan{Changes: []BalanceChange{}}
	for _, s := range all {
		d := BalanceDecide(s.View, rule, s.State)
		v := s.View
		p.Changes = append(p.Changes, BalanceChange{Group: s.Pair.Group, Backstop: s.Pair.Backstop, From: v.Desired, To: d.Size, Target: v.Target, Service: v.Spot.InService,
			Starting: v.Spot.Starting, Leaving: v.Spot.Leaving, AtRisk: v.Spot.AtRisk, Reasons: append(d.Reasons, s.Notes...), seen: s, state: d.State.text(), due: d.Due})
	}
	return p
}

// BalanceOutcome is what became of one change.
type BalanceOutcome struct {
	Change BalanceChange
	// Moved says what somebody else changed between look and write; then
	// nothing was written, and the next look decides anew. "" when nothing was.
	Moved string
	Err   error
}

// Apply writes the sizes and the states that differ. Before a write it reads
// the pair again, and leaves it alone when sizes, target or state are no longer
// those that the decision was made on. AWS cannot make that one step; two that
// pass it at once have seen the same and write the same. A pair that fails
// does not keep the others; the error is the first.
func (p BalancePlan) Apply(ctx context.Context, w BalanceWorld) ([]BalanceOutcome, error) {
	var out []BalanceOutcome
	var first error
	for _, c := range p.Changes {
		if c.From == c.To && c.state == c.seen.tag {
			continue
		}
		o := BalanceOutcome{Change: c}
		if o.Moved, o.Err = c.apply(ctx, w); o.Err != nil && first == nil {
			first = fault.New(fault.KindOf(o.Err), fault.NextOf(o.Err), fmt.Errorf("balancing %s: %w", c.Group, o.Err))
		}
		out = append(out, o)
	}
	return out, first
}

func (c BalanceChange) apply(ctx context.Context, w BalanceWorld) (moved string, err error) {
	groups, err := balanceGroups(ctx, w, []BalancePair{c.seen.Pair})
	if err != nil {
		return "", err
	}
	if moved := c.moved(seen(c.seen.Pair, groups, told{}, c.seen.View.At)); moved != "" {
		return moved, nil
	}
	if c.From != c.To {
		// Without HonorCooldown: a loss does not wait for a cooldown.
		_, err := w.Groups.SetDesiredCapacity(ctx, &as.SetDesiredCapacityInput{AutoScalingGroupName: &c.Backstop, DesiredCapacity: ptr(int32(c.To)), HonorCooldown: ptr(false)})
		if err != nil {
			return "", refused("setting desired capacity of "+c.Backstop, err)
		}
	}
	if c.state == c.seen.tag {
		return "", nil
	}
	// The size first: a state that is lost only holds what there is for longer.
	_, err = w.Groups.CreateOrUpdateTags(ctx, &as.CreateOrUpdateTagsInput{Tags: []astypes.Tag{{ResourceId: &c.Backstop, ResourceType: ptr("auto-scaling-group"),
		Key: ptr(BalanceTag), Value: &c.state, PropagateAtLaunch: ptr(false)}}})
	if err != nil {
		return "", refused("tagging "+c.Backstop, err)
	}
	return "", nil
}

// moved says what differs from what the decision was made on.
func (c BalanceChange) moved(now BalanceSeen) string {
	was := c.seen.View
	for _, f := range []struct {
		what     string
		was, now int
	}{
		{"the spot group's desired capacity", was.Target, now.View.Target}, {"the backstop's desired capacity", was.Desired, now.View.Desired},
		{"the backstop's min", was.Min, now.View.Min}, {"the backstop's max", was.Max, now.View.Max},
	} {
		if f.was != f.now {
			return fmt.Sprintf("%s went from %d to %d meanwhile", f.what, f.was, f.now)
		}
	}
	if c.seen.tag != now.tag {
		return "another run has looked meanwhile"
	}
	return ""
}
