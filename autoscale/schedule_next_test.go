package autoscale

import (
	"testing"
	"time"
)

func TestWhenAScheduledActionFiresNext(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		s    Schedule
		from string
		want string // "" is never
	}{
		"the same day":       {Schedule{Cron: ptr("0 8 * * *")}, "2026-01-05T07:00:00Z", "2026-01-05T08:00:00Z"},
		"strictly after":     {Schedule{Cron: ptr("0 8 * * *")}, "2026-01-05T08:00:00Z", "2026-01-06T08:00:00Z"},
		"over a weekend":     {Schedule{Cron: ptr("30 6 * * MON-FRI")}, "2026-01-09T07:00:00Z", "2026-01-12T06:30:00Z"},
		"in its zone":        {Schedule{Cron: ptr("0 8 * * *"), TimeZone: ptr("Europe/Berlin")}, "2026-07-05T00:00:00Z", "2026-07-05T06:00:00Z"},
		"not before a start": {Schedule{Cron: ptr("0 8 * * *"), Start: ptr("2026-02-01T08:00:00Z")}, "2026-01-05T07:00:00Z", "2026-02-01T08:00:00Z"},
		"not after an end":   {Schedule{Cron: ptr("0 8 * * *"), End: ptr("2026-01-05T07:30:00Z")}, "2026-01-05T07:00:00Z", ""},
		"once":               {Schedule{Start: ptr("2026-02-01T08:00:00Z")}, "2026-01-05T07:00:00Z", "2026-02-01T08:00:00Z"},
		"once, and over":     {Schedule{Start: ptr("2026-02-01T08:00:00Z")}, "2026-02-01T08:00:00Z", ""},
		"never":              {Schedule{Cron: ptr("0 8 31 2 *")}, "2026-01-05T07:00:00Z", ""},
	} {
		from, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		at, ok, err := c.s.Next(from)
		got := ""
		if ok {
			got = at.UTC().Format(time.RFC3339)
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %q (%v), want %q", name, got, err, c.want)
		}
	}
	for _, bad := range []Schedule{{Cron: ptr("x")}, {Start: ptr("x")}, {Cron: ptr("0 8 * * *"), TimeZone: ptr("Nowhere/Else")}} {
		if _, _, err := bad.Next(time.Now()); err == nil {
			t.Errorf("%+v is no error", bad)
		}
	}
}
