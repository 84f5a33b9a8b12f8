package autoscale

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// StatusChange is one thing that is new between two looks at a group.
type StatusChange struct {
	Time  time.Time `json:"time"`
	Group string    `json:"group"`
	What  string    `json:"what"`
	Bad   bool      `json:"bad"` // a person should look
}

// StatusChanges lists what is new in after, group by group; at is the time of
// that look. Groups that were not in before are new as a whole.
func StatusChanges(before, after []GroupStatus, at time.Time) []StatusChange {
	had := map[string]GroupStatus{}
	for _, s := range before {
		had[s.Group] = s
	}
	var out []StatusChange
	for _, s := range after {
		c := comparer{was: had[s.Group], is: s, at: at}
		c.group()
		out = append(out, c.out...)
		delete(had, s.Group)
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		out = append(out, StatusChange{at, name, "the group is gone", true})
	}
	return out
}

// comparer gathers what is new in one group.
type comparer struct {
	was, is GroupStatus
	at      time.Time
	out     []StatusChange
}

func (c *comparer) say(bad bool, format string, args ...any) {
	c.out = append(c.out, StatusChange{c.at, c.is.Group, fmt.Sprintf(format, args...), bad})
}

func (c *comparer) group() {
	was, is := c.was, c.is
	switch {
	case !is.Exists:
		if was.Exists || was.Group == "" {
			c.say(true, "the group does not exist")
		}
		return
	case !was.Exists:
		c.say(false, "%d of %d in service, min %d, max %d, version %s", is.InService, is.Desired, is.Min, is.Max, is.Version)
	default:
		c.numbers()
		c.instances()
	}
	c.activities()
	c.refresh()
	c.troubles()
}

func (c *comparer) numbers() {
	was, is := c.was, c.is
	for _, n := range []struct {
		what     string
		was, now int
	}{{"desired", was.Desired, is.Desired}, {"min", was.Min, is.Min}, {"max", was.Max, is.Max}} {
		if n.was != n.now {
			c.say(false, "%s %d -> %d", n.what, n.was, n.now)
		}
	}
	if was.Version != is.Version {
		c.say(false, "version %s -> %s", was.Version, is.Version)
	}
	if !slices.Equal(was.Suspended, is.Suspended) {
		c.say(false, "suspended: %s", strings.Join(append([]string{}, orNobody(is.Suspended)...), ", "))
	}
	if was.Deleting != is.Deleting {
		c.say(true, "AWS is deleting it: %s", is.Deleting)
	}
}

func orNobody(names []string) []string {
	if len(names) == 0 {
		return []string{"nothing"}
	}
	return names
}

func (c *comparer) instances() {
	had := map[string]Instance{}
	for _, i := range c.was.Instances {
		had[i.ID] = i
	}
	for _, i := range c.is.Instances {
		was, known := had[i.ID]
		delete(had, i.ID)
		switch {
		case !known:
			c.say(false, "%s is %s %s, version %s, in %s", i.ID, i.State, i.Health, i.Version, i.Zone)
		case was.State != i.State || was.Health != i.Health:
			c.say(i.Health != "Healthy" && !strings.HasPrefix(i.State, "Terminat"), "%s is %s %s", i.ID, i.State, i.Health)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(had)) {
		c.say(false, "%s is gone", id)
	}
}

// activities tells failures alone: what succeeds shows in the instances.
func (c *comparer) activities() {
	had := map[string]string{}
	for _, a := range c.was.Activities {
		had[a.ID] = a.Status
	}
	for _, a := range slices.Backward(c.is.Activities) {
		if a.Status == "Failed" && had[a.ID] != a.Status && c.was.Exists {
			c.say(true, "%s: %s", a.Trouble, firstOf(a.Message, a.Description))
		}
	}
}

func (c *comparer) refresh() {
	was, is := val(c.was.Refresh), val(c.is.Refresh)
	if is.ID != "" && (was.ID != is.ID || was.Status != is.Status || was.Percent != is.Percent) {
		c.say(slices.Contains([]string{"Failed", "Cancelled", "RollbackFailed"}, is.Status), "refresh %s %d %%, %d to go%s", is.Status, is.Percent, is.ToGo, colon(is.Reason))
	}
}

func (c *comparer) troubles() {
	if c.was.Well() != c.is.Well() || !c.was.Exists && !c.is.Well() {
		if c.is.Well() {
			c.say(false, "all is well")
		} else {
			c.say(true, "%s", c.is.Trouble[0].What)
		}
	}
}
