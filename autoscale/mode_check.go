package autoscale

import (
	"context"
	"slices"
	"strings"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
)

// left looks for on-demand halves that a file no longer asks for: groups that
// once were one half say so, and nobody else deletes the other.
func (r reader) left(ctx context.Context) error {
	var halves []string
	for _, name := range r.o.Names() {
		half := name + BackstopSuffix
		if _, asked := r.s.Groups[half]; !asked && val(r.o.Groups[name].PartOf) == name {
			halves = append(halves, half)
		}
	}
	for names := range slices.Chunk(halves, pageSize) {
		out, err := r.w.Groups.DescribeAutoScalingGroups(ctx, &as.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: names, MaxRecords: ptr(int32(pageSize))})
		if err != nil {
			return err
		}
		for _, g := range out.AutoScalingGroups {
			if g.Status == nil { // not being deleted
				r.o.Left = append(r.o.Left, val(g.AutoScalingGroupName))
			}
		}
	}
	return nil
}

// leftovers are the warnings about halves that were left.
func (o Observed) leftovers() []Warning {
	var out []Warning
	for _, half := range o.Left {
		out = append(out, Warning{Group: strings.TrimSuffix(half, BackstopSuffix), Key: "capacity.mode",
			Text: half + " is left from mode backstop and still runs; prune (with an owner) or destroy takes it away"})
	}
	return out
}

// mode is the written mode, "" for none.
func (g Group) mode() string { return val(val(g.Capacity).Mode) }

// mode checks what belongs to a mode of capacity.
func (c *checker) mode(at string, g Group) {
	v, m, mode := val(g.Capacity), val(g.Mixed), g.mode()
	at += ".capacity"
	c.oneOf(at+".mode", v.Mode, OnDemandMode, MixedMode, BackstopMode)
	if h := v.Headroom; h != nil && (*h < 0 || *h > 300) {
		c.say(at+".headroom", "expected 0 to 300 percent, got %d", *h)
	}
	if b := v.OnDemandBase; b != nil {
		switch {
		case mode != MixedMode && mode != BackstopMode:
			c.say(at+".on_demand_base", "it belongs to mode mixed or backstop")
		case *b < 0 || v.Max != nil && *b > *v.Max:
			c.say(at+".on_demand_base", "expected 0 to max, got %d", *b)
		}
	}
	if mode != "" && val(g.Launch).BuysSpot() {
		c.say(at+".mode", "launch.spot makes every instance spot; with a mode, mixed.spot_max_price is the limit")
	}
	if mode != "" && m.OnDemandBase != nil {
		c.say(at+".mode", "with a mode, the base is capacity.on_demand_base, not mixed.on_demand_base")
	}
	if (mode == OnDemandMode || mode == BackstopMode) && m.OnDemandPercentage != nil {
		c.say(at+".mode", "mode %s decides mixed.on_demand_percentage; leave it out", mode)
	}
	if spot := mode == MixedMode || mode == BackstopMode; spot && val(m.None) {
		c.say(at+".mode", "mode %s needs a mixed policy, and mixed: none takes it away", mode)
	}
	if mode == MixedMode && g.WarmPool != nil && !val(g.WarmPool.None) {
		c.say(at+".mode", "a warm pool cannot hold spot instances; mode backstop keeps one for its on-demand half")
	}
	if v.Backstop != nil && mode != BackstopMode {
		c.say(at+".backstop", "it belongs to mode backstop")
	}
	if mode == BackstopMode {
		c.backstop(at, v)
	}
}

func (c *checker) backstop(at string, v Capacity) {
	c.needs(at, map[string]bool{"min (mode backstop)": v.Min != nil, "max (mode backstop)": v.Max != nil})
	if v.Max != nil && *v.Max <= val(v.OnDemandBase) {
		c.say(at+".max", "mode backstop needs a max over on_demand_base, or there is no spot half")
	}
	b := val(v.Backstop)
	at += ".backstop"
	if b.Period != nil && (*b.Period < 60 || *b.Period > 3600 || *b.Period%60 != 0) {
		c.say(at+".period", "expected a multiple of 60 up to 3600 (group metrics come once a minute), got %d", *b.Period)
	}
	for key, n := range map[string]*int{"up_after": b.UpAfter, "down_after": b.DownAfter} {
		if n != nil && (*n < 1 || *n**or(b.Period, 60) > 86400) {
			c.say(at+"."+key, "expected 1 or more periods, a day in all at most; got %d", *n)
		}
	}
	if b.Share != nil && (*b.Share < 1 || *b.Share > 100) {
		c.say(at+".share", "expected 1 to 100 percent, got %d", *b.Share)
	}
}
