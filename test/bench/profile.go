//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

// profile is what one process, with its children, took.
type profile struct {
	took    time.Duration
	peakKiB int64 // largest sum of the resident sets of the process and its descendants
	output  string
}

// profiled runs a tool of ours to its good end.
func (b *bench) profiled(ctx context.Context, t story.Tool) (profile, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(b.world.Bin, t.Name), t.Args...)
	cmd.Dir, cmd.Env = b.world.Dir, b.world.Env(t)
	return profileOf(cmd)
}

// profileOf runs cmd and samples its memory twenty times a second.
func profileOf(cmd *exec.Cmd) (p profile, err error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return p, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err = <-done:
			p.took, p.output = time.Since(start), out.String()
			if err != nil {
				err = fmt.Errorf("running %s: %w\n%s", strings.Join(cmd.Args, " "), err, p.output)
			}
			return p, err
		case <-tick.C:
			p.peakKiB = max(p.peakKiB, residentKiB(cmd.Process.Pid))
		}
	}
}

// residentKiB sums the resident sets of a process and its descendants; those
// that end meanwhile count as nothing.
func residentKiB(pid int) int64 {
	var total int64
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			pages, _ := strconv.ParseInt(f[1], 10, 64)
			total = pages * int64(os.Getpagesize()) / 1024
		}
	}
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range children {
		b, _ := os.ReadFile(file)
		for _, f := range strings.Fields(string(b)) {
			if child, err := strconv.Atoi(f); err == nil {
				total += residentKiB(child)
			}
		}
	}
	return total
}

// callsOf counts the calls since then that the gateway recorded for agent, by
// action; agent "" stands for every caller that is none of our tools.
func callsOf(ctx context.Context, since time.Time, agent string) (map[string]int, error) {
	records, err := recorded(ctx, since)
	if err != nil {
		return nil, err
	}
	calls := map[string]int{}
	for _, r := range records {
		if (agent == "") == (r.Agent == "") && strings.HasPrefix(r.Agent, agent) && r.Caller == "operator" {
			calls[r.Service+":"+r.Action]++
		}
	}
	return calls, nil
}

// recorded fetches the gateway's records since then.
func recorded(ctx context.Context, since time.Time) (all []gateway.Record, err error) {
	u := os.Getenv("AWS_ENDPOINT_URL") + "/_lab/calls?since=" + url.QueryEscape(since.UTC().Format(time.RFC3339Nano))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the record of calls: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("reading the record of calls: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New("reading the record of calls: the gateway answers " + resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r gateway.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("reading the record of calls: %w", err)
		}
		all = append(all, r)
	}
	return all, lines.Err()
}

func sortedKeys(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
