package autoscale

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// wantTags are the file's tags, the owner's, and that of a written group.
func (d *differ) wantTags() map[string]Tag {
	out := maps.Clone(d.want.Tags)
	for key, value := range map[string]string{OwnerTag: d.spec.Owner, PartTag: val(d.want.PartOf)} {
		if value == "" {
			continue
		}
		if out == nil {
			out = map[string]Tag{}
		}
		out[key] = Tag{ptr(value), ptr(false)}
	}
	return out
}

// tags leaves alone what AWS and the house keep for themselves.
func (d *differ) tags() {
	want := d.wantTags()
	var fields, gone []Field
	put := map[string]Tag{}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		w := want[key]
		h, there := d.live.Tags[key]
		diff := compare("tags."+key, w, h)
		if !there && len(diff) == 0 { // an empty value
			diff = []Field{{Path: "tags." + key + ".value"}}
		}
		if len(diff) > 0 {
			fields = append(fields, diff...)
			put[key] = overlay(h, w)
		}
	}
	if len(fields) > 0 {
		d.add(PutTags, d.name, "tags differ from the file", fields, func(ctx context.Context, r *run) error { return r.putTags(ctx, put) })
	}
	if was := d.live.Owner; was != "" && d.spec.Owner != "" && was != d.spec.Owner {
		d.plan.Warnings = append(d.plan.Warnings, Warning{Group: *or(d.want.PartOf, d.name), Key: "owner",
			Text: "the group carries the mark of owner " + was + ", and apply makes it that of " + d.spec.Owner + "; a file of " + was + " that has it, too, would take it back"})
	}
	if d.want.Tags == nil {
		return
	}
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(d.live.Tags)) {
		_, kept := want[key]
		if !kept && !strings.HasPrefix(key, "aws:") && !strings.HasPrefix(key, "bakehouse:") {
			keys = append(keys, key)
			gone = append(gone, Field{Path: "tags." + key, Before: val(d.live.Tags[key].Value)})
		}
	}
	if len(keys) > 0 {
		d.add(DeleteTags, d.name, "the file does not have them", gone, func(ctx context.Context, r *run) error { return r.deleteTags(ctx, keys) })
	}
}

// changed splits a managed list into what to add and what to remove.
func changed(want, have []string) (add, remove []string) {
	for _, w := range want {
		if !slices.Contains(have, w) && !slices.Contains(add, w) {
			add = append(add, w)
		}
	}
	for _, h := range have {
		if want != nil && !slices.Contains(want, h) {
			remove = append(remove, h)
		}
	}
	return add, remove
}

// atATime is the most load balancers, target groups or traffic sources that one
// call attaches or detaches. The other lists do not mind.
const atATime = 10

// sets plans the two halves of a list that AWS adds to and removes from.
func (d *differ) sets(path string, want, have []string, put, take Kind, act func(context.Context, *run, Kind, []string) error) {
	add, remove := changed(want, have)
	asked, name := "the file asks for them", path
	if put != Attach { // metrics and processes are the group's
		name = d.name
	}
	if put == EnableMetrics {
		asked = whyCollected(add, d.reads)
	}
	for _, half := range []struct {
		kind   Kind
		what   []string
		reason string
		field  Field
	}{
		{put, add, asked, Field{Path: path, After: strings.Join(add, ", ")}},
		{take, remove, "the file does not have them", Field{Path: path, Before: strings.Join(remove, ", ")}},
	} {
		if len(half.what) > 0 {
			d.add(half.kind, name, half.reason, []Field{half.field}, func(ctx context.Context, r *run) error {
				for some := range slices.Chunk(half.what, atATime) {
					if err := act(ctx, r, half.kind, some); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
}

func (d *differ) balancing() {
	want, have := val(d.want.Balancing), val(d.live.Balancing)
	skip := val(val(d.want.Network).ZonalShift).SkipValidation
	d.sets("load_balancing.target_groups", want.TargetGroups, have.TargetGroups, Attach, Detach,
		func(ctx context.Context, r *run, k Kind, what []string) error {
			return r.targetGroups(ctx, k, what)
		})
	d.sets("load_balancing.classic", want.Classic, have.Classic, Attach, Detach,
		func(ctx context.Context, r *run, k Kind, what []string) error { return r.classic(ctx, k, what) })
	d.sets("load_balancing.traffic_sources", want.TrafficSources, have.TrafficSources, Attach, Detach,
		func(ctx context.Context, r *run, k Kind, what []string) error { return r.traffic(ctx, k, what, skip) })
}

// switches are the metrics collected and the processes suspended. Metrics that
// an expression reads are switched on even where the file has no list.
func (d *differ) switches() {
	metrics := d.want.Metrics
	if metrics == nil {
		metrics = slices.Clone(d.live.Metrics)
		for _, r := range d.reads {
			metrics = append(metrics, r.metric)
		}
	}
	d.sets("metrics", metrics, d.live.Metrics, EnableMetrics, DisableMetrics,
		func(ctx context.Context, r *run, k Kind, what []string) error { return r.metrics(ctx, k, what) })
	d.sets("suspended", d.want.Suspended, d.live.Suspended, Suspend, Resume,
		func(ctx context.Context, r *run, k Kind, what []string) error { return r.processes(ctx, k, what) })
}

// reasonFor says why something of a group is put.
func reasonFor(what string, there bool) string {
	if there {
		return "the " + what + " differs from the file"
	}
	return "the file asks for it"
}

func (d *differ) hooks() {
	for _, key := range slices.Sorted(maps.Keys(d.want.Hooks)) {
		have, there := d.live.Hooks[key]
		full := overlay(have, d.want.Hooks[key])
		if f := compare("hooks."+key, d.want.Hooks[key], have); len(f) > 0 {
			d.add(PutHook, key, reasonFor("hook", there), f, func(ctx context.Context, r *run) error { return r.putHook(ctx, key, full) })
		}
	}
	for _, key := range slices.Sorted(maps.Keys(d.live.Hooks)) {
		if _, kept := d.want.Hooks[key]; d.want.Hooks != nil && !kept {
			d.add(DeleteHook, key, "the file does not have it", reversed(compare("hooks."+key, d.live.Hooks[key], nil)), func(ctx context.Context, r *run) error {
				return r.deleteHook(ctx, key)
			})
		}
	}
}

// warmPool takes the pool away only when the file says none.
func (d *differ) warmPool() {
	if d.want.WarmPool == nil {
		return
	}
	want, have := *d.want.WarmPool, *or(d.live.WarmPool, WarmPool{None: ptr(true)})
	f := compare("warm_pool", want, have)
	switch {
	case val(want.None) && !val(have.None):
		d.add(DeleteWarmPool, d.name, "the file asks for no warm pool", f, func(ctx context.Context, r *run) error { return r.deleteWarmPool(ctx) })
	case !val(want.None) && (len(f) > 0 || val(have.None)):
		full := overlay(have, want)
		d.add(PutWarmPool, d.name, reasonFor("warm pool", !val(have.None)), f, func(ctx context.Context, r *run) error { return r.putWarmPool(ctx, full) })
	}
}

func (d *differ) notices() {
	for _, topic := range slices.Sorted(maps.Keys(d.want.Notifications)) {
		events := d.want.Notifications[topic]
		if f := compare("notifications."+topic, events, d.live.Notifications[topic]); len(f) > 0 && len(events) > 0 {
			d.add(PutNotice, topic, "the events differ from the file", f, func(ctx context.Context, r *run) error { return r.putNotice(ctx, topic, events) })
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(d.live.Notifications)) {
		if d.want.Notifications != nil && len(d.want.Notifications[topic]) == 0 {
			f := reversed(compare("notifications."+topic, d.live.Notifications[topic], nil))
			d.add(DeleteNotice, topic, "the file does not have it", f, func(ctx context.Context, r *run) error { return r.deleteNotice(ctx, topic) })
		}
	}
}
