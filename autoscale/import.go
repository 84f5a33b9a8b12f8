package autoscale

import (
	"context"
	"maps"
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// Import reads groups from AWS into a Spec that asks for exactly what is
// there. A group that does not exist is an error. ImportNotes tells what a
// file cannot say.
func Import(ctx context.Context, w World, region string, names []string) (Spec, error) {
	s, _, err := ImportNotes(ctx, w, region, names)
	return s, err
}

// ImportNotes is Import, and lists what it left out, group by group.
func ImportNotes(ctx context.Context, w World, region string, names []string) (Spec, []string, error) {
	var notes []string
	ask := Spec{Region: region, Groups: map[string]Group{}}
	for _, name := range names {
		ask.Groups[name] = Group{Hooks: map[string]Hook{}} // a managed section is read
	}
	o, err := Observe(ctx, w, ask)
	if err != nil {
		return Spec{}, nil, err
	}
	out := Spec{Version: 2, Region: region, Groups: map[string]Group{}}
	for _, name := range ask.Names() {
		live, there := o.Groups[name]
		if !there {
			return Spec{}, nil, fault.Newf(fault.Check, "check the name and the region "+region, "importing %s: there is no such group", name)
		}
		g := live.imported(name)
		out.Groups[name] = g
		notes = append(notes, live.leftOut(name, g)...)
	}
	return out, notes, nil
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
	if network := *g.Network; len(network.Zones) > 0 || len(network.Subnets) > 0 {
		network.ZoneIDs = nil // names say the same
		if len(network.Subnets) > 0 {
			network.Zones = nil // they follow
		}
		g.Network = &network
	}
	if g.Launch != nil && val(g.Launch.Template) == TemplateName(name) {
		launch := *g.Launch
		launch.Template = nil
		g.Launch = &launch
	}
	if l.Config != "" {
		g.Launch = nil // a file that says how to launch moves the group to a launch template
	}
	if val(g.Mixed).None != nil {
		g.Mixed = nil // launch says it all
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

// leftOut says what g does not have of l, and why.
func (l Live) leftOut(name string, g Group) []string {
	var notes []string
	if l.Config != "" {
		notes = append(notes, name+": launch is left out: the group still uses launch configuration "+l.Config+"; add launch: to the file to move it to a launch template")
	}
	if g.Alarms == nil && len(l.Alarms) > 0 {
		notes = append(notes, name+": alarms are left out: one of them sets off nothing that a file can name")
	}
	for _, policy := range slices.Sorted(maps.Keys(l.PolicyNames)) {
		if _, named := l.Policies[l.PolicyNames[policy]]; !named {
			notes = append(notes, name+": policy "+policy+" is left out: it is of a kind that a file cannot say")
		}
	}
	return notes
}
