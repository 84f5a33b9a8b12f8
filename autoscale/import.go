package autoscale

import (
	"context"
	"maps"
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// Import reads groups from AWS into a Spec that asks for exactly what is
// there. A group that does not exist is an error.
func Import(ctx context.Context, w World, region string, names []string) (Spec, error) {
	ask := Spec{Region: region, Groups: map[string]Group{}}
	for _, name := range names {
		ask.Groups[name] = Group{Hooks: map[string]Hook{}} // a managed section is read
	}
	o, err := Observe(ctx, w, ask)
	if err != nil {
		return Spec{}, err
	}
	out := Spec{Version: 2, Region: region, Groups: map[string]Group{}}
	for _, name := range ask.Names() {
		live, there := o.Groups[name]
		if !there {
			return Spec{}, fault.Newf(fault.Check, "check the name and the region "+region, "importing %s: there is no such group", name)
		}
		out.Groups[name] = live.imported(name)
	}
	return out, nil
}

// imported leaves out what a file need not say, and what it cannot.
func (l Live) imported(name string) Group {
	g := l.Group
	tags := map[string]Tag{}
	for key, t := range g.Tags {
		if !strings.HasPrefix(key, "aws:") && !strings.HasPrefix(key, "bakehouse:") {
			tags[key] = t
		}
	}
	g.Tags = tags
	if len(g.Network.Subnets) > 0 { // the zones follow from them
		network := *g.Network
		network.Zones = nil
		g.Network = &network
	}
	if g.Launch != nil && val(g.Launch.Template) == TemplateName(name) {
		launch := *g.Launch
		launch.Template = nil
		g.Launch = &launch
	}
	own := map[string]string{"AutoScalingGroupName": name}
	alarms := map[string]Alarm{}
	for _, key := range slices.Sorted(maps.Keys(g.Alarms)) {
		a := g.Alarms[key]
		if _, known := g.Policies[val(a.Policy)]; !known || a.Metric == nil && a.Queries == nil {
			continue // it sets off nothing that a file can name
		}
		if a.Queries != nil || maps.Equal(a.Dimensions, own) {
			a.Dimensions = nil
		}
		alarms[key] = a
	}
	if g.Alarms = alarms; len(alarms) != len(l.Alarms) {
		g.Alarms = nil // a list that is not whole would delete the rest
	}
	return g
}
