package reap

import (
	"fmt"
	"strings"
	"time"
)

// World is what one run read: Chef first, EC2 last.
type World struct {
	Now     time.Time // when the reading of EC2 began
	Nodes   []Node
	Clients []string
	Fleet   *Fleet
	Ledger  Ledger
	First   bool // there was no ledger
}

// Decide judges every node, and every client without a node whose name is an
// instance id or a bake's. It is pure: the same world, the same plan.
func Decide(policy Policy, w World) Plan {
	j := judge{policy, w, w.Ledger.bakes()}
	p := Plan{At: w.Now, LookOnly: w.First, Decisions: make([]Decision, 0, len(w.Nodes))}
	nodes := make(map[string]bool, len(w.Nodes))
	for _, n := range w.Nodes {
		nodes[n.Name] = true
		p.Decisions = append(p.Decisions, j.node(n))
	}
	for _, name := range w.Clients {
		if nodes[name] {
			continue
		}
		if d, ours := j.client(name); ours {
			p.Decisions = append(p.Decisions, d)
		}
	}
	p.count(len(w.Nodes))
	p.Tripped = trips(policy, w, p)
	return p
}

// judge decides about one world.
type judge struct {
	policy Policy
	w      World
	bakes  map[string]Seen
}

// node judges a node by what it claims to be.
func (j judge) node(n Node) Decision {
	d := Decision{Kind: KindNode, Name: n.Name, node: n}
	claim, why := j.claim(n)
	d.InstanceID, d.BakeID, d.Account, d.Region = claim.InstanceID, claim.BakeID, claim.Account, claim.Region
	switch {
	case why != "":
		return d.as(Unknown, Contradiction, why)
	case claim == Claim{}:
		return d.as(Ignore, NotOurs, "")
	}
	return j.subject(d)
}

// claim says which instance or bake a node is, or why its sources contradict
// each other. A node that claims nothing gives the zero Claim.
func (j judge) claim(n Node) (Claim, string) {
	named := ""
	if j.policy.NamePattern != nil {
		if m := j.policy.NamePattern.FindStringSubmatch(n.Name); m != nil {
			named = m[1]
		}
	}
	c := n.Marker
	switch {
	case c.InstanceID != "":
		c.BakeID = "" // that of the image it booted from
	case c.BakeID != "":
		if bakeOf(n.Name) != strings.ToUpper(c.BakeID) {
			return c, "the marker names bake " + c.BakeID + ", which is not in the node's name"
		}
		c.BakeID = strings.ToUpper(c.BakeID)
		if c.Account == "" && c.Region == "" {
			c.Account, c.Region = n.Ohai.Account, n.Ohai.Region
		}
		c.InstanceID = n.Ohai.InstanceID
	case j.policy.Ohai && n.Ohai.InstanceID != "":
		c = n.Ohai
	case named != "":
		c = Claim{InstanceID: named}
	default:
		return Claim{}, ""
	}
	return c, disagreement(c, n, named)
}

// disagreement compares all that a node says of its instance.
func disagreement(c Claim, n Node, named string) string {
	inName := ""
	if m := idInName.FindStringSubmatch(n.Name); m != nil {
		inName = m[1]
	}
	for _, o := range []struct{ source, id string }{{"ohai", n.Ohai.InstanceID}, {"the name pattern", named}, {"the name", inName}} {
		if o.id != "" && c.InstanceID != "" && o.id != c.InstanceID {
			return fmt.Sprintf("it claims to be %s, but %s says %s", c.InstanceID, o.source, o.id)
		}
	}
	if differ(c.Account, n.Ohai.Account) || differ(c.Region, n.Ohai.Region) {
		return fmt.Sprintf("it claims to be in %s/%s, but ohai says %s/%s", c.Account, c.Region, n.Ohai.Account, n.Ohai.Region)
	}
	return ""
}

func differ(a, b string) bool { return a != "" && b != "" && a != b }

// client judges a client that has no node. ours is false when nothing says
// that its name is one of our instances' or bakes'.
func (j judge) client(name string) (d Decision, ours bool) {
	d = Decision{Kind: KindClient, Name: name}
	if bake := bakeOf(name); bake != "" {
		_, seen := j.bakes[bake]
		d.BakeID = bake
		return j.subjectOr(d, seen || len(j.w.Fleet.byBake[bake]) > 0)
	}
	id, prefixed := strings.CutPrefix(name, j.policy.NodePrefix)
	if !prefixed || !instanceID.MatchString(id) {
		return d, false
	}
	_, shown := j.w.Fleet.ByID[id]
	_, seen := j.w.Ledger.Instances[id]
	d.InstanceID = id
	return j.subjectOr(d, shown || seen)
}

func (j judge) subjectOr(d Decision, ours bool) (Decision, bool) {
	if !ours {
		return d, false
	}
	return j.subject(d), true
}

// subject judges what claims to be an instance or a bake.
func (j judge) subject(d Decision) Decision {
	until, held := j.w.Ledger.Held[d.Name]
	switch {
	case d.Name == j.policy.Self:
		return d.as(Keep, Protected, "the reaper signs as it")
	case held && until.After(j.w.Now):
		return d.as(Keep, Restored, "by undo, until "+until.Format(time.RFC3339))
	case d.InstanceID != "" && !instanceID.MatchString(d.InstanceID):
		return d.as(Unknown, BadID, fmt.Sprintf("%.40q is no instance id", d.InstanceID))
	case j.young(d.node.CheckIn):
		return d.as(Keep, Young, "it converged "+j.ago(d.node.CheckIn))
	case d.BakeID != "":
		return j.bake(d)
	}
	if i, found := j.w.Fleet.ByID[d.InstanceID]; found {
		return j.shown(d, i)
	}
	seen := j.w.Ledger.Instances[d.InstanceID]
	return j.absent(d, Place{seen.Account, seen.Region})
}

// shown judges by an instance that EC2 shows.
func (j judge) shown(d Decision, i Instance) Decision {
	d.State = i.State
	if differ(d.Account, i.Place.Account) || differ(d.Region, i.Place.Region) {
		return d.as(Unknown, Contradiction, fmt.Sprintf("it claims to be in %s/%s, but EC2 shows it in %s", d.Account, d.Region, i.Place))
	}
	d.InstanceID, d.Account, d.Region = i.ID, i.Place.Account, i.Place.Region
	switch {
	case i.alive():
		return d.as(Keep, Alive, "")
	case i.State != terminated:
		return d.as(Unknown, StrangeState, fmt.Sprintf("EC2 calls it %q", i.State))
	case j.young(i.Launched):
		return d.as(Keep, Young, "launched "+j.ago(i.Launched))
	}
	return d.as(Reap, Terminated, "")
}

// bake judges what a bake left: it lives as long as one of its instances does.
func (j judge) bake(d Decision) Decision {
	ids := j.w.Fleet.byBake[d.BakeID]
	if _, shown := j.w.Fleet.ByID[d.InstanceID]; shown {
		ids = append(ids[:len(ids):len(ids)], d.InstanceID)
	}
	if made := bakeTime(d.BakeID); j.young(made) {
		return d.as(Keep, Young, "the bake began "+j.ago(made))
	}
	if len(ids) == 0 {
		seen := j.bakes[d.BakeID]
		return j.absent(d, Place{seen.Account, seen.Region})
	}
	var last Decision
	for _, id := range ids {
		if last = j.shown(d, j.w.Fleet.ByID[id]); last.Verdict != Reap {
			return last
		}
	}
	return last
}

// absent judges by an instance that EC2 does not show. Where it would be must
// be known and read in whole, else its absence says nothing.
func (j judge) absent(d Decision, seen Place) Decision {
	if differ(d.Account, seen.Account) || differ(d.Region, seen.Region) {
		return d.as(Unknown, Contradiction, fmt.Sprintf("it claims to be in %s/%s, but was seen in %s", d.Account, d.Region, seen))
	}
	if d.Account == "" {
		d.Account = seen.Account
	}
	if d.Region == "" {
		d.Region = seen.Region
	}
	place := Place{d.Account, d.Region}
	switch {
	case d.Account == "" || d.Region == "":
		return d.as(Unknown, NoPlace, "nothing says in which account and region it is")
	case !j.w.Fleet.Places[place]:
		return d.as(Unknown, OtherPlace, "this run does not read "+place.String())
	}
	since := j.w.Now
	if t, ok := j.w.Ledger.Tombstones[d.Name]; ok && t.Instance == d.subject() && t.Since.Before(since) {
		since = t.Since
	}
	d.AbsentSince = &since
	if since.Before(j.w.Now) && j.w.Now.Sub(since) >= j.policy.Grace {
		return d.as(Reap, AbsentConfirmed, "absent since "+j.ago(since))
	}
	return d.as(Wait, Absent, "absent; the grace ends "+since.Add(j.policy.Grace).Format(time.RFC3339))
}

// young says that t is within the guard. A time in the future is a wrong
// clock and protects nothing: EC2's word does.
func (j judge) young(t time.Time) bool {
	age := j.w.Now.Sub(t)
	return !t.IsZero() && age < j.policy.MinAge && age > -j.policy.MinAge
}

func (j judge) ago(t time.Time) string {
	return j.w.Now.Sub(t).Round(time.Second).String() + " ago"
}

// as completes a decision.
func (d Decision) as(v Verdict, r Reason, detail string) Decision {
	d.Verdict, d.Reason, d.Detail = v, r, detail
	return d
}
