package autoscale

import (
	"fmt"
	"time"
)

// Next returns when the scheduled action fires next, strictly after a time; ok
// is false when it does not again. A recurrence that fires more rarely than
// once in a year and a day counts as never. Start and End bound it.
func (s Schedule) Next(after time.Time) (at time.Time, ok bool, err error) {
	start, end, err := s.bounds()
	if err != nil {
		return time.Time{}, false, err
	}
	if s.Cron == nil {
		return start, start.After(after), nil
	}
	c, zone, err := s.recurrence()
	if err != nil {
		return time.Time{}, false, err
	}
	if after.Before(start) {
		after = start.Add(-time.Second)
	}
	at, ok = c.next(after.In(zone))
	return at, ok && (end.IsZero() || !at.After(end)), nil
}

// recurrence reads Cron and the zone that it is meant in.
func (s Schedule) recurrence() (c cron, zone *time.Location, err error) {
	if zone, err = time.LoadLocation(val(s.TimeZone)); err != nil {
		return c, nil, fmt.Errorf("reading time zone: %w", err)
	}
	if c, err = parseCron(*s.Cron); err != nil {
		return c, nil, fmt.Errorf("reading cron: %w", err)
	}
	return c, zone, nil
}

// bounds reads Start and End; the zero time is none.
func (s Schedule) bounds() (start, end time.Time, err error) {
	for _, b := range []struct {
		text *string
		into *time.Time
	}{{s.Start, &start}, {s.End, &end}} {
		if b.text != nil && err == nil {
			*b.into, err = time.Parse(time.RFC3339, *b.text)
		}
	}
	return start, end, err
}

// next returns when c fires first after a time, in that time's zone.
func (c cron) next(after time.Time) (time.Time, bool) {
	for ahead := range lookBack {
		y, m, d := after.AddDate(0, 0, ahead).Date()
		if !c.onDay(time.Date(y, m, d, 12, 0, 0, 0, after.Location())) {
			continue
		}
		for minute := range 24 * 60 {
			at := time.Date(y, m, d, minute/60, minute%60, 0, 0, after.Location())
			if c.hour[minute/60] && c.minute[minute%60] && at.After(after) {
				return at, true
			}
		}
	}
	return time.Time{}, false
}
