//go:build linux

// Command bench measures, inside the lab (`lab run -- bin/bench`), what a bake
// and a first boot cost: seconds by step, API calls by action, sizes. It
// prints Markdown; with -write it replaces its section of the given page. It
// is a measurement and not a test: nothing in it fails for being slow.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"bakehouse/test/bench/page"
	"bakehouse/test/story"
)

// bench is one run of the program.
type bench struct {
	world  *story.World
	rounds int
}

// mode is one thing to measure; its name is that of its section in the page.
type mode struct {
	name    string
	command string // by which a reader repeats it
	run     func(context.Context, *bench) (string, error)
}

func modes() []mode {
	return []mode{
		{"bake", "make bench", measureOwn},
		{"packer", "make bench-bake", measurePeer},
		{"lag", "make bench-bake", measureLag},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	rounds := flag.Int("rounds", 3, "measure `N` times; medians are reported")
	write := flag.String("write", "", "replace the section of `FILE` as well")
	flag.Parse()
	m, err := pickMode(flag.Arg(0))
	if err != nil {
		return err
	}
	if *rounds < 1 {
		return fmt.Errorf("-rounds %d: at least one", *rounds)
	}
	dir, err := os.MkdirTemp("", "bakehouse-bench-")
	if err != nil {
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	defer os.RemoveAll(dir)
	w, err := story.Open(ctx, dir)
	if err != nil {
		return err
	}
	for _, repo := range []string{".", "test/fixtures/chef-repo"} {
		if _, err := w.Upload(ctx, repo); err != nil {
			return err
		}
	}
	text, err := m.run(ctx, &bench{world: w, rounds: *rounds})
	if err != nil {
		return err
	}
	text = fmt.Sprintf("Measured %s by `%s`, %s, medians%s.\n\n%s", time.Now().UTC().Format(time.DateOnly), m.command, times(*rounds), machine(w), text)
	fmt.Print(text)
	if *write == "" {
		return nil
	}
	return page.Replace(*write, m.name, text)
}

func pickMode(name string) (mode, error) {
	var names []string
	for _, m := range modes() {
		if m.name == name {
			return m, nil
		}
		names = append(names, m.name)
	}
	return mode{}, fmt.Errorf("say what to measure: %s", strings.Join(names, ", "))
}

// machine says on what the figures were made.
func machine(w *story.World) string {
	chef := "Chef from " + w.ChefPackage
	if w.StandIn {
		chef = "Chef's stand-in in the guests"
	}
	return fmt.Sprintf(", in the lab on %d cores, %s", cores(), chef)
}

func times(rounds int) string {
	if rounds == 1 {
		return "1 round"
	}
	return fmt.Sprintf("%d rounds", rounds)
}
