package autoscale

import (
	"context"
	"maps"
	"slices"
	"time"
)

func (d *differ) schedules() {
	for _, key := range slices.Sorted(maps.Keys(d.want.Schedules)) {
		want := d.want.Schedules[key]
		have, there := d.live.Schedules[key]
		if want.over(d.o.At) {
			d.plan.Warnings = append(d.plan.Warnings, Warning{Group: *or(d.want.PartOf, d.name), Key: "schedules." + key,
				Text: "its time lies in the past, and AWS takes no such action; take it out of the file"})
			continue
		}
		if want.Cron != nil {
			want.TimeZone = or(want.TimeZone, "Etc/UTC")
			want.Start = nil // AWS moves it to the next firing
		}
		if f := compare("schedules."+key, want, have); len(f) > 0 {
			full := overlay(have, d.want.Schedules[key])
			if start, _, _ := full.bounds(); want.Cron != nil && start.Before(d.o.At) {
				full.Start = nil // it begins at once
			}
			full.TimeZone = want.TimeZone                // absent it is UTC, not what was there
			once := want.Cron == nil && have.Cron != nil // a put cannot take a recurrence away
			d.add(PutSchedule, key, reasonFor("scheduled action", there), f, func(ctx context.Context, r *run) error {
				if once {
					full.Cron = nil
					if err := r.deleteSchedule(ctx, key); err != nil {
						return err
					}
				}
				return r.putSchedule(ctx, key, full)
			})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(d.live.Schedules)) {
		if _, kept := d.want.Schedules[key]; d.want.Schedules != nil && !kept {
			f := reversed(compare("schedules."+key, d.live.Schedules[key], nil))
			d.add(DeleteSchedule, key, "the file does not have it", f, func(ctx context.Context, r *run) error { return r.deleteSchedule(ctx, key) })
		}
	}
}

// over says that s will not fire again; AWS keeps no such action.
func (s Schedule) over(now time.Time) bool {
	start, end, err := s.bounds()
	if err != nil { // Parse has refused it
		return false
	}
	return s.Cron == nil && !start.After(now) || !end.IsZero() && !end.After(now)
}

// fired returns when s fired last, if it did.
func (s Schedule) fired(now time.Time) (time.Time, bool) {
	start, end, err := s.bounds()
	if err != nil || s.Cron == nil {
		return start, err == nil && !start.After(now)
	}
	c, zone, err := s.recurrence()
	if err != nil {
		return time.Time{}, false
	}
	if !end.IsZero() && end.Before(now) {
		now = end
	}
	return c.last(now.In(zone))
}

// lastFired is what size holds of the scheduled action that fired last of
// those that have one; nil when none did. AWS forgets actions that are over,
// so those come from the file.
func (d *differ) lastFired(size func(Schedule) *int) *int {
	all := maps.Clone(d.live.Schedules)
	for key, s := range d.want.Schedules {
		if _, there := all[key]; !there && s.over(d.o.At) {
			all[key] = s
		}
	}
	var last *int
	var when time.Time
	for _, key := range slices.Sorted(maps.Keys(all)) {
		at, ok := all[key].fired(d.o.At)
		if n := size(all[key]); ok && n != nil && (last == nil || at.After(when)) {
			last, when = n, at
		}
	}
	return last
}
