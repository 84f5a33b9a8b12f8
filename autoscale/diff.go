package autoscale

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"bakehouse/internal/fault"
)

// DiffOptions are what a caller may ask of a plan beyond the file.
type DiffOptions struct {
	ResetCapacity bool // write an initial capacity on groups that exist, too
}

// Diff compares a file with what was observed and lists what to change, with
// reasons. It asks and writes nothing. A group that cannot be made is an
// error that says what the file lacks.
func Diff(s Spec, o Observed, opt DiffOptions) (Plan, error) {
	p := Plan{Warnings: s.Warnings, Promises: Promises(s)}
	s = Expand(s)
	o.Templates = maps.Clone(o.Templates) // what the plan makes is noted there
	reads := s.readings()
	p.Warnings = slices.Concat(p.Warnings, o.leftovers(), o.silent(s))
	for _, name := range s.Names() {
		live, exists := o.Groups[name]
		d := differ{name: name, want: s.Groups[name], live: live, exists: exists, o: o, opt: opt, plan: &p, spec: s, anew: map[string]bool{}, reads: reads[name]}
		if err := d.group(); err != nil {
			return Plan{}, err
		}
	}
	p.sort()
	return p, nil
}

// differ compares one group.
type differ struct {
	name    string
	want    Group
	live    Live
	exists  bool
	o       Observed
	opt     DiffOptions
	plan    *Plan
	spec    Spec
	reads   []reading       // group metrics that policies and alarms of the file read
	anew    map[string]bool // policies, by key, that are deleted and made again
	desired *int32          // capacity that was asked for; one that is only out of bounds is left to AWS
	use     launchUse       // what the group shall launch from, once launch has decided
}

// launchUse names a launch template version; an empty Version is the one that
// an earlier change of the same plan creates.
type launchUse struct{ template, version string }

func (d *differ) add(k Kind, name, reason string, fields []Field, do func(context.Context, *run) error) {
	d.plan.Changes = append(d.plan.Changes, Change{Region: d.spec.Region, Group: d.name, Kind: k, Name: name, Fields: fields, Reason: reason, PartOf: val(d.want.PartOf), do: do})
}

func (d *differ) group() error {
	if d.live.Status != "" {
		return fault.Newf(fault.Check, "wait until AWS has deleted it, then run this again", "planning %s: the group is being deleted (%s)", d.name, d.live.Status)
	}
	if err := d.resolve(); err != nil {
		return err
	}
	if err := d.lookUp(); err != nil {
		return err
	}
	if !d.exists {
		if err := d.complete(); err != nil {
			return err
		}
	}
	fields, err := d.launch()
	if err != nil {
		return err
	}
	if !d.exists {
		d.create(fields)
	} else {
		d.update(fields)
		d.hooks()
		d.balancing()
		d.tags()
	}
	d.warmPool()
	d.switches()
	d.notices()
	d.policies()
	d.alarms()
	d.schedules()
	return nil
}

// resolve replaces references to images by ids.
func (d *differ) resolve() error {
	if l := d.want.Launch; l != nil && l.Image != nil {
		id, err := d.image(*l.Image)
		if err != nil {
			return err
		}
		resolved := *l
		resolved.Image = &id
		d.want.Launch = &resolved
	}
	if d.want.Mixed == nil {
		return nil
	}
	resolved := *d.want.Mixed
	resolved.Types = slices.Clone(resolved.Types)
	for i, t := range resolved.Types {
		if t.Image == nil {
			continue
		}
		id, err := d.image(*t.Image)
		if err != nil {
			return err
		}
		resolved.Types[i].Image = &id
	}
	d.want.Mixed = &resolved
	return nil
}

func (d *differ) image(ref string) (string, error) {
	i := d.o.Images[ref]
	if i.ID == "" {
		return "", fault.Newf(fault.Check, "name an image that this account can see, or bake and prove one", "planning %s: there is no image %s: %s", d.name, ref, i.Missing)
	}
	return i.ID, nil
}

// noted says of changed images where their ids come from.
func (d *differ) noted(fields []Field) []Field {
	for i, f := range fields {
		if f.Path != "launch.image" && f.Path != "mixed.types" {
			continue
		}
		var notes []string
		for _, ref := range references(Spec{Groups: map[string]Group{d.name: d.spec.Groups[d.name]}}) {
			if image := d.o.Images[ref]; image.From != "" && strings.Contains(f.After, image.ID) {
				notes = append(notes, ref+" is "+image.ID+": "+image.From)
			}
		}
		fields[i].Note = strings.Join(notes, "; ")
	}
	return fields
}

// complete refuses a new group whose file leaves out what AWS needs.
func (d *differ) complete() error {
	l, c, n := val(d.want.Launch), val(d.want.Capacity), val(d.want.Network)
	for _, need := range []struct {
		key  string
		have bool
	}{
		{"launch.image", l.Image != nil}, {"launch.type or launch.requirements", l.Type != nil || l.Requirements != nil || d.want.Mixed != nil && len(d.want.Mixed.Types) > 0},
		{"capacity.min", c.Min != nil}, {"capacity.max", c.Max != nil}, {"network.zones or network.subnets", len(n.Zones)+len(n.ZoneIDs)+len(n.Subnets) > 0},
	} {
		if !need.have {
			return fault.Newf(fault.Usage, "add it to the file", "planning %s: the group does not exist, and to make it the file must give %s", d.name, need.key)
		}
	}
	return nil
}

// create makes the group with all that one call can give it.
func (d *differ) create(launch []Field) {
	fields := slices.Concat(compare("capacity", d.want.Capacity, nil), compare("network", d.want.Network, nil), compare("mixed", d.want.Mixed, nil),
		compare("load_balancing", d.want.Balancing, nil), compare("protection", d.want.Protection, nil), compare("service_role", d.want.ServiceRole, nil), launch)
	for _, key := range slices.Sorted(maps.Keys(d.want.Hooks)) {
		fields = append(fields, compare("hooks."+key, d.want.Hooks[key], nil)...)
	}
	tags := d.wantTags()
	n := newGroup{d.want, d.use, tags}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		fields = append(fields, Field{Path: "tags." + key, After: val(tags[key].Value)})
	}
	d.add(CreateGroup, d.name, "the group does not exist", d.noted(fields), func(ctx context.Context, r *run) error { return r.createGroup(ctx, n) })
}

// update changes the group's own fields.
func (d *differ) update(launch []Field) {
	fields := d.capacity()
	if d.want.Mixed != nil {
		fields = append(fields, compare("mixed", d.want.Mixed, d.live.Mixed)...)
	}
	if b := d.want.Balancing; b != nil {
		fields = append(fields, compare("load_balancing", Balancing{HealthCheck: b.HealthCheck, Grace: b.Grace}, d.live.Balancing)...)
	}
	fields = slices.Concat(fields, compare("network", d.want.Network, d.live.Network), compare("protection", d.want.Protection, d.live.Protection),
		compare("service_role", d.want.ServiceRole, d.live.ServiceRole), launch)
	if len(fields) == 0 {
		return
	}
	reason := "the group differs from the file"
	if d.live.Config != "" && len(launch) > 0 {
		reason = "launch configurations are closed by AWS: the group moves from " + d.live.Config + " to a launch template"
	}
	u := groupUpdate{d.want, d.use, d.live, d.noted(fields), d.desired}
	d.add(UpdateGroup, d.name, reason, fields, func(ctx context.Context, r *run) error { return r.updateGroup(ctx, u) })
}

// capacity compares sizes. Min and max may also be what a scheduled action
// set when it fired last. Desired capacity is written only when it would lie
// outside, or was asked for.
func (d *differ) capacity() []Field {
	c := d.want.Capacity
	if c == nil {
		return nil
	}
	plain, have := *c, *d.live.Capacity
	plain.Desired = nil
	if fired := d.lastFired(func(s Schedule) *int { return s.Min }); fired != nil && *fired == *have.Min {
		plain.Min = nil
	}
	if fired := d.lastFired(func(s Schedule) *int { return s.Max }); fired != nil && *fired == *have.Max {
		plain.Max = nil
	}
	fields := compare("capacity", plain, have)
	low, high := *or(plain.Min, *have.Min), *or(plain.Max, *have.Max)
	target, note := min(max(d.live.Desired, low), high), "moved by AWS into the new bounds"
	if w := c.Desired; w != nil && (w.Enforce || d.opt.ResetCapacity) {
		target, note = min(max(w.N, low), high), ""
		d.desired = ptr(int32(target))
	}
	if target != d.live.Desired {
		fields = append(fields, Field{Path: "capacity.desired", Before: strconv.Itoa(d.live.Desired), After: strconv.Itoa(target), Note: note})
	}
	return fields
}
