//go:build bench

// Command deploy measures the SSH engine of deployctl on 1,000 SSH servers in
// this process, each at an address of its own in 127.0.0.0/8, next to xargs -P
// with OpenSSH's client, and next to what the servers' latency alone allows;
// and what planning for 10,000 hosts costs. `make bench-deploy` runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"bakehouse/deploy"
	"bakehouse/internal/host"
	"bakehouse/release"
	"bakehouse/test/bench/page"
)

// options are the size of the measurement.
type options struct {
	hosts, parallel, plan int
	wave                  int // percent
	rounds                int
	latency               time.Duration
	write                 string
}

// job is what the measured process is told on stdin.
type job struct {
	Key      string // file
	Port     int
	Hosts    []deploy.Host
	Parallel int
	Wave     int // percent
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-deploy: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	flag.IntVar(&o.hosts, "hosts", 1000, "`N` servers")
	flag.IntVar(&o.parallel, "parallel", 50, "`N` hosts at a time")
	flag.IntVar(&o.wave, "wave", 25, "`PERCENT` of the hosts in a wave")
	flag.IntVar(&o.rounds, "rounds", 3, "`N` rounds, of which the median is told")
	flag.IntVar(&o.plan, "plan", 10_000, "plan for `N` hosts")
	flag.DurationVar(&o.latency, "latency", time.Second, "`TIME` that each host's deploy takes")
	flag.StringVar(&o.write, "write", "", "replace the section of `FILE` as well")
	child := flag.Bool("engine", false, "be the measured process (used by this command itself)")
	flag.Parse()
	if *child {
		return engine(ctx)
	}
	if o.hosts < 1 || o.parallel < 1 || o.rounds < 1 || o.wave < 1 || o.wave > 100 {
		return errors.New("-hosts, -parallel, -rounds and -wave want 1 or more, -wave at most 100")
	}
	fmt.Fprintf(os.Stderr, "%d rounds of two ways that take %s or more each\n", o.rounds, o.ideal())
	dir, err := os.MkdirTemp("", "bench-deploy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	load := page.Load()
	f, err := startFleet(dir, o.hosts, o.latency)
	if err != nil {
		return err
	}
	defer f.stop()
	rows, err := measured(ctx, f, o)
	if err != nil {
		return err
	}
	text := heading(load) + table(rows, o) + planned(o.plan)
	fmt.Print(text)
	if o.write == "" {
		return nil
	}
	return page.Replace(o.write, "deploy", text)
}

// measured takes both ways through the fleet by turns, the other one first each
// time.
func measured(ctx context.Context, f *fleet, o options) ([]row, error) {
	ways := []func(context.Context, *fleet, options) (row, error){byEngine, byXargs}
	all := make([][]row, len(ways))
	for round := range o.rounds {
		for i := range ways {
			way := (i + round) % len(ways)
			r, err := ways[way](ctx, f, o)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(os.Stderr, "round %d: %s: %.1f s\n", round+1, r.what, r.took.Seconds())
			all[way] = append(all[way], r)
		}
	}
	var rows []row
	for _, list := range all {
		rows = append(rows, median(list))
	}
	return rows, nil
}

// byEngine has another process roll out in waves, so that its memory is its own.
func byEngine(ctx context.Context, f *fleet, o options) (row, error) {
	self, err := os.Executable()
	if err != nil {
		return row{}, err
	}
	in, err := json.Marshal(job{Key: f.keyFile, Port: f.port, Hosts: f.hosts, Parallel: o.parallel, Wave: o.wave})
	if err != nil {
		return row{}, err
	}
	file := filepath.Join(f.dir, "job.json")
	if err := os.WriteFile(file, in, 0o600); err != nil {
		return row{}, err
	}
	return f.measure(ctx, "deployctl's engine", file, self, "-engine")
}

// byXargs does what people do instead, in the same number at a time and without waves.
func byXargs(ctx context.Context, f *fleet, o options) (row, error) {
	var list []byte
	for _, h := range f.hosts {
		list = append(list, h.Addr+"\n"...)
	}
	file := filepath.Join(f.dir, "hosts")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		return row{}, err
	}
	return f.measure(ctx, "xargs -P ssh", file, "xargs", "-P", fmt.Sprint(o.parallel), "-I", "{}",
		"ssh", "-F", "/dev/null", "-p", fmt.Sprint(f.port), "-i", f.keyFile, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+f.known, "ubuntu@{}", "sudo boot-agent deploy >&2 && boot-agent status --json")
}

// engine is the measured process: a whole rollout by the real Executor.
func engine(ctx context.Context) error {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		return err
	}
	signers, err := host.KeyFile(j.Key)
	if err != nil {
		return err
	}
	s := deploy.Strategy{Wave: deploy.Amount{N: j.Wave, Percent: true}, Parallel: j.Parallel, HostTimeout: time.Minute}
	r := &deploy.Rollout{Format: 1, ID: deploy.NewRolloutID(), App: "web", Channel: "production", Build: build, Phase: deploy.Rolling, Strategy: s, Waves: deploy.PlanWaves(j.Hosts, s)}
	x := &deploy.Executor{Engine: deploy.SSH{Login: host.Target{User: "ubuntu", Signers: signers}, Port: j.Port}, Clock: clock{}, Board: silent{},
		Save: func(_ context.Context, r *deploy.Rollout) error { _, err := json.Marshal(r); return err }}
	if err := x.Run(ctx, r); err != nil {
		return err
	}
	if n := r.Counts()[deploy.Deployed]; n != len(j.Hosts) {
		return fmt.Errorf("%d of %d hosts were deployed to", n, len(j.Hosts))
	}
	return nil
}

// build is what every server says it runs.
const build = release.ID("bb")

type clock struct{}

func (clock) Now() time.Time                                   { return time.Now() }
func (clock) Sleep(ctx context.Context, d time.Duration) error { return ctx.Err() }

// silent is a Board that hears nothing.
type silent struct{}

func (silent) StepStarted(string)                    {}
func (silent) StepProgress(string, string)           {}
func (silent) StepLog(string, string)                {}
func (silent) StepDone(string, time.Duration, error) {}
func (silent) Info(string)                           {}
