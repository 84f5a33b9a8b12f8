package reap

import (
	"fmt"
	"time"
)

// recently is how old the last sight of a live instance may be for its sudden
// absence to be suspicious: EC2 shows a terminated instance for about an hour.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html
const recently = 30 * time.Minute

// trips is the circuit breaker: it returns why nothing may be deleted. A plan
// without orphans never trips it.
func trips(policy Policy, w World, p Plan) []string {
	var out []string
	c := p.Counts
	if c.Orphaned == 0 {
		return nil
	}
	if c.Live < policy.MinLive {
		out = append(out, fmt.Sprintf("%d of our nodes live, and the floor is %d (min_live): EC2's answer may not be the whole truth", c.Live, policy.MinLive))
	}
	if c.Reap > policy.MaxDeletions {
		out = append(out, fmt.Sprintf("%d deletions, and the limit is %d (max_deletions)", c.Reap, policy.MaxDeletions))
	}
	if c.Reap > SmallPlan && c.Reap*100 > c.Ours*policy.MaxPercent {
		out = append(out, fmt.Sprintf("%d deletions are %d%% of our %d nodes, and the limit is %d%% (max_percent)", c.Reap, c.Reap*100/c.Ours, c.Ours, policy.MaxPercent))
	}
	// Whoever lets a run delete more has looked at what ended, not at what EC2
	// forgot: MaxPercent can make this narrower, not wider.
	if gone, before := vanished(w); gone > SmallPlan && gone*100 > before*min(policy.MaxPercent, DefaultMaxPercent) {
		out = append(out, fmt.Sprintf("%d of %d instances that lived %s ago are missing from EC2's answer, and not one word of their end", gone, before, w.Now.Sub(w.Ledger.SavedAt).Round(time.Second)))
	}
	return out
}

// vanished counts instances that lived at the last run, not long ago, and are
// neither alive nor terminated now: an instance does not end that way.
func vanished(w World) (gone, before int) {
	if w.Now.Sub(w.Ledger.SavedAt) > recently {
		return 0, 0
	}
	for id, s := range w.Ledger.Instances {
		if !s.Alive || !s.At.Equal(w.Ledger.SavedAt) || !w.Fleet.Places[Place{s.Account, s.Region}] {
			continue
		}
		before++
		if _, shown := w.Fleet.ByID[id]; !shown {
			gone++
		}
	}
	return gone, before
}
