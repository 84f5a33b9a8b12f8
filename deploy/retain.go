package deploy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"bakehouse/release"
)

// Stored is a build in the bucket.
type Stored struct {
	Build    release.ID `json:"build"`
	Pushed   time.Time  `json:"pushed"` // when the last of its objects was written
	Size     int64      `json:"size"`   // bytes in the bucket
	Artifact bool       `json:"artifact"`
	Manifest bool       `json:"manifest"`
}

// Reference is somebody who needs a build.
type Reference struct {
	Build release.ID
	By    string // for people: live on production
}

// Verdict is what becomes of one build, and why.
type Verdict struct {
	Stored
	Reasons []string `json:"reasons"`
}

// GarbagePlan says which builds go and which stay, each list the oldest first.
type GarbagePlan struct {
	App    string        `json:"app"`
	Within time.Duration `json:"-"` // what was needed, or pushed, within it stays
	Remove []Verdict     `json:"remove"`
	Keep   []Verdict     `json:"keep"`
}

// Empty says whether nothing is to be removed.
func (g GarbagePlan) Empty() bool { return len(g.Remove) == 0 }

// Bytes is how much the removal frees.
func (g GarbagePlan) Bytes() (n int64) {
	for _, v := range g.Remove {
		n += v.Size
	}
	return n
}

// Retain decides which builds stay: those that somebody refers to, and those
// that were pushed within the given time. It looks at nothing but its arguments.
func Retain(builds []Stored, refs []Reference, within time.Duration, now time.Time) GarbagePlan {
	by := map[release.ID][]string{}
	for _, r := range refs {
		if !slices.Contains(by[r.Build], r.By) {
			by[r.Build] = append(by[r.Build], r.By)
		}
	}
	plan := GarbagePlan{Within: within, Remove: []Verdict{}, Keep: []Verdict{}}
	for _, b := range slices.SortedFunc(slices.Values(builds), func(a, b Stored) int {
		return cmp.Or(a.Pushed.Compare(b.Pushed), strings.Compare(string(a.Build), string(b.Build)))
	}) {
		reasons, age := by[b.Build], now.Sub(b.Pushed)
		if age < within {
			reasons = append(reasons, fmt.Sprintf("pushed %s, less than %s ago", b.Pushed.UTC().Format(time.DateOnly), days(within)))
		}
		if len(reasons) > 0 {
			plan.Keep = append(plan.Keep, Verdict{b, reasons})
			continue
		}
		plan.Remove = append(plan.Remove, Verdict{b, []string{unneeded(b, within)}})
	}
	return plan
}

func unneeded(b Stored, within time.Duration) string {
	pushed := b.Pushed.UTC().Format(time.DateOnly)
	switch {
	case !b.Manifest:
		return "pushed " + pushed + " without its manifest: the push never ended, or its removal did not"
	case !b.Artifact:
		return "pushed " + pushed + " and without its artefact: nobody can pull it"
	}
	return "pushed " + pushed + ", on no channel within " + days(within) + ", on no host and in no rollout"
}

// days prints a duration in days where it is whole days.
func days(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// channelReferences are the builds that a channel's states since the given time
// name: states is newest first, as History returns them. The last state before
// that time counts, because it was live then.
func channelReferences(states []release.Channel, since time.Time) (refs []Reference) {
	until := time.Time{} // when the state under the loop was replaced; zero: it is live
	for i, c := range states {
		switch {
		case i == 0:
			refs = append(refs, Reference{c.Build, "live on " + c.Name})
			if c.Previous != "" {
				refs = append(refs, Reference{c.Previous, "what a rollback of " + c.Name + " goes back to"})
			}
		case until.Before(since):
			return refs
		default:
			refs = append(refs, Reference{c.Build, "live on " + c.Name + " until " + until.UTC().Format(time.DateOnly)})
		}
		until = c.PromotedAt
	}
	return refs
}

// references are the builds that an unfinished rollout may still need.
func (r *Rollout) references() (refs []Reference) {
	if r.Phase != Rolling && r.Phase != RollingBack {
		return nil
	}
	for _, id := range []release.ID{r.Build, r.Previous} {
		if id != "" {
			refs = append(refs, Reference{id, "rollout " + r.ID + " is not finished"})
		}
	}
	return refs
}
