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

// ImportNotes is Import, and lists what it left out, group by group. A group
// that is one half of a written one with mode backstop brings the other along,
// and both are written as the one group that makes them.
func ImportNotes(ctx context.Context, w World, region string, names []string) (Spec, []string, error) {
	ask := Spec{Region: region, Groups: map[string]Group{}}
	for _, name := range slices.Concat(names, counterparts(names)) {
		ask.Groups[name] = Group{Hooks: map[string]Hook{}} // a managed section is read
	}
	o, err := observe(ctx, w, ask, true)
	if err != nil {
		return Spec{}, nil, err
	}
	i := importer{o: o, region: region, asked: names, out: map[string]Group{}}
	done := map[string]bool{}
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		if _, there := o.Groups[name]; !there {
			return Spec{}, nil, fault.Newf(fault.Check, "check the name and the region "+region, "importing %s: there is no such group", name)
		}
		switch whole := o.whole(name); {
		case whole == "":
			i.plain(name)
		case !done[whole]:
			done[whole] = true
			i.pair(name, whole)
		}
	}
	return Spec{Version: 2, Region: region, Groups: i.out}, i.notes, nil
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
		if _, known := g.Policies[val(a.Policy)]; !known && a.Policy != nil || a.Metric == nil && a.Queries == nil {
			continue // it watches, or sets off, what no file can name
		}
		for _, none := range []*[]string{&a.Actions, &a.OKActions, &a.NoData} {
			if len(*none) == 0 && (a.Policy != nil || none != &a.Actions) {
				*none = nil
			}
		}
		if a.Queries != nil || maps.Equal(a.Dimensions, own) {
			a.Dimensions = nil
		}
		if len(a.Tags) == 0 {
			a.Tags = nil
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
		notes = append(notes, name+": alarms are left out: one of them watches, or sets off, what no file can name")
	}
	for _, policy := range slices.Sorted(maps.Keys(l.PolicyNames)) {
		if _, named := l.Policies[l.PolicyNames[policy]]; !named {
			notes = append(notes, name+": policy "+policy+" is left out: it is of a kind that a file cannot say")
		}
	}
	return notes
}
