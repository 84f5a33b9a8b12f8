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

// launch decides which launch template version the group shall use, and
// returns the fields of the group that change by it.
func (d *differ) launch() ([]Field, error) {
	if d.want.Launch == nil {
		return nil, nil
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
	label := "bakehouse " + contentHash(full)[:12]
	if !there {
		moved.After = "1"
		d.add(CreateTemplate, name, "the group needs a launch template", d.noted(compare("launch", full, nil)), func(ctx context.Context, r *run) error {
			return r.createTemplate(ctx, name, label, full)
		})
		return []Field{moved}, nil
	}
	moved.After = strconv.FormatInt(versions.Latest+1, 10)
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
