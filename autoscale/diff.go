package autoscale

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

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
	reads := s.collected()
	p.Warnings = slices.Concat(p.Warnings, o.leftovers(), o.silent(s))
	for _, name := range s.Names() {
		live, exists := o.Groups[name]
		d := differ{name: name, want: s.Groups[name], live: live, exists: exists, o: o, opt: opt, plan: &p, owner: s.Owner, reads: reads[name]}
		if err := d.group(); err != nil {
			return Plan{}, err
		}
	}
	p.sort()
	return p, nil
}

// differ compares one group.
type differ struct {
	name   string
	want   Group
	live   Live
	exists bool
	o      Observed
	opt    DiffOptions
	plan   *Plan
	owner  string
	reads  []string  // group metrics that expressions of the file read
	use    launchUse // what the group shall launch from, once launch has decided
}

// launchUse names a launch template version; an empty Version is the one that
// an earlier change of the same plan creates.
type launchUse struct{ template, version string }

func (d *differ) add(k Kind, name, reason string, fields []Field, do func(context.Context, *run) error) {
	d.plan.Changes = append(d.plan.Changes, Change{Group: d.name, Kind: k, Name: name, Fields: fields, Reason: reason, PartOf: val(d.want.PartOf), do: do})
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
	fields := d.launch()
	if !d.exists {
		d.create(fields)
	} else {
		d.update(fields)
		d.hooks()
		d.balancing()
		d.tags()
	}
	d.switches()
	d.notices()
	d.policies()
	d.alarms()
	d.schedules()
	return nil
}

// resolve replaces an image's reference by its id.
func (d *differ) resolve() error {
	l := d.want.Launch
	if l == nil || l.Image == nil {
		return nil
	}
	id, there := d.o.Images[*l.Image]
	if !there {
		return fault.Newf(fault.Check, "name an image that this account can see", "planning %s: there is no image %s", d.name, *l.Image)
	}
	resolved := *l
	resolved.Image = &id
	d.want.Launch = &resolved
	return nil
}

// complete refuses a new group whose file leaves out what AWS needs.
func (d *differ) complete() error {
	l, c, n := val(d.want.Launch), val(d.want.Capacity), val(d.want.Network)
	for _, need := range []struct {
		key  string
		have bool
	}{
		{"launch.image", l.Image != nil}, {"launch.type", l.Type != nil || d.want.Mixed != nil && len(d.want.Mixed.Types) > 0},
		{"capacity.min", c.Min != nil}, {"capacity.max", c.Max != nil}, {"network.zones or network.subnets", len(n.Zones)+len(n.Subnets) > 0},
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
		compare("load_balancing", d.want.Balancing, nil), compare("protection", d.want.Protection, nil), launch)
	for _, key := range slices.Sorted(maps.Keys(d.want.Hooks)) {
		fields = append(fields, compare("hooks."+key, d.want.Hooks[key], nil)...)
	}
	tags := d.wantTags()
	n := newGroup{d.want, d.use, tags}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		fields = append(fields, Field{"tags." + key, "", val(tags[key].Value)})
	}
	d.add(CreateGroup, d.name, "the group does not exist", fields, func(ctx context.Context, r *run) error { return r.createGroup(ctx, n) })
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
	fields = slices.Concat(fields, compare("network", d.want.Network, d.live.Network), compare("protection", d.want.Protection, d.live.Protection), launch)
	if len(fields) == 0 {
		return
	}
	reason := "the group differs from the file"
	if d.live.Config != "" && len(launch) > 0 {
		reason = "launch configurations are closed by AWS: the group moves from " + d.live.Config + " to a launch template"
	}
	u := groupUpdate{d.want, d.use, d.live, fields}
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
	if fired := d.lastFired(); fired != nil {
		if fired.Min != nil && *fired.Min == *have.Min {
			plain.Min = nil
		}
		if fired.Max != nil && *fired.Max == *have.Max {
			plain.Max = nil
		}
	}
	fields := compare("capacity", plain, have)
	low, high := *or(plain.Min, *have.Min), *or(plain.Max, *have.Max)
	target := min(max(d.live.Desired, low), high)
	if w := c.Desired; w != nil && (w.Enforce || d.opt.ResetCapacity) {
		target = w.N
	}
	if target != d.live.Desired {
		fields = append(fields, Field{"capacity.desired", strconv.Itoa(d.live.Desired), strconv.Itoa(target)})
	}
	return fields
}

// lastFired is the scheduled action that fired last, if one did.
func (d *differ) lastFired() *Schedule {
	var last *Schedule
	var when time.Time
	for _, s := range d.live.Schedules {
		var at time.Time
		var ok bool
		if s.Cron != nil {
			zone, err := time.LoadLocation(val(s.TimeZone))
			c, bad := parseCron(*s.Cron)
			if err == nil && bad == nil {
				at, ok = c.last(d.o.At.In(zone))
			}
		} else if start, err := time.Parse(time.RFC3339, val(s.Start)); err == nil {
			at, ok = start, !start.After(d.o.At)
		}
		if ok && (last == nil || at.After(when)) {
			last, when = &s, at
		}
	}
	return last
}

// TemplateName is the launch template of a group that names none: the group's
// name, with what EC2 does not allow replaced (3 to 128 of a few characters).
func TemplateName(group string) string {
	clean := strings.Map(func(r rune) rune {
		if r < 128 && strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789().-/_", r) {
			return r
		}
		return '-'
	}, group)
	if clean == group && len(group) >= 3 && len(group) <= 128 {
		return group
	}
	return clean[:min(len(clean), 100)] + "-" + contentHash(Launch{Image: &group})[:8]
}

// sameNaming says that both lists name security groups alike, by id or by
// name. EC2 keeps the two apart, and a version made from a source cannot drop
// the source's other list.
func sameNaming(want, have []string) bool {
	ids := func(g string) bool { return strings.HasPrefix(g, "sg-") }
	return want == nil || slices.ContainsFunc(want, ids) == slices.ContainsFunc(have, ids) || len(have) == 0
}

// launch decides which launch template version the group shall use, and
// returns the fields of the group that change by it.
func (d *differ) launch() []Field {
	if d.want.Launch == nil {
		return nil
	}
	want, have := *d.want.Launch, val(d.live.Launch)
	name := *or(want.Template, *or(text(d.live.Template), TemplateName(d.name)))
	want.Template = &name
	differs := compare("launch", want, have)
	if d.exists && d.live.Template != "" && len(differs) == 0 {
		return nil
	}
	full := overlay(have, want)
	versions, there := d.o.Templates[name]
	source := ""
	if there && d.live.Template == name && sameNaming(want.SecurityGroups, have.SecurityGroups) {
		source = strconv.FormatInt(versions.number(d.live.Version), 10)
	}
	before := d.live.Version
	if d.live.Config != "" {
		before = d.live.Config
	}
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(versions.Data))) {
		if contentHash(versions.Data[n]) == contentHash(full) {
			after := strconv.FormatInt(n, 10)
			d.use = launchUse{name, after}
			return append(differs, Field{"launch.version", before, after})
		}
	}
	d.use = launchUse{template: name}
	label := "bakehouse " + contentHash(full)[:12]
	if !there {
		d.add(CreateTemplate, name, "the group needs a launch template", compare("launch", full, nil), func(ctx context.Context, r *run) error {
			return r.createTemplate(ctx, name, label, full)
		})
		return []Field{{"launch.version", before, "1"}}
	}
	d.add(CreateVersion, name, "no version has the content that the file asks for", differs, func(ctx context.Context, r *run) error {
		return r.createVersion(ctx, newVersion{name, label, source, full, want})
	})
	return []Field{{"launch.version", before, strconv.FormatInt(versions.Latest+1, 10)}}
}
