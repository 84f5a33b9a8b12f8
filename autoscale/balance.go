package autoscale

import (
	"fmt"
	"time"

	"bakehouse/internal/fault"
)

// BalanceView is what a decision about one backstop group looks at. Sizes are
// in capacity units: the weights of instances where a group has weights, else
// instances.
type BalanceView struct {
	At       time.Time
	Target   int          // what the spot group is to have: its desired capacity
	Spot     BalanceCount // of the spot group
	Desired  int          // of the backstop group, now
	Min, Max int          // of the backstop group; Min is the on-demand base, which is there beside Target
	// Spare is how long the backstop's own alarm lets units stand that are in
	// excess, before it takes them away; 0 when nothing does.
	Spare time.Duration
	// TotalMax bounds what serves: the spot units in service and the backstop
	// together; 0 leaves it to each group's own max.
	TotalMax int
}

// BalanceCount says how a group's units stand.
type BalanceCount struct {
	InService int // serving, and not about to leave
	Starting  int // launched, not yet in service
	Leaving   int // still there, but under an interruption notice, unhealthy, or terminating
	AtRisk    int // of InService: EC2 recommends to replace them
}

// BalanceRule says how soon a decision follows what it sees.
type BalanceRule struct {
	// Hold is how long units must have been in excess before they go.
	Hold time.Duration
	// Grace is how long the spot group may take to begin the launches for a
	// target that has risen, or in the place of units at risk. What it has lost
	// is replaced without a grace.
	Grace time.Duration
	// Early counts units at risk as lost already, so that others are there
	// before they go. They still serve, and TotalMax still counts them. It ends
	// when the hold, and a minute, are what is left of the view's Spare: longer,
	// and the alarm would end what balance starts, again and again.
	Early bool
}

// early is how long units at risk count beside an alarm that lets an excess
// stand for spare; without one they count for as long as they are at risk.
func (r BalanceRule) early(spare time.Duration) time.Duration { return spare - r.Hold - time.Minute }

// CheckEarly refuses a rule that says early and leaves it no time in a pair.
func (r BalanceRule) CheckEarly(pairs []BalancePair) error {
	for _, p := range pairs {
		if r.Early && p.Spare > 0 && r.early(p.Spare) <= 0 {
			return fault.Newf(fault.Usage, "raise capacity.backstop.down_after, or lower --hold",
				"balancing %s early: its own alarm takes an excess away after %s, which a hold of %s leaves no time for", p.Group, p.Spare, r.Hold)
		}
	}
	return nil
}

// The rule of the commands. The hold stays below the 15 minutes after which
// target tracking scales in: a backstop that lingers lowers the load of the
// spot group, and would shrink it
// (docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html).
const (
	BalanceHold  = 5 * time.Minute
	BalanceGrace = 30 * time.Second
)

// BalanceState is what one decision leaves to the next. The zero value knows
// nothing, and is safe: it holds what there is and replaces what is missing.
type BalanceState struct {
	Known   bool
	Covered int       // the target whose launches have had their grace
	Grew    time.Time // when the target was first seen above Covered; zero when it is not
	Since   time.Time // when the excess began; zero when there is none
	Floor   int       // the most units that were needed since then
	// Risky is when units at risk were first seen that nothing was to replace;
	// zero when there are none, and nothing is left of what was started for them.
	Risky time.Time
}

// BalanceDecision is the size that the backstop group should have, and why.
type BalanceDecision struct {
	Size    int
	Reasons []string
	State   BalanceState
	// Due is when the same view would be decided differently, as a hold or a
	// grace is over by then; zero when it never would be.
	Due time.Time
}

// BalanceDecide says how large the backstop group should be: the base, and
// what the spot group lacks. It goes up at once, so that what serves and what
// is starting reach the target; it goes down when the units in excess have
// been so for the whole hold time, and then only to the most that was needed
// within it. Units beyond Max or TotalMax go at once: spot that has come back
// serves in their place. A ceiling below Min gives Min.
//
// Spot units that are starting count against going up (an on-demand instance
// started now would come later) but not for going down. Units at risk are told
// of, and count as missing where the rule says so.
func BalanceDecide(v BalanceView, rule BalanceRule, prior BalanceState) BalanceDecision {
	d := BalanceDecision{Size: v.Desired, State: prior}
	target := d.covered(v, rule)
	missing := target - v.Spot.InService
	risk := d.risk(v, rule, missing)
	high := v.bound(missing + risk.held)
	low := v.bound(missing + risk.counted - v.Spot.Starting)
	d.Reasons = append(d.Reasons, v.describe())
	if ceiling := v.ceiling(); v.Desired > ceiling {
		d.Size = ceiling
		d.Reasons = append(d.Reasons, fmt.Sprintf("down to %d at once: no more is allowed beside %d units of spot", ceiling, v.Spot.InService))
	}
	switch {
	case d.Size < low:
		d.Size, d.State.Since, d.State.Floor = low, time.Time{}, 0
		d.Reasons = append(d.Reasons, fmt.Sprintf("up to %d at once", low))
	case d.Size > high:
		d.excess(v, rule, high)
	default:
		d.State.Since, d.State.Floor = time.Time{}, 0
	}
	if !risk.grace.IsZero() && v.bound(missing+risk.held-v.Spot.Starting) > d.Size {
		d.due(risk.grace)
		d.Reasons = append(d.Reasons, fmt.Sprintf("the spot group has until %s to launch in the place of what is at risk", risk.grace.Format(time.TimeOnly)))
	}
	if !risk.stop.IsZero() && d.Size > v.bound(missing) {
		d.due(risk.stop)
	}
	if wanted := v.Min + missing + risk.counted - v.Spot.Starting; wanted > max(d.Size, v.Min) {
		d.Reasons = append(d.Reasons, fmt.Sprintf("%d are still missing: the limit of %d is reached", wanted-d.Size, d.Size))
	}
	return d
}

// covered gives the target to decide by: one that has just risen counts once
// the spot group has begun to follow, or its grace is over.
func (d *BalanceDecision) covered(v BalanceView, rule BalanceRule) int {
	s := &d.State
	if !s.Known || v.Target <= s.Covered || v.Spot.InService+v.Spot.Starting >= v.Target {
		s.Known, s.Covered, s.Grew = true, v.Target, time.Time{}
		return v.Target
	}
	if s.Grew.IsZero() {
		s.Grew = v.At
	}
	if v.At.Sub(s.Grew) >= rule.Grace {
		s.Covered, s.Grew = v.Target, time.Time{}
		return v.Target
	}
	d.due(s.Grew.Add(rule.Grace))
	d.Reasons = append(d.Reasons, fmt.Sprintf("the target has risen from %d to %d; the spot group has until %s to launch for it",
		s.Covered, v.Target, s.Grew.Add(rule.Grace).Format(time.TimeOnly)))
	return s.Covered
}

// endangered is what units at risk do to a decision.
type endangered struct {
	held    int       // of them keep the backstop where it is
	counted int       // of them make it grow
	grace   time.Time // when the others will; zero: there are none
	stop    time.Time // when none will count any more; zero: never
}

// risk says what units at risk do: they count once the spot group has begun to
// replace them, so that nothing is needed, or its grace is over, and until
// nothing is to spare.
func (d *BalanceDecision) risk(v BalanceView, rule BalanceRule, missing int) endangered {
	s, n := &d.State, v.Spot.AtRisk
	if !rule.Early {
		n = 0
	}
	switch needed := n > 0 && missing+n > v.Spot.Starting; {
	case needed && s.Risky.IsZero():
		s.Risky = v.At
	case !needed && v.Desired <= v.bound(missing): // nothing is left of what was started early
		s.Risky = time.Time{}
	}
	if s.Risky.IsZero() {
		return endangered{held: n, counted: n}
	}
	grace := s.Risky.Add(rule.Grace)
	out := endangered{held: n}
	if v.Spare > 0 {
		span := rule.early(v.Spare)
		if out.stop = grace.Add(span); span <= 0 {
			return endangered{}
		}
		if !v.At.Before(out.stop) {
			if s.Since.Before(out.stop) && !s.Since.IsZero() { // what was needed for them is no longer
				s.Since, s.Floor = out.stop, 0
			}
			return endangered{}
		}
	}
	if out.grace = grace; !v.At.Before(grace) {
		out.grace, out.counted = time.Time{}, n
	}
	return out
}

// excess waits out the hold time of units that are no longer needed.
func (d *BalanceDecision) excess(v BalanceView, rule BalanceRule, high int) {
	s := &d.State
	if s.Since.IsZero() {
		s.Since, s.Floor = v.At, high
	}
	s.Floor = max(s.Floor, high)
	if left := s.Since.Add(rule.Hold); v.At.Before(left) {
		d.due(left)
		d.Reasons = append(d.Reasons, fmt.Sprintf("%d units are in excess; they stay until %s, in case spot leaves again", d.Size-high, left.Format(time.TimeOnly)))
		return
	}
	d.Size = min(d.Size, s.Floor)
	d.Reasons = append(d.Reasons, fmt.Sprintf("down to %d: no more was needed for %s", d.Size, rule.Hold))
	s.Since, s.Floor = time.Time{}, 0
	if d.Size > high { // the rest waits its own time
		s.Since, s.Floor = v.At, high
		d.due(v.At.Add(rule.Hold))
	}
}

// due notes a moment at which time alone changes the decision.
func (d *BalanceDecision) due(at time.Time) {
	if d.Due.IsZero() || at.Before(d.Due) {
		d.Due = at
	}
}

// ceiling is the most that the backstop group may have.
func (v BalanceView) ceiling() int {
	limit := v.Max
	if v.TotalMax > 0 {
		limit = min(limit, v.TotalMax-v.Spot.InService)
	}
	return max(limit, v.Min)
}

// bound is the size that makes up for missing units.
func (v BalanceView) bound(missing int) int { return min(v.Min+max(missing, 0), v.ceiling()) }

func (v BalanceView) describe() string {
	text := fmt.Sprintf("spot has %d of %d units in service", v.Spot.InService, v.Target)
	if v.Spot.AtRisk > 0 {
		text += fmt.Sprintf(", %d of them at risk", v.Spot.AtRisk)
	}
	if v.Spot.Starting > 0 {
		text += fmt.Sprintf(", %d starting", v.Spot.Starting)
	}
	if v.Spot.Leaving > 0 {
		text += fmt.Sprintf(", %d leaving", v.Spot.Leaving)
	}
	return text
}
