package asg

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

func (s *Service) putSchedule(in *node) (*node, error) {
	g, err := s.group(in)
	if err != nil {
		return nil, err
	}
	n := in.copy()
	if n.has("Time") && !n.has("StartTime") { // the old name
		n.set("StartTime", n.get("Time"))
	}
	n.drop("Time")
	if n.has("Recurrence") && !n.has("TimeZone") {
		n.set("TimeZone", text("Etc/UTC"))
	}
	k := key(g.name, in.str("ScheduledActionName"))
	if err := limit(s.schedules, g.name, k, mostSchedules, "scheduled actions"); err != nil {
		return nil, err
	}
	if err := s.checkSchedule(n); err != nil {
		return nil, err
	}
	n.set("ScheduledActionARN", text(arn("scheduledUpdateGroupAction", s.uuid()+":autoScalingGroupName/"+g.name+":scheduledActionName/"+in.str("ScheduledActionName"))))
	if old := s.schedules[k]; old != nil {
		n.set("ScheduledActionARN", old.get("ScheduledActionARN"))
	}
	s.schedules[k], s.fires[k] = n, due(n, s.now())
	return nil, nil
}

func (s *Service) checkSchedule(n *node) error {
	if !n.has("MinSize") && !n.has("MaxSize") && !n.has("DesiredCapacity") {
		return invalid("At least one of MinSize, MaxSize and DesiredCapacity is needed")
	}
	if n.has("MinSize") && n.has("MaxSize") && n.number("MinSize") > n.number("MaxSize") {
		return invalid("Max bound must be greater than or equal to min bound")
	}
	start, end := when(n, "StartTime"), when(n, "EndTime")
	switch {
	case !n.has("Recurrence") && start.IsZero():
		return invalid("StartTime or Recurrence is needed")
	case !start.IsZero() && start.Before(s.now()):
		return invalid("Given start time is in the past")
	case !end.IsZero() && (end.Before(s.now()) || end.Before(start)):
		return invalid("Given end time is in the past or before the start time")
	case !n.has("Recurrence"):
		return nil
	}
	if _, err := parseRecurrence(n.str("Recurrence"), n.str("TimeZone")); err != nil {
		return invalid("Given recurrence string is invalid: " + err.Error())
	}
	return nil
}

// when reads a time of a Query call; zero when there is none.
func when(n *node, name string) time.Time {
	t, err := time.Parse(time.RFC3339, n.str(name))
	if err != nil {
		return time.Time{}
	}
	return t
}

// due is when a schedule fires next after t; zero is never.
func due(n *node, t time.Time) time.Time {
	start, end := when(n, "StartTime"), when(n, "EndTime")
	next := start
	if n.has("Recurrence") {
		r, err := parseRecurrence(n.str("Recurrence"), n.str("TimeZone"))
		if err != nil { // it was checked when it was put
			return time.Time{}
		}
		if start.After(t) {
			t = start.Add(-time.Minute)
		}
		next = r.next(t)
	}
	if !end.IsZero() && next.After(end) {
		return time.Time{}
	}
	return next
}

// fireAll fires every schedule that is due, in the order of time, and drops
// those that are over.
func (s *Service) fireAll() {
	for {
		first := ""
		for _, k := range slices.Sorted(maps.Keys(s.schedules)) {
			at := s.fires[k]
			if at.IsZero() {
				delete(s.schedules, k)
				delete(s.fires, k)
			} else if !s.now().Before(at) && (first == "" || at.Before(s.fires[first])) {
				first = k
			}
		}
		if first == "" {
			return
		}
		n, at := s.schedules[first], s.fires[first]
		if g := s.groups[n.str("AutoScalingGroupName")]; g != nil && !g.suspended("ScheduledActions") {
			s.fire(g, n)
		}
		s.fires[first] = time.Time{}
		if n.has("Recurrence") {
			s.fires[first] = due(n, at)
		}
	}
}

// fire does one scheduled action.
func (s *Service) fire(g *group, n *node) {
	was := g.number("DesiredCapacity")
	for _, name := range []string{"MinSize", "MaxSize", "DesiredCapacity"} {
		if n.has(name) {
			g.set(name, n.get(name))
		}
	}
	is := min(max(g.number("DesiredCapacity"), g.number("MinSize")), g.number("MaxSize"))
	g.set("DesiredCapacity", text(itoa(is)))
	s.moved = true
	reason := fmt.Sprintf("At %s a scheduled action %s update of AutoScalingGroup constraints to min: %s, max: %s, desired: %d", causeTime(s.now()), n.str("ScheduledActionName"), g.str("MinSize"), g.str("MaxSize"), is)
	if was != is {
		g.why(fmt.Sprintf("%s changing the desired capacity from %d to %d.", reason, was, is))
	}
}

// describeSchedules shows when each fires next as its StartTime, as AWS does.
func (s *Service) describeSchedules(in *node) (*node, error) {
	var found []*node
	for _, k := range slices.Sorted(maps.Keys(s.schedules)) {
		n, names := s.schedules[k].copy(), in.texts("ScheduledActionNames")
		if g := in.str("AutoScalingGroupName"); g != "" && g != n.str("AutoScalingGroupName") || len(names) > 0 && !slices.Contains(names, n.str("ScheduledActionName")) {
			continue
		}
		next := s.fires[k]
		if from, to := when(in, "StartTime"), when(in, "EndTime"); !from.IsZero() && next.Before(from) || !to.IsZero() && next.After(to) {
			continue
		}
		n.set("StartTime", text(stamp(next)))
		n.set("Time", text(stamp(next)))
		found = append(found, n)
	}
	return page("ScheduledUpdateGroupActions", found, in, 50)
}

func (s *Service) deleteSchedule(in *node) (*node, error) {
	delete(s.fires, key(in.str("AutoScalingGroupName"), in.str("ScheduledActionName")))
	return s.remove(s.schedules, in, "ScheduledActionName")
}

// batchSchedules puts or deletes several; what fails is listed.
func (s *Service) batchSchedules(from, out string, do operation) operation {
	return func(in *node) (*node, error) {
		if _, err := s.group(in); err != nil {
			return nil, err
		}
		failed := list()
		for _, item := range in.all(from) {
			one := item.copy()
			if len(item.names) == 0 {
				one = fields("ScheduledActionName", item.text)
			}
			one.set("AutoScalingGroupName", in.get("AutoScalingGroupName"))
			if _, err := do(one); err != nil {
				code, message, _ := strings.Cut(err.Error(), ": ")
				failed.items = append(failed.items, fields("ScheduledActionName", one.str("ScheduledActionName"), "ErrorCode", code, "ErrorMessage", message))
			}
		}
		return fields(out, failed), nil
	}
}
