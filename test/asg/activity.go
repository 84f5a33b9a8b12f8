package asg

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status codes of activities, as DescribeScalingActivities names them.
const (
	statusInProgress = "InProgress"
	statusPreService = "PreInService"
	statusSuccessful = "Successful"
	statusFailed     = "Failed"
	statusCancelled  = "Cancelled"
	statusMidAction  = "MidLifecycleAction"
	statusWarmup     = "WaitingForInstanceWarmup"
)

// activity is one entry of a group's history.
type activity struct {
	id, description, cause string
	start, end             time.Time
	status, message        string
	progress               int
	zone, subnet           string
}

// causeTime is how causes write a time.
func causeTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// begin writes a new activity down.
func (s *Service) begin(g *group, description, cause, status string) *activity {
	a := &activity{id: s.uuid(), description: description, cause: cause, start: s.now(), status: status}
	g.activities = slices.Insert(g.activities, 0, a)
	return a
}

// finish ends an activity, once.
func (s *Service) finish(a *activity, status, message string) {
	if a == nil || !a.end.IsZero() {
		return
	}
	a.status, a.message, a.end, a.progress = status, message, s.now(), 100
}

// uuid numbers things in the shape that AWS gives them.
func (s *Service) uuid() string {
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", s.next(), s.serial)
}

// because joins the group's reasons, if it is about them, with what was done.
func (s *Service) because(g *group, what string) string {
	var all []string
	if g != nil {
		all = slices.Clone(g.reasons)
	}
	return strings.Join(append(all, fmt.Sprintf("At %s %s", causeTime(s.now()), what)), " ")
}

// describeActivities lists the newest first, of deleted groups if that is asked.
func (s *Service) describeActivities(in *node) (*node, error) {
	groups := sorted(s.groups)
	if in.str("IncludeDeletedGroups") == "true" {
		groups = append(groups, sorted(s.past)...)
	}
	if err := known("the filter", namesOf(in.all("Filters")), []string{"StartTimeLowerBound", "StartTimeUpperBound", "Status"}); err != nil {
		return nil, err
	}
	var found []*node
	for _, g := range groups {
		if name := in.str("AutoScalingGroupName"); name != "" && name != g.name {
			continue
		}
		for _, a := range g.activities {
			if ids := in.texts("ActivityIds"); (len(ids) == 0 || slices.Contains(ids, a.id)) && a.passes(in.all("Filters")) {
				found = append(found, a.describe(g))
			}
		}
	}
	return page("Activities", found, in, 100)
}

func namesOf(filters []*node) []string {
	var out []string
	for _, f := range filters {
		out = append(out, f.str("Name"))
	}
	return out
}

// passes applies the filters of DescribeScalingActivities.
func (a *activity) passes(filters []*node) bool {
	for _, f := range filters {
		for _, v := range f.texts("Values") {
			t, err := time.Parse(time.RFC3339, v)
			switch name := f.str("Name"); {
			case name == "Status":
			case err != nil, name == "StartTimeLowerBound" && a.start.Before(t), name == "StartTimeUpperBound" && a.start.After(t):
				return false
			}
		}
		if f.str("Name") == "Status" && !slices.Contains(f.texts("Values"), a.status) {
			return false
		}
	}
	return true
}

func (a *activity) describe(g *group) *node {
	n := fields("ActivityId", a.id, "AutoScalingGroupName", g.name, "AutoScalingGroupARN", g.str("AutoScalingGroupARN"), "Description", a.description,
		"Cause", a.cause, "StartTime", stamp(a.start), "StatusCode", a.status, "Progress", a.progress,
		"Details", fmt.Sprintf(`{"Subnet ID":%q,"Availability Zone":%q}`, a.subnet, a.zone))
	if !a.end.IsZero() {
		n.set("EndTime", text(stamp(a.end)))
	}
	if a.message != "" {
		n.set("StatusMessage", text(a.message))
	}
	return n
}
