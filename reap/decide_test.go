package reap

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

const (
	account = "111111111111"
	region  = "eu-west-1"
	idA     = "i-0aaaaaaaaaaaaaaaa"
	idB     = "i-0bbbbbbbbbbbbbbbb"
	ulid    = "01JDC2Y0000000000000000000" // November 2024
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func policy() Policy {
	return Policy{MinAge: DefaultMinAge, Grace: DefaultGrace, MaxDeletions: DefaultMaxDeletions, MaxPercent: DefaultMaxPercent, MinLive: 0, Self: "reaper"}
}

// marked is a node with our marker.
func marked(name, id string) Node {
	return Node{Name: name, Marker: Claim{InstanceID: id, Account: account, Region: region, BakeID: ulid}}
}

// fleetOf is a fleet of one place, read in whole.
func fleetOf(t *testing.T, instances ...Instance) *Fleet {
	t.Helper()
	f := newFleet()
	f.Places[Place{account, region}] = true
	for _, i := range instances {
		if i.Place == (Place{}) {
			i.Place = Place{account, region}
		}
		if i.Launched.IsZero() {
			i.Launched = noon().Add(-24 * time.Hour)
		}
		if err := f.add(i); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// judged is one row of the decision table: one node or client, and its world.
type judged struct {
	name    string
	node    Node
	client  string // instead of a node
	fleet   []Instance
	ledger  Ledger
	policy  func(*Policy)
	verdict Verdict
	reason  Reason
}

func since(age time.Duration, instance string) map[string]Tombstone {
	return map[string]Tombstone{idA: {Instance: instance, Since: noon().Add(-age)}}
}

func nodeRows() []judged {
	stated := func(s string) []Instance { return []Instance{{ID: idA, State: s}} }
	n := marked(idA, idA)
	fresh := n
	fresh.CheckIn = noon().Add(-time.Minute)
	ahead := n
	ahead.CheckIn = noon().Add(24 * time.Hour)
	elsewhere := n
	elsewhere.Marker.Region = "us-east-1"
	foreign := n
	foreign.Marker.Account = "222222222222"
	return []judged{
		{name: "running", node: n, fleet: stated("running"), verdict: Keep, reason: Alive},
		{name: "pending", node: n, fleet: stated("pending"), verdict: Keep, reason: Alive},
		{name: "stopped", node: n, fleet: stated("stopped"), verdict: Keep, reason: Alive},
		{name: "stopping", node: n, fleet: stated("stopping"), verdict: Keep, reason: Alive},
		{name: "shutting down", node: n, fleet: stated("shutting-down"), verdict: Keep, reason: Alive},
		{name: "terminated", node: n, fleet: stated("terminated"), verdict: Reap, reason: Terminated},
		{name: "terminated, launched just now", node: n, fleet: []Instance{{ID: idA, State: "terminated", Launched: noon().Add(-time.Minute)}}, verdict: Keep, reason: Young},
		{name: "terminated, converged just now", node: fresh, fleet: stated("terminated"), verdict: Keep, reason: Young},
		{name: "terminated, a clock in the future", node: ahead, fleet: stated("terminated"), verdict: Reap, reason: Terminated},
		{name: "a state nobody knows", node: n, fleet: stated("melting"), verdict: Unknown, reason: StrangeState},
		{name: "no state", node: n, fleet: stated(""), verdict: Unknown, reason: StrangeState},
		{name: "absent for the first time", node: n, verdict: Wait, reason: Absent},
		{name: "absent within the grace", node: n, ledger: Ledger{Tombstones: since(59*time.Minute, idA)}, verdict: Wait, reason: Absent},
		{name: "absent for a grace", node: n, ledger: Ledger{Tombstones: since(time.Hour, idA)}, verdict: Reap, reason: AbsentConfirmed},
		{name: "another instance's tombstone", node: n, ledger: Ledger{Tombstones: since(time.Hour, idB)}, verdict: Wait, reason: Absent},
		{name: "a tombstone from the future", node: n, ledger: Ledger{Tombstones: since(-time.Hour, idA)}, verdict: Wait, reason: Absent},
		{name: "there again", node: n, fleet: stated("running"), ledger: Ledger{Tombstones: since(time.Hour, idA)}, verdict: Keep, reason: Alive},
		{name: "absent, another region", node: elsewhere, ledger: Ledger{Tombstones: since(time.Hour, idA)}, verdict: Unknown, reason: OtherPlace},
		{name: "absent, another account", node: foreign, ledger: Ledger{Tombstones: since(time.Hour, idA)}, verdict: Unknown, reason: OtherPlace},
		{name: "terminated, but not where it says", node: elsewhere, fleet: stated("terminated"), verdict: Unknown, reason: Contradiction},
		{name: "restored by undo", node: n, fleet: stated("terminated"), ledger: Ledger{Held: map[string]time.Time{idA: noon().Add(time.Hour)}}, verdict: Keep, reason: Restored},
		{name: "restored by undo, long ago", node: n, fleet: stated("terminated"), ledger: Ledger{Held: map[string]time.Time{idA: noon().Add(-time.Hour)}}, verdict: Reap, reason: Terminated},
		{name: "the reaper itself", node: marked("reaper", idA), fleet: stated("terminated"), verdict: Keep, reason: Protected},
		{name: "no instance id", node: marked("web", "i-zzz"), verdict: Unknown, reason: BadID},
		{name: "the name says otherwise", node: marked("web-"+idB, idA), fleet: stated("terminated"), verdict: Unknown, reason: Contradiction},
		{name: "no marker", node: Node{Name: "db1"}, verdict: Ignore, reason: NotOurs},
	}
}

func ruleRows() []judged {
	gone := []Instance{{ID: idA, State: "terminated"}}
	ohai := Node{Name: "db1", Ohai: Claim{InstanceID: idA, Account: account, Region: region}}
	old := Node{Name: "db1", Ohai: Claim{InstanceID: idA}}
	both := marked("db1", idA)
	both.Ohai = Claim{InstanceID: idB, Account: account, Region: region}
	believe := func(p *Policy) { p.Ohai = true }
	named := func(p *Policy) { p.NamePattern = regexp.MustCompile(`^web-(i-[0-9a-f]+)$`) }
	seen := Ledger{Instances: map[string]Seen{idA: {Account: account, Region: region}}}
	return []judged{
		{name: "ohai, not believed", node: ohai, fleet: gone, verdict: Ignore, reason: NotOurs},
		{name: "ohai, believed", node: ohai, fleet: gone, policy: believe, verdict: Reap, reason: Terminated},
		{name: "ohai without a place, absent", node: old, policy: believe, verdict: Unknown, reason: NoPlace},
		{name: "ohai without a place, in the ledger", node: old, policy: believe, ledger: seen, verdict: Wait, reason: Absent},
		{name: "marker and ohai disagree", node: both, fleet: gone, verdict: Unknown, reason: Contradiction},
		{name: "named, terminated", node: Node{Name: "web-" + idA}, fleet: gone, policy: named, verdict: Reap, reason: Terminated},
		{name: "named, absent and never seen", node: Node{Name: "web-" + idA}, policy: named, verdict: Unknown, reason: NoPlace},
		{name: "named, with a short id", node: Node{Name: "web-i-0a"}, policy: named, verdict: Unknown, reason: BadID},
		{name: "client, terminated", client: idA, fleet: gone, verdict: Reap, reason: Terminated},
		{name: "client, alive", client: idA, fleet: []Instance{{ID: idA, State: "running"}}, verdict: Keep, reason: Alive},
		{name: "client, absent but seen", client: idA, ledger: seen, verdict: Wait, reason: Absent},
		{name: "client with the prefix", client: "web-" + idA, fleet: gone, policy: func(p *Policy) { p.NodePrefix = "web-" }, verdict: Reap, reason: Terminated},
		{name: "client of an instance nobody saw", client: idA},
		{name: "client of a person", client: "alice"},
	}
}

func bakeRows() []judged {
	name := "bake-" + strings.ToLower(ulid)
	bare := Node{Name: name, Marker: Claim{BakeID: ulid}}
	placed := Node{Name: name, Marker: Claim{BakeID: ulid, Account: account, Region: region}}
	builder := func(states ...string) (all []Instance) {
		for n, s := range states {
			all = append(all, Instance{ID: []string{idA, idB}[n], State: s, BakeID: ulid})
		}
		return all
	}
	tomb := Ledger{Tombstones: map[string]Tombstone{name: {Instance: ulid, Since: noon().Add(-time.Hour)}}}
	liar := bare
	liar.Name = "db1"
	return []judged{
		{name: "bake, builder runs", node: bare, fleet: builder("running"), verdict: Keep, reason: Alive},
		{name: "bake, one of two runs", node: bare, fleet: builder("terminated", "running"), verdict: Keep, reason: Alive},
		{name: "bake, builder terminated", node: bare, fleet: builder("terminated"), verdict: Reap, reason: Terminated},
		{name: "bake, absent, place unknown", node: bare, verdict: Unknown, reason: NoPlace},
		{name: "bake, absent", node: placed, verdict: Wait, reason: Absent},
		{name: "bake, absent for a grace", node: placed, ledger: tomb, verdict: Reap, reason: AbsentConfirmed},
		{name: "bake's marker on another node", node: liar, fleet: builder("terminated"), verdict: Unknown, reason: Contradiction},
		{name: "bake's client, builder terminated", client: name, fleet: builder("terminated"), verdict: Reap, reason: Terminated},
		{name: "bake's client, unknown bake", client: name},
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, row := range append(append(nodeRows(), ruleRows()...), bakeRows()...) {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := policy()
			if row.policy != nil {
				row.policy(&p)
			}
			w := World{Now: noon(), Fleet: fleetOf(t, row.fleet...), Ledger: row.ledger}
			name := row.client
			if name == "" {
				w.Nodes, name = []Node{row.node}, row.node.Name
			} else {
				w.Clients = []string{name}
			}
			d, found := Decide(p, w).Find(name)
			if !found && row.verdict != "" || d.Verdict != row.verdict || d.Reason != row.reason {
				t.Errorf("decided %q for %q (%s), want %q for %q", d.Verdict, d.Reason, d.Detail, row.verdict, row.reason)
			}
		})
	}
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	many := func(live, dead int) (w World) {
		w = World{Now: noon(), Fleet: fleetOf(t)}
		for n := range live + dead {
			id := fmt.Sprintf("i-%08x", n)
			state := "running"
			if n >= live {
				state = "terminated"
			}
			w.Nodes = append(w.Nodes, marked(id, id))
			if err := w.Fleet.add(Instance{ID: id, State: state, Place: Place{account, region}}); err != nil {
				t.Fatal(err)
			}
		}
		return w
	}
	for name, row := range map[string]struct {
		live, dead int
		set        func(*Policy)
		trips      string
	}{
		"within all limits":   {live: 8, dead: 2},
		"a small plan":        {live: 1, dead: SmallPlan},
		"too many percent":    {live: 4, dead: 4, trips: "max_percent"},
		"too many":            {live: 8, dead: 2, set: func(p *Policy) { p.MaxDeletions = 1 }, trips: "max_deletions"},
		"too few live":        {live: 2, dead: 1, set: func(p *Policy) { p.MinLive = 3 }, trips: "min_live"},
		"too few, no orphans": {live: 2, set: func(p *Policy) { p.MinLive = 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := policy()
			if row.set != nil {
				row.set(&p)
			}
			got := strings.Join(Decide(p, many(row.live, row.dead)).Tripped, "; ")
			if row.trips == "" && got != "" || !strings.Contains(got, row.trips) {
				t.Errorf("tripped by %q, want %q", got, row.trips)
			}
		})
	}
}

func TestBreakerSeesInstancesVanish(t *testing.T) {
	t.Parallel()
	w := World{Now: noon(), Fleet: fleetOf(t, Instance{ID: idA, State: "running"}), Ledger: Ledger{SavedAt: noon().Add(-5 * time.Minute), Instances: map[string]Seen{}}}
	w.Nodes = []Node{marked(idA, idA)}
	for _, c := range "123456" {
		id := "i-0000000" + string(c)
		w.Nodes = append(w.Nodes, marked(id, id))
		w.Ledger.Instances[id] = Seen{Account: account, Region: region, Alive: true, At: w.Ledger.SavedAt}
	}
	if p := Decide(policy(), w); len(p.Tripped) == 0 {
		t.Error("six of six instances vanished at once, and the breaker says nothing")
	}
	wide := policy()
	wide.MaxPercent, wide.MinLive = 100, 0
	if p := Decide(wide, w); len(p.Tripped) == 0 {
		t.Error("with the limits raised for a run, nothing is said of six of six that vanished")
	}
	w.Ledger.SavedAt = noon().Add(-2 * time.Hour) // the reaper was off: they ended properly meanwhile
	if p := Decide(policy(), w); len(p.Tripped) > 0 || p.Counts.Orphaned != 6 {
		t.Errorf("tripped by %v with %d orphans, want none with 6", p.Tripped, p.Counts.Orphaned)
	}
}

func TestFleetRefusesContradictions(t *testing.T) {
	t.Parallel()
	f := fleetOf(t, Instance{ID: idA, State: "running"})
	err := f.add(Instance{ID: idA, State: "terminated", Place: Place{account, region}})
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), idA) {
		t.Errorf("an instance that is running and terminated gives %v", err)
	}
}

func TestPolicyCheck(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Policy){
		"min_age":       func(p *Policy) { p.MinAge = 0 },
		"grace":         func(p *Policy) { p.Grace = time.Minute },
		"max_deletions": func(p *Policy) { p.MaxDeletions = 0 },
		"max_percent":   func(p *Policy) { p.MaxPercent = 101 },
		"min_live":      func(p *Policy) { p.MinLive = -1 },
		"name_pattern":  func(p *Policy) { p.NamePattern = regexp.MustCompile("web") },
	} {
		p := policy()
		if spoil(&p); fault.KindOf(p.Check()) != fault.Usage || !strings.Contains(p.Check().Error(), name) {
			t.Errorf("a wrong %s gives %v", name, p.Check())
		}
	}
	if err := policy().Check(); err != nil {
		t.Error(err)
	}
}
