package asg

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// recurrence is a cron expression of five fields in a time zone. As in cron,
// two day fields that are both restricted mean either of them.
type recurrence struct {
	fields [5]uint64 // minute, hour, day, month, weekday: one bit each value
	either bool
	zone   *time.Location
}

func parseRecurrence(text, zone string) (recurrence, error) {
	words := strings.Fields(text)
	if len(words) != 5 {
		return recurrence{}, fmt.Errorf("%q has not five fields", text)
	}
	where, err := time.LoadLocation(zone)
	if err != nil {
		return recurrence{}, fmt.Errorf("there is no time zone %q", zone)
	}
	r := recurrence{zone: where, either: words[2] != "*" && words[4] != "*"}
	bounds := [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}}
	for i, w := range words {
		for part := range strings.SplitSeq(w, ",") {
			bits, err := parsePart(i, part, bounds[i][0], bounds[i][1])
			if err != nil {
				return recurrence{}, err
			}
			r.fields[i] |= bits
		}
	}
	if r.fields[4]&(1<<7) != 0 { // Sunday is 0 and 7
		r.fields[4] |= 1
	}
	return r, nil
}

// parsePart reads *, N, N-M, each with an optional /STEP.
func parsePart(field int, text string, low, high int) (uint64, error) {
	span, stride, stepped := strings.Cut(text, "/")
	by := 1
	if stepped {
		var err error
		if by, err = strconv.Atoi(stride); err != nil || by < 1 {
			return 0, fmt.Errorf("%q has no good step", text)
		}
	}
	from, to := low, high
	if span != "*" {
		a, b, ranged := strings.Cut(span, "-")
		var e1, e2 error
		from, e1 = ordinal(field, a)
		to = from
		if ranged {
			to, e2 = ordinal(field, b)
		} else if stepped {
			to = high
		}
		if e1 != nil || e2 != nil || from < low || to > high || from > to {
			return 0, fmt.Errorf("%q is not within %d to %d", text, low, high)
		}
	}
	var bits uint64
	for n := from; n <= to; n += by {
		bits |= 1 << n
	}
	return bits, nil
}

// ordinal is a number, or the name of a month or a day.
func ordinal(field int, text string) (int, error) {
	names := ""
	switch field {
	case 3:
		names = "...JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
	case 4:
		names = "SUNMONTUEWEDTHUFRISAT"
	}
	if i := strings.Index(names, strings.ToUpper(text)); len(text) == 3 && i >= 0 && i%3 == 0 {
		return i / 3, nil
	}
	return strconv.Atoi(text)
}

func (r recurrence) day(t time.Time) bool {
	date, week := r.fields[2]&(1<<t.Day()) != 0, r.fields[4]&(1<<int(t.Weekday())) != 0
	if r.either {
		return date || week
	}
	return date && week
}

// next is the first time after t; zero when there is none within five years.
func (r recurrence) next(t time.Time) time.Time {
	at := t.In(r.zone).Truncate(time.Minute).Add(time.Minute)
	for end := at.AddDate(5, 0, 0); at.Before(end); {
		switch {
		case r.fields[3]&(1<<int(at.Month())) == 0 || !r.day(at):
			at = time.Date(at.Year(), at.Month(), at.Day()+1, 0, 0, 0, 0, r.zone)
		case r.fields[1]&(1<<at.Hour()) == 0:
			at = at.Add(time.Duration(60-at.Minute()) * time.Minute)
		case r.fields[0]&(1<<at.Minute()) == 0:
			at = at.Add(time.Minute)
		default:
			return at.UTC()
		}
	}
	return time.Time{}
}
