package autoscale

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"bakehouse/internal/fault"
)

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

// versionLabel begins the description of every version that this tool makes.
const versionLabel = "bakehouse "

// foreign refuses a template that has the group's name by chance: a version
// made for the group would become the default of whoever else uses it.
func (d *differ) foreign(name string) error {
	next := "write launch.template: " + name + " if it is meant for the group, or the name of another one"
	if d.spec.Version == 1 {
		next = "write the file in the format of today (autoscalectl upgrade), then " + next
	}
	return fault.Newf(fault.Check, next, "planning %s: there is a launch template %s that the group does not use and this tool has not made", d.name, name)
}

// launchless refuses what cannot be without a launch template.
func (d *differ) launchless() error {
	if !d.exists || d.live.Config == "" || d.want.Mixed == nil || len(compare("mixed", d.want.Mixed, d.live.Mixed)) == 0 {
		return nil
	}
	return fault.Newf(fault.Usage, "write launch with image and type, which moves the group to a launch template",
		"planning %s: the group still uses launch configuration %s, and a mixed policy needs a launch template", d.name, d.live.Config)
}

// launch decides which launch template version the group shall use, and
// returns the fields of the group that change by it.
func (d *differ) launch() ([]Field, error) {
	if d.want.Launch == nil {
		return nil, d.launchless()
	}
	want, have := *d.want.Launch, val(d.live.Launch)
	name := *or(want.Template, *or(text(d.live.Template), TemplateName(d.name)))
	want.Template = &name
	differs := d.noted(compare("launch", want, have))
	if d.exists && d.live.Template != "" && len(differs) == 0 {
		return nil, nil
	}
	full, whole := launchOver(have, want)
	if len(want.SecurityGroups) > 0 && len(full.Interfaces) > 0 && want.Interfaces == nil {
		return nil, fault.Newf(fault.Usage, "write launch.interfaces with public_ip and groups, in place of launch.security_groups",
			"planning %s: the group launches with network interfaces of its own, and those carry the security groups", d.name)
	}
	versions, there := d.o.Templates[name]
	if there && !versions.Ours && d.live.Template != name && d.want.Launch.Template == nil {
		return nil, d.foreign(name)
	}
	source := ""
	if there && d.live.Template == name && !whole && sameNaming(want.SecurityGroups, have.SecurityGroups) {
		source = strconv.FormatInt(versions.number(d.live.Version), 10)
	}
	moved := Field{Path: "launch.version", Before: *or(text(d.live.Config), d.live.Version)}
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(versions.Data))) {
		if contentHash(*versions.Data[n]) == contentHash(full) {
			moved.After = strconv.FormatInt(n, 10)
			d.use = launchUse{name, moved.After}
			return append(differs, moved), nil
		}
	}
	d.use = launchUse{template: name}
	label := versionLabel + contentHash(full)[:12]
	if !there {
		moved.After = "1"
		d.add(CreateTemplate, name, "the group needs a launch template", d.noted(compare("launch", full, nil)), func(ctx context.Context, r *run) error {
			return r.createTemplate(ctx, name, label, full)
		})
		d.o.Templates[name] = Versions{Latest: 1, Default: 1, Data: map[int64]*Launch{1: &full}, Ours: true} // for the other groups of the file
		return []Field{moved}, nil
	}
	versions.Latest++ // others may make some meanwhile: only the answer of AWS counts
	d.o.Templates[name] = versions
	moved.After = strconv.FormatInt(versions.Latest, 10)
	d.add(CreateVersion, name, "no version has the content that the file asks for", differs, func(ctx context.Context, r *run) error {
		return r.createVersion(ctx, newVersion{name, label, source, full, want})
	})
	return []Field{moved}, nil
}

// launchOver puts what a file asks for over what there is. whole says that
// something of what there is goes: EC2 makes a version from another one by
// adding alone, so that such a version has to be written out.
func launchOver(have, want Launch) (full Launch, whole bool) {
	full = overlay(have, want)
	switch { // a type is named or described, not both
	case want.Requirements != nil && want.Type == nil:
		full.Type = nil
	case want.Type != nil && want.Requirements == nil:
		full.Requirements = nil
	}
	if len(want.Interfaces) > 0 && want.SecurityGroups == nil {
		full.SecurityGroups = nil
	}
	if want.Market != nil && *want.Market == "" {
		full.Spot = nil
	}
	h, f := flatten("launch", have).meant(), flatten("launch", full).meant()
	for path := range h {
		whole = whole || f[path] == ""
	}
	return full, whole
}
