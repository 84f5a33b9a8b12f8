//go:build bench

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"bakehouse/deploy"
	"bakehouse/release"
	"bakehouse/release/waves"
)

// row is one way through the fleet.
type row struct {
	what  string
	hosts int
	took  time.Duration
	cpu   time.Duration // of the client's side
	peak  peak

	least, most time.Duration // of several rounds
}

// median is the round in the middle by time, with the peaks of all of them.
func median(rounds []row) row {
	slices.SortFunc(rounds, func(a, b row) int { return cmp.Compare(a.took, b.took) })
	m := rounds[len(rounds)/2]
	m.least, m.most = rounds[0].took, rounds[len(rounds)-1].took
	for _, r := range rounds {
		m.peak = peak{max(m.peak.memory, r.peak.memory), max(m.peak.sockets, r.peak.sockets), max(m.peak.processes, r.peak.processes)}
	}
	return m
}

// ideal is what the latency alone costs: each wave in rounds of parallel hosts.
func (o options) ideal() time.Duration {
	left, size := o.hosts, max(1, (o.hosts*o.wave+99)/100)
	var rounds int
	for left > 0 {
		n := min(size, left)
		rounds += (n + o.parallel - 1) / o.parallel
		left -= n
	}
	return time.Duration(rounds) * o.latency
}

func table(rows []row, o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d hosts, %d at a time, each of which takes %s; deployctl in waves of %d %%. Median of %d rounds by turns, and the quickest and slowest of them.\n\n", o.hosts, o.parallel, o.latency, o.wave, o.rounds)
	fmt.Fprintln(&b, "| what | seconds | hosts/s | of the ideal | client's CPU, s | peak memory, MiB | sockets | processes |\n|---|---:|---:|---:|---:|---:|---:|---:|")
	ideal := o.ideal()
	fmt.Fprintf(&b, "| ideal: latency × rounds | %.1f | %.1f | 100 %% | – | – | – | – |\n", ideal.Seconds(), float64(o.hosts)/ideal.Seconds())
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %.1f (%.1f–%.1f) | %.1f | %.0f %% | %.1f | %d | %d | %d |\n", r.what, r.took.Seconds(), r.least.Seconds(), r.most.Seconds(), float64(r.hosts)/r.took.Seconds(), 100*ideal.Seconds()/r.took.Seconds(),
			r.cpu.Seconds(), r.peak.memory/1024, r.peak.sockets, r.peak.processes)
	}
	return b.String()
}

// planned measures what a fleet of n hosts costs before and beside the work on
// the hosts: choosing them, cutting waves, and the bookkeeping of a rollout
// whose hosts answer at once.
func planned(n int) string {
	inv := deploy.Inventory{Instances: map[string]deploy.Instance{}}
	for i := range n {
		id := fmt.Sprintf("i-%016x", i*2654435761)
		inv.Nodes = append(inv.Nodes, deploy.Node{Name: "web-" + id, Instance: id, Environment: "prod", Roles: []string{"web"}, HostKeys: []string{strings.Repeat("k", 80)}})
		inv.Instances[id] = deploy.Instance{State: "running", Addr: fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), Zone: string(rune('a' + i%3)), Group: "web", Lifecycle: "InService"}
	}
	s := deploy.Strategy{Canary: deploy.Amount{N: 1}, Wave: deploy.Amount{N: 10, Percent: true}, PerZone: true, Parallel: 50, HostTimeout: time.Minute}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	chosen := deploy.Choose(inv, deploy.Wish{Role: "web", Environment: "prod"})
	choosing := time.Since(start)
	start = time.Now()
	r := &deploy.Rollout{Format: 1, ID: deploy.NewRolloutID(), App: "web", Build: build, Phase: deploy.Rolling, Strategy: s, Waves: deploy.PlanWaves(chosen.Hosts, s)}
	planning := time.Since(start)
	runtime.ReadMemStats(&after)
	state, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	x := &deploy.Executor{Engine: instant{}, Clock: clock{}, Board: silent{}, Save: func(_ context.Context, r *deploy.Rollout) error { _, err := json.Marshal(r); return err }}
	start = time.Now()
	err = x.Run(context.Background(), r)
	running := time.Since(start)
	if err != nil || r.Counts()[deploy.Deployed] != n {
		return fmt.Sprintf("the model run failed: %v, %v\n", err, r.Counts())
	}
	r.Strategy.ClaimWithin = 3 * time.Minute
	return fmt.Sprintf("\nA model run over %d hosts: choosing them takes %s, cutting %d waves %s, both allocate %.1f MiB; the rollout's state is %.1f MiB of JSON; a rollout whose hosts answer at once takes %s (%s a host).\n",
		n, choosing.Round(time.Microsecond), len(r.Waves), planning.Round(time.Microsecond), float64(after.TotalAlloc-before.TotalAlloc)/(1<<20),
		float64(len(state))/(1<<20), running.Round(time.Millisecond), (running/time.Duration(n)).Round(time.Microsecond)) + "\n" + pulled(r)
}

// pulled measures what a rollout by pull of n hosts costs one who looks: the
// plan's two documents, and a decision over all results at its very end.
func pulled(r *deploy.Rollout) string {
	now := time.Now()
	p, roster := deploy.PlanPull(r, now)
	list, err := p.Seal(roster)
	if err != nil {
		return err.Error()
	}
	doc, err := p.Marshal()
	if err != nil {
		return err.Error()
	}
	seen := waves.Seen{}
	for i, w := range roster.Waves {
		for _, host := range w.Hosts {
			seen.Add(host, waves.Claimed, now.Add(time.Duration(i)*time.Minute))
			seen.Add(host, waves.Done, now.Add(time.Duration(i)*time.Minute))
		}
	}
	start := time.Now()
	v := waves.Judge(p, roster, now, seen, now.Add(time.Hour))
	took := time.Since(start)
	if !v.Over {
		return fmt.Sprintf("the model run by pull failed: %+v\n", v.Stop)
	}
	return fmt.Sprintf("By pull, the plan of %d hosts is %d bytes and its roster %d KiB; to judge all of their results takes %s, and %d lists of 1,000 keys.\n",
		p.Hosts, len(doc), len(list)>>10, took.Round(time.Microsecond), (2*p.Hosts+999)/1000)
}

// instant is an engine whose hosts answer at once.
type instant struct{}

func (instant) Deploy(context.Context, deploy.Host) (release.ID, error) { return build, nil }

// heading says when and on what it was measured; load is the machine's before.
func heading(load string) string {
	return fmt.Sprintf("Measured %s by `make bench-deploy` on %d cores, the load before (1, 5, 15 minutes): %s. The servers run on the same machine, so their share of each handshake is in every figure.\n\n",
		time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), load)
}
