package deploy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"bakehouse/release"
)

// Amount is a number of hosts, or a percentage of them.
type Amount struct {
	N       int
	Percent bool
}

// ParseAmount reads "3" or "10%".
func ParseAmount(s string) (Amount, error) {
	digits, percent := strings.CutSuffix(s, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 || percent && n > 100 {
		return Amount{}, fmt.Errorf("%q is no amount: want a number of hosts such as 3, or a percentage such as 10%%", s)
	}
	return Amount{n, percent}, nil
}

// String is what ParseAmount reads.
func (a Amount) String() string {
	if a.Percent {
		return strconv.Itoa(a.N) + "%"
	}
	return strconv.Itoa(a.N)
}

// MarshalText writes String.
func (a Amount) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads what ParseAmount reads.
func (a *Amount) UnmarshalText(b []byte) (err error) {
	*a, err = ParseAmount(string(b))
	return err
}

// AtMost is the amount of total hosts, fractions cut: a bound that 10% of 5
// hosts must not exceed is 0.
func (a Amount) AtMost(total int) int {
	if a.Percent {
		return total * a.N / 100
	}
	return min(a.N, total)
}

// AtLeast is the amount of total hosts with fractions counted as one host more.
func (a Amount) AtLeast(total int) int {
	if a.Percent {
		return (total*a.N + 99) / 100
	}
	return min(a.N, total)
}

// Strategy says in which order, how many at a time, and when to stop.
type Strategy struct {
	Canary       Amount        `json:"canary"`        // hosts of the first wave, where one failure stops; 0: none
	Wave         Amount        `json:"wave"`          // hosts of each later wave; must be more than 0
	PerZone      bool          `json:"per_zone"`      // no wave spans two zones
	MaxUnhealthy Amount        `json:"max_unhealthy"` // failed hosts of all that are borne with
	Pause        time.Duration `json:"pause"`         // between two waves
	Parallel     int           `json:"parallel"`      // hosts at a time within a wave; must be more than 0
	HostTimeout  time.Duration `json:"host_timeout"`  // for one host, retry included
	NoRollback   bool          `json:"no_rollback"`   // stop, and leave everything as it is

	TargetGroups []string      `json:"target_groups,omitempty"` // that hosts are taken out of meanwhile, by ARN or name
	Drain        time.Duration `json:"drain,omitempty"`         // see Balanced
	Healthy      time.Duration `json:"healthy,omitempty"`

	// TemplateVersion is the launch template's version that groups are refreshed
	// to; empty: the one that they have.
	TemplateVersion string `json:"template_version,omitempty"`

	// Target is the tag, as ParseTag reads it, that the hosts after the canary get
	// one command by; empty: each gets its own.
	Target string `json:"target,omitempty"`

	// Of a rollout by pull: from a host's turn to its claim, and for all of it (0:
	// as long as it may take at worst).
	ClaimWithin time.Duration `json:"claim_within,omitempty"`
	Deadline    time.Duration `json:"deadline,omitempty"`
}

// HostState is where one host stands in a rollout.
type HostState string

// The states of a host. A host that was begun and has not ended is Begun: what
// a killed operator leaves; a resumed rollout does it again.
const (
	Pending  HostState = "pending"  // not touched
	Begun    HostState = "begun"    // told to deploy; the answer is not known
	Deployed HostState = "deployed" // runs the build, healthy
	Failed   HostState = "failed"   // said no, or nothing in time
	Restored HostState = "restored" // told to deploy again after the channel went back, healthy
	Stuck    HostState = "stuck"    // the same, but it failed
	Replaced HostState = "replaced" // its group runs another instance instead, which booted with the build
)

// HostRun is one host in a rollout.
type HostRun struct {
	Host
	State   HostState     `json:"state"`
	Problem string        `json:"problem,omitempty"` // why it is Failed or Stuck
	Took    time.Duration `json:"took,omitempty"`
}

// Wave is a slice of the hosts.
type Wave struct {
	Name  string    `json:"name"`
	Hosts []HostRun `json:"hosts"`
}

// Phase is where a rollout stands.
type Phase string

// The phases of a rollout. The last three are final.
const (
	Rolling     Phase = "rolling"
	RollingBack Phase = "rolling back"
	Done        Phase = "done"
	RolledBack  Phase = "rolled back"
	Stopped     Phase = "stopped"
)

// Rollout is the state of a rollout: its plan before, its report after, and
// what is stored in the bucket in between, so that another process can go on.
type Rollout struct {
	Format   int        `json:"format"` // 1
	ID       string     `json:"id"`
	App      string     `json:"app"`
	Channel  string     `json:"channel"`
	Build    release.ID `json:"build"`
	Previous release.ID `json:"previous,omitempty"` // what a rollback goes back to; empty: nothing
	By       string     `json:"by"`
	Started  time.Time  `json:"started"`
	Ended    time.Time  `json:"ended,omitzero"`
	Phase    Phase      `json:"phase"`
	Reason   string     `json:"reason,omitempty"` // why it stopped
	Strategy Strategy   `json:"strategy"`
	Wish     Wish       `json:"wish"`
	Waves    []Wave     `json:"waves"`
	// Alarms are those that the rollout watches. Whether it has a command as gate
	// is noted, but not which: a command from a bucket must not run here.
	Alarms  []string `json:"alarms,omitempty"`
	Command bool     `json:"command,omitempty"`
	// Refreshes are the instance refreshes of a rollout by groups.
	Refreshes []Refresh `json:"refreshes,omitempty"`
	Groups    bool      `json:"groups,omitempty"` // waves are groups, which are refreshed
	Held      int       `json:"held,omitempty"`   // waves whose pause is over and whose gates were asked
	Pull      bool      `json:"pull,omitempty"`   // agents carry it out by themselves
}

// rolloutFormat is the version of the document.
const rolloutFormat = 1

// Check refuses a strategy that could not end.
func (s Strategy) Check() error {
	switch {
	case s.Wave.N <= 0:
		return errors.New("a wave of no hosts: want 1 or more, or a percentage")
	case s.Parallel <= 0:
		return fmt.Errorf("%d hosts at a time: want 1 or more", s.Parallel)
	case s.Pause < 0:
		return fmt.Errorf("a pause of %s: want 0 or more", s.Pause)
	case s.Drain < 0 || s.Healthy < 0:
		return errors.New("a negative time for the load balancer: want 0 or more")
	case s.HostTimeout <= 0:
		return fmt.Errorf("a time limit of %s for a host: want more than 0", s.HostTimeout)
	}
	return nil
}

// PlanWaves cuts hosts into waves: the canary, then waves of the wanted size,
// in the given order. It looks at nothing but its arguments.
func PlanWaves(hosts []Host, s Strategy) []Wave {
	var waves []Wave
	canary := s.Canary.AtLeast(len(hosts))
	if canary > 0 {
		waves = append(waves, wave("canary", hosts[:canary]))
	}
	size := max(1, s.Wave.AtLeast(len(hosts)))
	for rest := hosts[canary:]; len(rest) > 0; {
		n := min(size, len(rest))
		for s.PerZone && rest[n-1].Zone != rest[0].Zone {
			n--
		}
		name := fmt.Sprintf("wave %d", len(waves)+1)
		if canary > 0 {
			name = fmt.Sprintf("wave %d", len(waves))
		}
		if s.Target != "" {
			name, n = s.Target, len(rest)
		}
		waves = append(waves, wave(name, rest[:n]))
		rest = rest[n:]
	}
	return waves
}

func wave(name string, hosts []Host) Wave {
	w := Wave{Name: name}
	for _, h := range hosts {
		w.Hosts = append(w.Hosts, HostRun{Host: h, State: Pending})
	}
	return w
}

// Counts returns how many hosts are in each state.
func (r *Rollout) Counts() map[HostState]int {
	n := map[HostState]int{}
	for h := range r.each {
		n[h.State]++
	}
	return n
}

// Hosts is how many hosts the rollout knows.
func (r *Rollout) Hosts() (n int) {
	for _, w := range r.Waves {
		n += len(w.Hosts)
	}
	return n
}

// each goes over the hosts of all waves.
func (r *Rollout) each(yield func(*HostRun) bool) {
	for w := range r.Waves {
		for h := range r.Waves[w].Hosts {
			if !yield(&r.Waves[w].Hosts[h]) {
				return
			}
		}
	}
}

// unknown returns the hosts that the rollout does not know yet.
func (r *Rollout) unknown(hosts []Host) (fresh []Host) {
	known := map[string]bool{}
	for h := range r.each {
		known[h.Instance] = true
	}
	for _, h := range hosts {
		if !known[h.Instance] {
			fresh = append(fresh, h)
		}
	}
	return fresh
}

// verdict says why the rollout has to stop now, or "". One failure of the
// canary is enough; later ones are borne with up to MaxUnhealthy.
func (r *Rollout) verdict() string {
	failed, first := 0, ""
	for _, w := range r.Waves {
		for _, h := range w.Hosts {
			if h.State != Failed {
				continue
			}
			if failed++; first == "" {
				first = fmt.Sprintf("%s (%s): %s", h.Instance, h.Addr, h.Problem)
			}
			if w.Name == "canary" {
				return "the canary failed: " + first
			}
		}
	}
	if bound := r.Strategy.MaxUnhealthy.AtMost(r.Hosts()); failed > bound {
		return fmt.Sprintf("%d of %d hosts failed, %d are borne with: first %s", failed, r.Hosts(), bound, first)
	}
	return ""
}
