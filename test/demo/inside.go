package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bakehouse/test/story"
)

// line is one row of the timeline.
type line struct {
	who, what string
	took      time.Duration
}

// teller tells the story and keeps its timeline.
type teller struct {
	world *story.World
	lines []line
}

// inside runs in the lab's namespaces, with its environment.
func inside(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "bakehouse-demo-")
	if err != nil {
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	defer os.RemoveAll(dir)
	w, err := story.Open(ctx, dir)
	if err != nil {
		return err
	}
	t := &teller{world: w}
	build, err := t.prepare(ctx)
	if err != nil {
		return err
	}
	image, err := t.bake(ctx)
	if err != nil {
		return err
	}
	return t.launch(ctx, image, build)
}

// timed runs one step, says what it is, and books it.
func (t *teller) timed(who, what string, f func() (string, error)) error {
	start := time.Now()
	said, err := f()
	if err != nil {
		return err
	}
	took := time.Since(start)
	t.lines = append(t.lines, line{who, what, took})
	fmt.Printf("==> %s: %s (%.1f s)\n", what, said, took.Seconds())
	return nil
}

// prepare uploads roles and cookbooks and pushes a build.
func (t *teller) prepare(ctx context.Context) (build string, err error) {
	err = t.timed("chef", "roles and cookbooks to the Chef server", func() (string, error) {
		up, err := t.world.Upload(ctx, ".")
		return fmt.Sprintf("%d roles, %d cookbooks, %d files sent", up.Roles, up.Cookbooks, up.Files), err
	})
	if err != nil {
		return "", err
	}
	err = t.timed("deployctl", "a build of the sample app to S3", func() (string, error) {
		dir, err := t.world.Build("demo")
		if err != nil {
			return "", err
		}
		build, err = t.world.Push(ctx, dir, "production")
		return "release " + short(build) + ", channel production", err
	})
	return build, err
}

// bake runs bake-ami, whose own output is the best account of it.
func (t *teller) bake(ctx context.Context) (image string, err error) {
	if t.world.StandIn {
		fmt.Println("==> Chef in the guests is the lab's stand-in (CHEF_DEB=path uses the real package)")
	}
	fmt.Println("==> bake-ami --role web")
	file := filepath.Join(t.world.Dir, "report.json")
	tool := t.world.BakeTool("web", "--report", file)
	tool.Live = os.Stderr
	o, err := t.world.Run(ctx, tool)
	if err != nil {
		return "", err
	}
	if o.Code != 0 {
		return "", fmt.Errorf("bake-ami ended with exit code %d; its words stand above", o.Code)
	}
	fmt.Print(o.Stdout)
	var report struct {
		Steps []struct {
			Name    string  `json:"name"`
			Seconds float64 `json:"seconds"`
		} `json:"steps"`
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the bake's report: %w", err)
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return "", fmt.Errorf("reading the bake's report: %w", err)
	}
	for _, s := range report.Steps {
		t.lines = append(t.lines, line{"bake-ami", s.Name, time.Duration(s.Seconds * float64(time.Second))})
	}
	return o.LastLine(), nil
}

// launch starts an instance of the image and waits for the pushed build.
func (t *teller) launch(ctx context.Context, image, build string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, fmt.Errorf("the app did not answer within 3 minutes"))
	defer cancel()
	inst, err := t.world.Start(ctx, story.Launch{ImageID: image})
	if err != nil {
		return err
	}
	fmt.Printf("==> %s launched from %s at %s\n", inst.ID, image, inst.Addr)
	answer, err := t.world.Answers(ctx, inst.Addr)
	if err != nil {
		return fmt.Errorf("waiting for the app (KEEP=1 leaves the lab up to look): %w", err)
	}
	up := time.Since(inst.Launched)
	if answer.Release != build {
		return fmt.Errorf("the app answers with release %s, pushed was %s", answer.Release, build)
	}
	fmt.Printf("==> http://%s/ answers: app %s, release %s\n", inst.Addr, answer.App, short(answer.Release))
	if err := t.boot(ctx, inst, up); err != nil {
		return err
	}
	t.print()
	return t.whoRunsWhere(ctx, inst, image)
}

// boot books what the agent says of its stages; the rest of the time until
// the app answered is the machine's own.
func (t *teller) boot(ctx context.Context, inst story.Instance, up time.Duration) error {
	stages, err := t.world.Stages(ctx, inst.ID)
	if err != nil {
		return err
	}
	machine := up
	for _, s := range stages {
		machine -= s.Took
	}
	t.lines = append(t.lines, line{"instance", "launch, systemd, cloud-init", machine})
	for _, s := range stages {
		t.lines = append(t.lines, line{"boot-agent", s.Name, s.Took})
	}
	return nil
}

// print prints the timeline.
func (t *teller) print() {
	fmt.Printf("\n%-12s %-40s %8s %8s\n", "who", "what", "seconds", "at")
	var at time.Duration
	for _, l := range t.lines {
		at += l.took
		fmt.Printf("%-12s %-40s %8.2f %8.2f\n", l.who, l.what, l.took.Seconds(), at.Seconds())
	}
	fmt.Println(strings.Repeat("-", 71))
}

// whoRunsWhere says what the story left running.
func (t *teller) whoRunsWhere(ctx context.Context, inst story.Instance, image string) error {
	nodes, err := t.world.Chef.NodeNames(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("image      %s\ninstance   %s at %s, app on port 80\nChef nodes %s\n", image, inst.ID, inst.Addr, strings.Join(nodes, " "))
	return nil
}

// short shortens a build id for reading.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
