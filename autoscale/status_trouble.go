package autoscale

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// trouble decides what of a group's status a person should look at, and why.
func trouble(s GroupStatus) []Trouble {
	out := []Trouble{}
	say := func(class Cause, remedy, format string, args ...any) {
		out = append(out, Trouble{class, fmt.Sprintf(format, args...), cmp.Or(remedy, class.Remedy())})
	}
	if !s.Exists {
		say("", "apply the file, or correct the name", "it does not exist")
		return out
	}
	if s.Deleting != "" {
		say("", "", "AWS is deleting it: %s", s.Deleting)
		return out
	}
	if n := unhealthy(s.Instances); n > 0 {
		say(CauseHealth, "", "%s unhealthy", count(n, "instance is", "instances are"))
	}
	short := s.InService < s.Desired
	for _, launch := range []bool{true, false} {
		if a, times := failing(s.Activities, launch); times > 0 {
			verb := "launching"
			if !launch {
				verb = "terminating"
			}
			say(a.Trouble, "", "%s fails (%s, last %s): %s", verb, count(times, "time", "times"), a.Start.UTC().Format("15:04"), firstOf(a.Message, a.Description))
		}
	}
	if short {
		say("", whyShort(s), "%d of %d in service", s.InService, s.Desired)
	}
	if r := s.Refresh; r != nil && slices.Contains([]string{"Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful", "RollbackInProgress"}, r.Status) {
		say(CauseRefresh, "", "the instance refresh is %s at %d %%%s", r.Status, r.Percent, colon(r.Reason))
	}
	return out
}

// whyShort tells a group that grows from one that cannot.
func whyShort(s GroupStatus) string {
	if slices.Contains(s.Suspended, "Launch") {
		return "process Launch is suspended: nothing starts until it is resumed"
	}
	starting := 0
	for _, i := range s.Instances {
		if strings.HasPrefix(i.State, "Pending") {
			starting++
		}
	}
	if starting > 0 {
		return fmt.Sprintf("%s; look again", count(starting, "instance is starting", "instances are starting"))
	}
	if s.Refresh != nil && !s.Refresh.Over() {
		return "the refresh is replacing instances; look again"
	}
	return ""
}

func unhealthy(all []Instance) int {
	n := 0
	for _, i := range all {
		// An instance on its way out is unhealthy as a matter of course.
		if i.Health != "" && i.Health != "Healthy" && !strings.HasPrefix(i.State, "Terminat") && !strings.HasPrefix(i.State, "Detach") {
			n++
		}
	}
	return n
}

// failing is the newest failure to launch (or terminate) and how many there
// were since the last success; activities are newest first.
func failing(all []Activity, launch bool) (last Activity, times int) {
	for _, a := range all {
		if a.Launch() != launch {
			continue
		}
		switch a.Status {
		case "Successful":
			return last, times
		case "Failed":
			if times == 0 {
				last = a
			}
			times++
		}
	}
	return last, times
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// firstOf is the first text that says something, on one line.
func firstOf(texts ...string) string {
	return strings.Join(strings.Fields(cmp.Or(texts...)), " ")
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + firstOf(text)
}

func startsWith(text, word string) bool { return strings.HasPrefix(strings.TrimSpace(text), word) }
