//go:build bench

// Command autoscale measures autoscalectl on 1,000 groups with five alarms
// each, on the in-repo Auto Scaling service, next to a loop that asks group by
// group: seconds, API calls, peak memory of the process. `make
// bench-autoscale` runs it.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"bakehouse/test/asg"
	"bakehouse/test/bench/page"
)

const region = "us-east-1"

// away is a round trip to AWS from elsewhere on the continent, for the rows
// that are not about this machine's loopback alone.
const away = 20 * time.Millisecond

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-autoscale: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	write := flag.String("write", "", "replace the section of `FILE` as well")
	groups := flag.Int("groups", 1000, "how many groups")
	loop := flag.Bool("loop", false, "be the loop that is compared with: one describe for each group")
	flag.Parse()
	if *loop {
		return byGroup(ctx, *groups)
	}
	dir, err := os.MkdirTemp("", "bench-autoscale-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	load := page.Load()
	b := bench{groups: *groups, dir: dir, service: asg.New(time.Now)}
	b.service.AddImage(asg.Image{ID: "ami-1", Created: time.Now()})
	server := httptest.NewServer(&b)
	defer server.Close()
	b.url = server.URL
	rows, err := b.all(ctx)
	if err != nil {
		return err
	}
	text := heading(load, *groups) + table(rows)
	fmt.Print(text)
	if *write == "" {
		return nil
	}
	return page.Replace(*write, "autoscale", text)
}

// bench is one measurement with its server.
type bench struct {
	groups  int
	dir     string
	url     string
	service *asg.Service
	delay   atomic.Int64 // of each call
}

// ServeHTTP puts the distance to AWS before the service.
func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(time.Duration(b.delay.Load()))
	b.service.ServeHTTP(w, r)
}

// name is long enough for pages of a realistic weight.
func name(n int) string { return fmt.Sprintf("service-%04d-production", n) }

// file writes n groups with two policies and five alarms each.
func (b *bench) file(path string, most int) error {
	var s strings.Builder
	fmt.Fprintf(&s, "version: 2\nregion: %s\nowner: bench\ngroups:\n", region)
	for n := range b.groups {
		fmt.Fprintf(&s, `  %s:
    capacity: {min: 0, max: %d}
    launch: {image: ami-1, type: t3.small, key: ops, user_data: "#!/bin/sh\necho %d\n"}
    network: {zones: [us-east-1a, us-east-1b]}
    tags: {Team: shop, Service: s%d}
    policies: {up: {type: ChangeInCapacity, adjustment: 2, cooldown: 300}, down: {type: ChangeInCapacity, adjustment: -1, cooldown: 300}}
    alarms:
      cpu: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 60, evaluation_periods: 3, policy: up}
      idle: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '<', threshold: 20, period: 300, policy: down}
      in: {namespace: AWS/EC2, metric: NetworkIn, comparison: '>', threshold: 5e7, period: 60, policy: up}
      out: {namespace: AWS/EC2, metric: NetworkOut, comparison: '>', threshold: 5e7, period: 60, policy: up}
      quiet: {namespace: AWS/EC2, metric: NetworkIn, comparison: '<', threshold: 1e5, period: 300, policy: down}
`, name(n), most, n, n)
	}
	return os.WriteFile(path, []byte(s.String()), 0o600)
}

func (b *bench) all(ctx context.Context) ([]row, error) {
	same, changed := filepath.Join(b.dir, "same.yaml"), filepath.Join(b.dir, "changed.yaml")
	if err := b.file(same, 10); err != nil {
		return nil, err
	}
	if err := b.file(changed, 11); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	loop := []string{self, "-loop", "-groups", fmt.Sprint(b.groups)}
	tool := func(args ...string) []string { return append([]string{"bin/autoscalectl"}, args...) }
	var rows []row
	for _, step := range []struct {
		what  string
		delay time.Duration
		code  int
		args  []string
		loop  bool
	}{
		{"apply: makes everything", 0, 0, tool("apply", "--yes", "--output", "json", same), false},
		{"plan: nothing to change", 0, 0, tool("plan", "--exit-code", "--output", "json", same), false},
		{"plan: every group changes", 0, 10, tool("plan", "--exit-code", "--output", "json", changed), false},
		{"status of every group", 0, 0, tool("status", "--output", "json", same), false},
		{"loop: four describes for each group", 0, 0, loop, true},
		{"plan: nothing to change, 20 ms away", away, 0, tool("plan", "--exit-code", "--output", "json", same), false},
		{"loop, 20 ms away", away, 0, loop, true},
	} {
		b.delay.Store(int64(step.delay))
		b.service.Forget()
		r := row{what: step.what, loop: step.loop, away: step.delay > 0}
		if r.took, r.rss, err = b.command(ctx, step.args, step.code); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
		r.calls = len(b.service.Calls())
		rows = append(rows, r)
	}
	return rows, nil
}

// command runs one process and returns its time and peak memory in MiB.
func (b *bench) command(ctx context.Context, args []string, code int) (time.Duration, int64, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+b.url, "AWS_REGION="+region, "AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=S", "AWS_EC2_METADATA_DISABLED=true")
	var out strings.Builder
	cmd.Stderr = &out
	start := time.Now()
	err := cmd.Run()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		return 0, 0, fmt.Errorf("%v, want exit code %d: %.2000s", err, code, out.String())
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Since(start), usage.Maxrss >> 10, nil
}
