package autoscale

import (
	"slices"
	"time"
)

// GroupStatus is how one group stands. A group that does not exist has a name
// and trouble alone.
type GroupStatus struct {
	Group      string         `json:"group"`
	PartOf     string         `json:"part_of,omitempty"` // the written group, where AWS has several groups for it
	Exists     bool           `json:"exists"`
	Deleting   string         `json:"deleting,omitempty"` // AWS's word for it
	Min        int            `json:"min"`
	Max        int            `json:"max"`
	Desired    int            `json:"desired"`
	InService  int            `json:"in_service"` // healthy capacity in service, in the units of Desired
	Template   string         `json:"template"`   // or the launch configuration
	Version    string         `json:"version"`    // that new instances get, as a number
	Counts     []Count        `json:"counts"`
	Instances  []Instance     `json:"instances"`
	Suspended  []string       `json:"suspended,omitempty"`
	Refresh    *RefreshStatus `json:"refresh,omitempty"` // running, or ended within the look-back
	WarmPool   *WarmStatus    `json:"warm_pool,omitempty"`
	Activities []Activity     `json:"activities"` // within the look-back, newest first
	Trouble    []Trouble      `json:"trouble"`
}

// Count is how many instances of a group are alike.
type Count struct {
	State   string `json:"state"`
	Health  string `json:"health"`
	Version string `json:"version"` // in use
	Asked   bool   `json:"asked"`   // it is the version that the group asks for
	N       int    `json:"n"`
}

// RefreshStatus is an instance refresh.
type RefreshStatus struct {
	Group   string    `json:"group"`
	ID      string    `json:"id"`
	Status  string    `json:"status"` // as Auto Scaling names it
	Percent int       `json:"percent"`
	ToGo    int       `json:"to_go"` // instances
	Version string    `json:"version,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end,omitzero"`
}

// WarmStatus is a warm pool.
type WarmStatus struct {
	State  string  `json:"state"` // of its instances, as it is configured
	Min    int     `json:"min"`
	Size   int     `json:"size"` // now
	Counts []Count `json:"counts"`
	Status string  `json:"status,omitempty"` // set while it is deleted
}

// Activity is one scaling activity.
type Activity struct {
	ID          string    `json:"id"`
	Group       string    `json:"group"`
	Description string    `json:"description"`
	Status      string    `json:"status"`
	Message     string    `json:"message,omitempty"`
	Cause       string    `json:"cause"`
	Why         Cause     `json:"why"`               // what set it off
	Trouble     Cause     `json:"trouble,omitempty"` // why it failed
	Progress    int       `json:"progress"`
	Start       time.Time `json:"start"`
	End         time.Time `json:"end,omitzero"`
}

// Trouble is one reason to look at a group.
type Trouble struct {
	Class  Cause  `json:"class,omitempty"` // "" when no activity says why
	What   string `json:"what"`
	Remedy string `json:"remedy,omitempty"`
}

// Well says that nobody need look at the group.
func (s GroupStatus) Well() bool { return len(s.Trouble) == 0 }

// Launch says that a starts an instance rather than ends one.
func (a Activity) Launch() bool { return startsWith(a.Description, "Launching") }

// Over says that the refresh has ended, however.
func (r RefreshStatus) Over() bool {
	return slices.Contains([]string{"Successful", "Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful"}, r.Status)
}

// tally counts instances that are alike, most first.
func tally(all []Instance, asked string) []Count {
	out := []Count{}
	for _, i := range all {
		at := slices.IndexFunc(out, func(c Count) bool { return c.State == i.State && c.Health == i.Health && c.Version == i.Version })
		if at < 0 {
			out = append(out, Count{i.State, i.Health, i.Version, i.Version == asked, 0})
			at = len(out) - 1
		}
		out[at].N++
	}
	slices.SortStableFunc(out, func(a, b Count) int { return b.N - a.N })
	return out
}
