package autoscale

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hours are a part of each day, or of some days of the week, in the time zone
// of their scheduled action.
type Hours struct {
	From    *string `yaml:"from" aws:"-" doc:"HH:MM at which they begin"`
	To      *string `yaml:"to" aws:"-" doc:"HH:MM at which they end; before from, or 24:00, it is on the next day"`
	Days    *string `yaml:"days" aws:"-" doc:"days of the week on which they begin, as in cron, such as MON-FRI; every day when absent"`
	Outside *Sizes  `yaml:"outside" aws:"-" doc:"what holds outside the hours; the min and max of capacity when absent"`
}

// Sizes are the sizes that a scheduled action sets.
type Sizes struct {
	Min     *int `yaml:"min" aws:"-" doc:"min to set"`
	Max     *int `yaml:"max" aws:"-" doc:"max to set"`
	Desired *int `yaml:"desired" aws:"-" doc:"desired capacity to set"`
}

// hours is the schedules of g with each hours section as two actions,
// KEY-begin and KEY-end.
func (g Group) hours() map[string]Schedule {
	if !slices.ContainsFunc(slices.Collect(maps.Values(g.Schedules)), func(s Schedule) bool { return s.Hours != nil }) {
		return g.Schedules
	}
	out := map[string]Schedule{}
	for key, s := range g.Schedules {
		if s.Hours == nil {
			out[key] = s
			continue
		}
		begin, end, err := s.Hours.crons()
		if err != nil { // Parse has refused it
			continue
		}
		o, c := val(s.Hours.Outside), val(g.Capacity)
		first, last := s, s
		first.Hours, first.Cron = nil, &begin
		last.Hours, last.Cron, last.Min, last.Max, last.Desired = nil, &end, o.Min, o.Max, o.Desired
		if s.Min != nil && last.Min == nil {
			last.Min = c.Min
		}
		if s.Max != nil && last.Max == nil {
			last.Max = c.Max
		}
		out[key+"-begin"], out[key+"-end"] = first, last
	}
	return out
}

// crons are the recurrences of begin and end. Days are numbers: whether Auto
// Scaling takes names is nowhere said.
func (h Hours) crons() (begin, end string, err error) {
	from, err := clockOf(val(h.From), false)
	if err != nil {
		return "", "", fmt.Errorf("from: %w", err)
	}
	to, err := clockOf(val(h.To), true)
	if err != nil {
		return "", "", fmt.Errorf("to: %w", err)
	}
	if from == to {
		return "", "", fmt.Errorf("the hours begin and end at %s", *h.To)
	}
	days, err := cronField(*or(h.Days, "*"), 0, 7, strings.Fields("SUN MON TUE WED THU FRI SAT"))
	if err != nil {
		return "", "", fmt.Errorf("days: %w", err)
	}
	shift := 0
	if to < from || to == 24*time.Hour {
		shift = 1
	}
	return cronAt(from, days, 0), cronAt(to, days, shift), nil
}

// clockOf reads HH:MM, and 24:00 where that makes sense.
func clockOf(text string, ends bool) (time.Duration, error) {
	if ends && text == "24:00" {
		return 24 * time.Hour, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		return 0, fmt.Errorf("expected HH:MM, got %q", text)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// cronAt is the recurrence at a time of day, shift days after days.
func cronAt(at time.Duration, days map[int]bool, shift int) string {
	shifted := map[int]bool{}
	for day := range days {
		shifted[(day+shift)%7] = true
	}
	field := "*"
	if len(shifted) < 7 {
		var list []string
		for _, day := range slices.Sorted(maps.Keys(shifted)) {
			list = append(list, strconv.Itoa(day))
		}
		field = strings.Join(list, ",")
	}
	return fmt.Sprintf("%d %d * * %s", int(at.Minutes())%60, int(at.Hours())%24, field)
}
