package autoscale

import (
	"slices"
	"testing"
)

func TestChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	at := boardTime()
	well := GroupStatus{Group: "web", Exists: true, Min: 1, Max: 4, Desired: 2, InService: 2, Version: "1", Instances: []Instance{{"i-1", "us-east-1a", "InService", "Healthy", "1"}, {"i-2", "us-east-1b", "InService", "Healthy", "1"}}}
	short := well
	short.Desired, short.Version, short.Suspended = 3, "2", []string{"Launch"}
	short.Instances = []Instance{{"i-1", "us-east-1a", "InService", "Unhealthy", "1"}, {"i-3", "us-east-1b", "Pending", "Healthy", "2"}}
	short.Activities = []Activity{{ID: "a", Status: "Failed", Message: "no  room", Trouble: CauseCapacity}}
	short.Refresh = &RefreshStatus{ID: "r", Status: "InProgress", Percent: 50, ToGo: 1}
	short.Trouble = []Trouble{{What: "1 of 3 in service"}}
	gone := GroupStatus{Group: "web", Trouble: []Trouble{{What: "it does not exist"}}}
	for _, c := range []struct {
		name          string
		before, after []GroupStatus
		want          []string
	}{
		{"first look", nil, []GroupStatus{well}, []string{"2 of 2 in service, min 1, max 4, version 1"}},
		{"nothing new", []GroupStatus{short}, []GroupStatus{short}, nil},
		{"all at once", []GroupStatus{well}, []GroupStatus{short}, []string{"desired 2 -> 3", "version 1 -> 2", "suspended: Launch", "!i-1 is InService Unhealthy",
			"i-3 is Pending Healthy, version 2, in us-east-1b", "i-2 is gone", "!capacity: no room", "refresh InProgress 50 %, 1 to go", "!1 of 3 in service"}},
		{"well again", []GroupStatus{{Group: "web", Exists: true, Trouble: short.Trouble}}, []GroupStatus{{Group: "web", Exists: true}}, []string{"all is well"}},
		{"deleted", []GroupStatus{well}, []GroupStatus{gone}, []string{"!the group does not exist"}},
		{"still deleted", []GroupStatus{gone}, []GroupStatus{gone}, nil},
		{"no more listed", []GroupStatus{well}, nil, []string{"!the group is gone"}},
	} {
		var got []string
		for _, x := range StatusChanges(c.before, c.after, at) {
			if x.Bad {
				x.What = "!" + x.What
			}
			got = append(got, x.What)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
