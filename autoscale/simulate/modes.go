package simulate

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bakehouse/autoscale"
	"bakehouse/internal/fault"
)

// Mode is a way to buy capacity.
type Mode string

// The modes that are compared. Balance is backstop with the controller of
// `autoscalectl balance` beside it.
const (
	OnDemand Mode = autoscale.OnDemandMode
	Mixed    Mode = autoscale.MixedMode
	Backstop Mode = autoscale.BackstopMode
	Balance  Mode = "balance"
)

// Modes lists the modes in the order in which they are shown.
func Modes() []Mode { return []Mode{OnDemand, Mixed, Backstop, Balance} }

// ParseModes reads a list of modes; "" is all of them.
func ParseModes(text string) ([]Mode, error) {
	if text == "" {
		return Modes(), nil
	}
	var out []Mode
	for name := range strings.SplitSeq(text, ",") {
		m := Mode(strings.TrimSpace(name))
		if !slices.Contains(Modes(), m) || slices.Contains(out, m) {
			return nil, fault.Newf(fault.Usage, "", "modes %q: expected some of on_demand, mixed, backstop, balance, each once; got %q", text, name)
		}
		out = append(out, m)
	}
	return out, nil
}

// inMode rewrites a group as if its file said the mode.
func inMode(g autoscale.Group, mode Mode) autoscale.Group {
	c, m := orZero(g.Capacity), orZero(g.Mixed)
	was := orZero(c.Mode)
	as := string(mode)
	if mode == Balance {
		as = autoscale.BackstopMode
	}
	if was == as {
		return g
	}
	if c.OnDemandBase == nil {
		c.OnDemandBase = m.OnDemandBase
	}
	m.OnDemandBase = nil
	if as != autoscale.MixedMode {
		m.OnDemandPercentage = nil
	}
	if as == autoscale.OnDemandMode {
		c.OnDemandBase = nil
	}
	if as != autoscale.BackstopMode {
		c.Backstop = nil
	}
	if l := g.Launch; l != nil && l.BuysSpot() {
		plain := *l
		plain.Spot, plain.Market = nil, nil
		g.Launch = &plain
	}
	c.Mode = &as
	g.Capacity, g.Mixed = &c, &m
	return g
}

// poolsOf lists the spot pools of a group in the file's order: types within
// zones.
func poolsOf(name string, g autoscale.Group) ([]Pool, error) {
	n := orZero(g.Network)
	zones := n.Zones
	if len(zones) == 0 {
		zones = n.Subnets
	}
	types := orZero(g.Mixed).Types
	if len(types) == 0 && orZero(g.Launch).Type != nil {
		types = []autoscale.Override{{Type: g.Launch.Type}}
	}
	if len(zones) == 0 || len(types) == 0 {
		return nil, fault.Newf(fault.Usage, "give network.zones (or subnets) and launch.type or mixed.types",
			"simulating %s: the file names no zones or no instance types, which make the spot pools", name)
	}
	var out []Pool
	for _, zone := range zones {
		for _, one := range types {
			typ, weight, err := weighed(one)
			if err != nil {
				return nil, fault.Newf(fault.Usage, "", "simulating %s: %w", name, err)
			}
			out = append(out, Pool{typ, zone, weight})
		}
	}
	return out, nil
}

// weighed takes one item of mixed.types apart.
func weighed(o autoscale.Override) (string, int, error) {
	if o.Type == nil {
		return "", 0, errors.New("mixed.types has requirements, and only AWS knows which types meet them: name types for the simulation")
	}
	n := 1
	if o.Weight != nil {
		if _, err := fmt.Sscanf(*o.Weight, "%d", &n); err != nil || n < 1 {
			return "", 0, fmt.Errorf("type %s has no weight, but %q", *o.Type, *o.Weight)
		}
	}
	return *o.Type, n, nil
}
