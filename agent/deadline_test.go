package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

func TestRegisteringHasADeadline(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		set   func(*agentconf.Config)
		want  time.Duration
		words string
	}{
		"by default":        {func(*agentconf.Config) {}, 10 * time.Minute, "10m0s (agent.register_within)"},
		"as set":            {func(c *agentconf.Config) { c.Chef.RegisterWithin = agentconf.Duration(2 * time.Minute) }, 2 * time.Minute, "2m0s (agent.register_within)"},
		"hook waits longer": {func(c *agentconf.Config) { c.Group.LaunchHook = "ready" }, 10 * time.Minute, "10m0s (agent.register_within)"},
		"hook waits less": {func(c *agentconf.Config) {
			c.Group.LaunchHook, c.Group.LaunchWithin = "ready", agentconf.Duration(4*time.Minute)
		}, 4 * time.Minute, "4m0s (what agent.launch_within leaves)"},
	} {
		w := newWorld(t)
		tc.set(&w.conf)
		w.chef.refuse = errors.New("503 Service Unavailable")
		began := w.now
		err := w.fails(fault.Timeout, "giving up on http://chef.test after "+tc.words, "503")
		if took := w.now.Sub(began); took > tc.want || took < tc.want-30*time.Second {
			t.Errorf("%s: tried for %s, want %s less at most one wait", name, took, tc.want)
		}
		if fault.ExitCode(err) != 6 || !strings.Contains(fault.NextOf(err), "is the time for it") {
			t.Errorf("%s: exit code %d, next %q", name, fault.ExitCode(err), fault.NextOf(err))
		}
		if w.conf.Group.LaunchHook != "" && !slices.Equal(w.groups.told, []string{strings.Replace(saidReady, "CONTINUE", "ABANDON", 1)}) {
			t.Errorf("%s: the group was told %q, want ABANDON", name, w.groups.told)
		}
	}
}

// What the launch has used up before, in a run that was killed, is gone.
func TestTheDeadlineCountsFromTheFirstRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Group.LaunchHook, w.conf.Group.LaunchWithin = "ready", agentconf.Duration(5*time.Minute)
	w.trace = killAt(KeyRecorded)
	_ = w.agent().FirstBoot(context.Background())
	w.now = w.now.Add(2 * time.Minute)
	w.chef.refuse = errors.New("503")
	w.fails(fault.Timeout, "after 3m0s (what agent.launch_within leaves)")
}

// A refusal is no silence: it keeps its own kind after the same time.
func TestARefusalThatIsTriedInVainKeepsItsKind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chef.refuse = chefapi.ErrForbidden
	w.fails(fault.Chef, "not permitted")
}
