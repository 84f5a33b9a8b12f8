package bake

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// chefGrace is how old a bake's Chef client must be to count as lost when
// nothing else tells: a client carries no expiry, and a bake that died between
// making client and node leaves it alone.
const chefGrace = 48 * time.Hour

// Found is a resource that a sweep came upon.
type Found struct {
	Resource
	Region  string `json:"region,omitempty"` // empty: on the Chef server
	BakeID  string `json:"bake_id"`
	Expires string `json:"expires_at,omitempty"` // as tagged; empty: it has no expiry

	protected bool // an image that EC2 will not deregister as it is
}

// Verdict says what becomes of a resource that was found, and why.
type Verdict struct {
	Found
	Remove bool   `json:"remove"`
	Reason string `json:"reason"`
}

// SweepPlan is what a sweep or an abort will remove, and what it leaves alone.
type SweepPlan struct {
	Verdicts []Verdict `json:"resources"`
	// Journals are those of dead bakes; they go with the last of their resources.
	Journals []string `json:"journals"`

	dead map[string]oldBake
}

// Empty says whether there is nothing to remove.
func (p SweepPlan) Empty() bool { return len(p.doomed()) == 0 && len(p.Journals) == 0 }

// doomed lists what is to be removed, in the order of removal: what uses
// something goes before what it uses.
func (p SweepPlan) doomed() []Found {
	order := []Kind{KindInstance, KindImage, KindSnapshot, KindVolume, KindSecurityGroup, KindChefClient, KindChefNode}
	var out []Found
	for _, v := range p.Verdicts {
		if v.Remove {
			out = append(out, v.Found)
		}
	}
	slices.SortStableFunc(out, func(a, b Found) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	return out
}

// Text renders the plan for people.
func (p SweepPlan) Text() string {
	if len(p.Verdicts) == 0 && len(p.Journals) == 0 {
		return "nothing of any bake is left, but for finished images\n"
	}
	var b strings.Builder
	for _, v := range p.Verdicts {
		verb := "keep"
		if v.Remove {
			verb = "remove"
		}
		fmt.Fprintf(&b, "%-7s %-14s %-22s %s: %s\n", verb, v.Kind, orName(v.Resource), cmp.Or(v.Region, "chef"), v.Reason)
	}
	for _, j := range p.Journals {
		fmt.Fprintf(&b, "%-7s %-14s %s\n", "remove", "journal", j)
	}
	return b.String()
}

// decideSweep says what of the found resources was lost by a bake that is
// dead: what is past its expiry, and what a journal on this machine calls a
// bake's that no longer runs and was not kept on purpose. Nothing goes that does not carry a bake's tags;
// finished images carry no expiry, and so are never touched.
func decideSweep(found []Found, bakes map[string]oldBake, now time.Time) []Verdict {
	return decideEach(found, func(f Found) (bool, string) {
		bake, here := bakes[f.BakeID]
		if here && bake.alive {
			return false, fmt.Sprintf("its bake runs on this machine (process %d)", bake.PID)
		}
		if here && !bake.Kept {
			return true, "its bake died; the journal is on this machine"
		}
		at, err := f.expiry()
		switch {
		case err != nil:
			return false, "its expiry cannot be read: " + f.Expires
		case now.Before(at):
			return false, "it expires in " + at.Sub(now).Round(time.Second).String()
		}
		return true, "it expired " + now.Sub(at).Round(time.Second).String() + " ago"
	})
}

// decideAbort says what of the found resources is the unfinished work of one
// bake.
func decideAbort(found []Found, id string) []Verdict {
	found = slices.DeleteFunc(slices.Clone(found), func(f Found) bool { return f.BakeID != id })
	return decideEach(found, func(Found) (bool, string) { return true, "its bake is aborted" })
}

// decideEach asks more only about what a bake tagged and has not finished.
func decideEach(found []Found, more func(Found) (bool, string)) []Verdict {
	var out []Verdict
	for _, f := range found {
		v := Verdict{Found: f}
		switch _, err := ulid.ParseStrict(f.BakeID); {
		case err != nil:
			v.Reason = "its bake id is none of ours"
		case f.Region != "" && f.Expires == "":
			v.Reason = "it is finished: it has no expiry"
		default:
			v.Remove, v.Reason = more(f)
		}
		out = append(out, v)
	}
	return out
}

// expiry is when the resource counts as lost.
func (f Found) expiry() (time.Time, error) {
	if f.Region != "" || f.Expires != "" {
		return time.Parse(time.RFC3339, f.Expires)
	}
	id, err := ulid.ParseStrict(f.BakeID)
	return ulid.Time(id.Time()).Add(chefGrace), err
}

// bakeOfNode returns the bake id in a Chef name that a bake gave, or "".
func bakeOfNode(name string) string {
	id, ours := strings.CutPrefix(name, "bake-")
	id = strings.ToUpper(id)
	if _, err := ulid.ParseStrict(id); !ours || err != nil || name != strings.ToLower(name) {
		return ""
	}
	return id
}
