//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"bakehouse/test/story"
)

func cores() int { return runtime.NumCPU() }

// bakeRound is what one bake and one boot of its image took.
type bakeRound struct {
	order  []string           // steps, as they ran
	steps  map[string]float64 // seconds
	total  float64            // seconds, by the wall clock
	calls  map[string]int     // by action
	rss    int64              // KiB, bake-ami
	launch float64            // seconds from RunInstances to the app's answer
	stages map[string]float64 // of the agent, seconds
	agent  int64              // KiB, the agent's peak
	own    float64            // seconds of the agent's first boot without Chef's run and the app's start
}

// measureOwn measures bakes of the role web and boots of their images.
func measureOwn(ctx context.Context, b *bench) (string, error) {
	dir, err := b.world.Build("bench")
	if err != nil {
		return "", err
	}
	if _, err := b.world.Push(ctx, dir, "production"); err != nil {
		return "", err
	}
	var rounds []bakeRound
	for i := range b.rounds {
		fmt.Fprintf(os.Stderr, "bench: bake and boot, round %d of %d\n", i+1, b.rounds)
		r, err := b.bakeAndBoot(ctx)
		if err != nil {
			return "", err
		}
		rounds = append(rounds, r)
	}
	size, err := os.Stat(filepath.Join(b.world.Bin, "boot-agent"))
	if err != nil {
		return "", fmt.Errorf("measuring the agent: %w", err)
	}
	return ownTables(rounds, size.Size()), nil
}

// bakeAndBoot is one round.
func (b *bench) bakeAndBoot(ctx context.Context) (r bakeRound, err error) {
	file := filepath.Join(b.world.Dir, "report.json")
	since := time.Now()
	p, err := b.profiled(ctx, b.world.BakeTool("web", "--report", file))
	if err != nil {
		return r, err
	}
	r.total, r.rss = p.took.Seconds(), p.peakKiB
	if r.calls, err = callsOf(ctx, since, "bakehouse-bake-ami"); err != nil {
		return r, err
	}
	var report struct {
		ImageID string `json:"image_id"`
		Steps   []struct {
			Name    string
			Seconds float64
		}
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil {
		return r, fmt.Errorf("reading the bake's report: %w", err)
	}
	r.steps = map[string]float64{}
	for _, s := range report.Steps {
		r.order = append(r.order, s.Name)
		r.steps[s.Name] = s.Seconds
	}
	return r, b.boot(ctx, report.ImageID, &r)
}

// boot launches the image, and times it until the app answers.
func (b *bench) boot(ctx context.Context, image string, r *bakeRound) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	inst, err := b.world.Start(ctx, story.Launch{ImageID: image})
	if err != nil {
		return err
	}
	if _, err := b.world.Answers(ctx, inst.Addr); err != nil {
		return err
	}
	r.launch = time.Since(inst.Launched).Seconds()
	stages, err := b.world.Stages(ctx, inst.ID)
	if err != nil {
		return err
	}
	r.stages = map[string]float64{}
	for _, s := range stages {
		r.stages[s.Name] = s.Took.Seconds()
	}
	out, err := b.world.Guest(ctx, inst.ID, "boot-agent status --json")
	if err != nil {
		return err
	}
	var status struct {
		Peak   int64 `json:"peak_rss_kib"`
		Stages []struct{ Started, Ended time.Time }
	}
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		return fmt.Errorf("reading the agent's status: %w", err)
	}
	r.agent = status.Peak
	if n := len(status.Stages); n > 0 {
		whole := status.Stages[n-1].Ended.Sub(status.Stages[0].Started).Seconds()
		r.own = whole - r.stages["converge"] - r.stages["start"]
	}
	return b.world.Terminate(ctx, inst.ID)
}

// ownTables renders what was measured.
func ownTables(rounds []bakeRound, agentBytes int64) string {
	var b strings.Builder
	last := rounds[len(rounds)-1]
	b.WriteString("| step of `bake-ami --role web` | seconds |\n|---|---:|\n")
	for _, name := range last.order {
		fmt.Fprintf(&b, "| %s | %.2f |\n", name, median(rounds, func(r bakeRound) float64 { return r.steps[name] }))
	}
	fmt.Fprintf(&b, "| **wall time** | **%.2f** |\n\n", median(rounds, func(r bakeRound) float64 { return r.total }))
	b.WriteString("| API call of a bake | calls |\n|---|---:|\n")
	for _, action := range sortedKeys(last.calls) {
		fmt.Fprintf(&b, "| %s | %.0f |\n", action, median(rounds, func(r bakeRound) float64 { return float64(r.calls[action]) }))
	}
	fmt.Fprintf(&b, "| **all** | **%.0f** |\n\n", median(rounds, func(r bakeRound) float64 { return float64(sum(r.calls)) }))
	b.WriteString("| first boot of the image | |\n|---|---:|\n")
	fmt.Fprintf(&b, "| RunInstances to the app's answer, seconds | %.2f |\n", median(rounds, func(r bakeRound) float64 { return r.launch }))
	for _, stage := range []string{"identify", "register", "converge", "pull", "start"} {
		fmt.Fprintf(&b, "| – agent's stage %s, seconds | %.2f |\n", stage, median(rounds, func(r bakeRound) float64 { return r.stages[stage] }))
	}
	fmt.Fprintf(&b, "| **without Chef's part (converge), seconds** | **%.2f** |\n", median(rounds, func(r bakeRound) float64 { return r.launch - r.stages["converge"] }))
	fmt.Fprintf(&b, "| **agent's own overhead (first boot without converge and the app's start), seconds; want under 1.5** | **%.2f** |\n", median(rounds, func(r bakeRound) float64 { return r.own }))
	fmt.Fprintf(&b, "| boot-agent's size, MiB | %.2f |\n", float64(agentBytes)/(1<<20))
	fmt.Fprintf(&b, "| boot-agent's peak resident set, MiB | %.1f |\n", median(rounds, func(r bakeRound) float64 { return float64(r.agent) / 1024 }))
	fmt.Fprintf(&b, "| bake-ami's peak resident set, MiB | %.1f |\n", median(rounds, func(r bakeRound) float64 { return float64(r.rss) / 1024 }))
	return b.String()
}

// median of a figure over rounds; of an even number, the lower middle.
func median[T any](rounds []T, figure func(T) float64) float64 {
	var all []float64
	for _, r := range rounds {
		all = append(all, figure(r))
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

func sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}
