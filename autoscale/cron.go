package autoscale

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// cron is a recurrence of five fields: minute, hour, day of month, month and
// day of week. As in Vixie cron, two day fields that are both restricted mean
// either of them.
type cron struct {
	minute, hour, day, month, weekday map[int]bool
	anyDay, anyWeekday                bool
}

func parseCron(text string) (cron, error) {
	f := strings.Fields(text)
	if len(f) != 5 {
		return cron{}, fmt.Errorf("expected five fields (minute hour day month weekday), got %q", text)
	}
	c := cron{anyDay: f[2] == "*", anyWeekday: f[4] == "*"}
	for i, into := range []*map[int]bool{&c.minute, &c.hour, &c.day, &c.month, &c.weekday} {
		bounds := [][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}}[i]
		names := []string{"", "", "", "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC", "SUN MON TUE WED THU FRI SAT"}[i]
		set, err := cronField(f[i], bounds[0], bounds[1], strings.Fields(names))
		if err != nil {
			return cron{}, err
		}
		*into = set
	}
	if c.weekday[7] {
		c.weekday[0] = true
	}
	return c, nil
}

// cronField reads a list of *, N, N-M, each with an optional /STEP.
func cronField(text string, low, high int, names []string) (map[int]bool, error) {
	number := func(s string) (int, error) {
		for i, name := range names {
			if strings.EqualFold(s, name) {
				return i + low, nil
			}
		}
		return strconv.Atoi(s)
	}
	set := map[int]bool{}
	for part := range strings.SplitSeq(text, ",") {
		span, stepText, stepped := strings.Cut(part, "/")
		from, to, step := low, high, 1
		var errs [3]error
		if span != "*" {
			a, b, ranged := strings.Cut(span, "-")
			from, errs[0] = number(a)
			if to = from; ranged {
				to, errs[1] = number(b)
			} else if stepped {
				to = high
			}
		}
		if stepped {
			step, errs[2] = strconv.Atoi(stepText)
		}
		if errs[0] != nil || errs[1] != nil || errs[2] != nil || from < low || to > high || from > to || step < 1 {
			words := ""
			if len(names) > 0 {
				words = " or " + names[0] + " to " + names[len(names)-1]
			}
			return nil, fmt.Errorf("cannot read %q: expected %d to %d%s, as *, N, N-M or lists of them, with /STEP", part, low, high, words)
		}
		for n := from; n <= to; n += step {
			set[n] = true
		}
	}
	return set, nil
}

// lookBack is how far last looks; a recurrence that fires more rarely than
// once in a year and a day has, for our purpose, not fired.
const lookBack = 367

// last returns when c fired last at or before now, in now's time zone.
func (c cron) last(now time.Time) (time.Time, bool) {
	for back := range lookBack {
		y, m, d := now.AddDate(0, 0, -back).Date()
		day := time.Date(y, m, d, 12, 0, 0, 0, now.Location())
		if !c.onDay(day) {
			continue
		}
		for minute := 24*60 - 1; minute >= 0; minute-- {
			at := time.Date(y, m, d, minute/60, minute%60, 0, 0, now.Location())
			if c.hour[minute/60] && c.minute[minute%60] && !at.After(now) {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

func (c cron) onDay(t time.Time) bool {
	day, weekday := c.day[t.Day()], c.weekday[int(t.Weekday())]
	switch {
	case !c.month[int(t.Month())]:
		return false
	case c.anyDay || c.anyWeekday:
		return day && weekday
	}
	return day || weekday
}
