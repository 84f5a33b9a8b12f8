//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/test/lab/gateway"
)

// fixedPoll is the pace that detection is compared with.
const fixedPoll = 5 * time.Second

// lagDelays are how long the gateway keeps images pending: none is a multiple
// of anybody's pause.
func lagDelays() []time.Duration {
	return []time.Duration{3300 * time.Millisecond, 11700 * time.Millisecond, 28100 * time.Millisecond}
}

// change is when something was asked for and when it had become so, by an
// observer that looks twenty times a second.
type change struct{ asked, became time.Time }

// fixed is when a poll at a fixed pace, begun with the call, sees it.
func (c change) fixed() time.Time {
	n := math.Ceil(float64(c.became.Sub(c.asked)) / float64(fixedPoll))
	return c.asked.Add(time.Duration(n) * fixedPoll)
}

// lagRound is what one bake waited for, by step.
type lagRound struct {
	delay time.Duration
	ours  map[string]float64 // seconds from the change to the end of the step
	fixed map[string]float64 // the same for the fixed poll
}

// measureLag bakes while the gateway keeps images pending, and compares when
// bake-ami sees a change with when it was, and with a fixed poll.
func measureLag(ctx context.Context, b *bench) (string, error) {
	var rounds []lagRound
	for i := range b.rounds {
		for _, delay := range lagDelays() {
			fmt.Fprintf(os.Stderr, "bench: lag, round %d of %d: images pending for %s\n", i+1, b.rounds, delay)
			r, err := b.lagRound(ctx, delay)
			if err != nil {
				return "", err
			}
			rounds = append(rounds, r)
		}
	}
	return lagTable(rounds), nil
}

// lagRound is one bake under a delay.
func (b *bench) lagRound(ctx context.Context, delay time.Duration) (lagRound, error) {
	r := lagRound{delay: delay, ours: map[string]float64{}, fixed: map[string]float64{}}
	if err := slowImages(ctx, delay); err != nil {
		return r, err
	}
	watching, stop := context.WithCancel(ctx)
	o := &observer{api: b.world.EC2, since: time.Now(), seen: map[string]time.Time{}}
	var done sync.WaitGroup
	done.Go(func() { o.watch(watching) })
	file := filepath.Join(b.world.Dir, "lag.json")
	_, err := b.profiled(ctx, b.world.BakeTool("web", "--chef-mode", "local", "--chef-repo", b.world.Root, "--report", file))
	stop()
	done.Wait()
	o.look(ctx) // what came about in the last moment
	if err != nil {
		return r, err
	}
	var report struct {
		Steps []struct {
			Name    string
			Started time.Time `json:"started_at"`
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
	started, ended := map[string]time.Time{}, map[string]time.Time{}
	for _, s := range report.Steps {
		started[s.Name] = s.Started
		end := s.Started.Add(time.Duration(s.Seconds * float64(time.Second)))
		ended[s.Name] = end
		became, known := o.seen[s.Name]
		if !known {
			continue
		}
		// The builder is let go at the end of the wait for its image.
		c := change{map[string]time.Time{answers: started["launch"], imaged: started["create image"], cleaned: ended[imaged]}[s.Name], became}
		r.ours[s.Name] = max(0, end.Sub(c.became).Seconds())
		r.fixed[s.Name] = c.fixed().Sub(c.became).Seconds()
	}
	if len(r.ours) != 3 {
		return r, fmt.Errorf("watching the bake: only %d of 3 changes were seen", len(r.ours))
	}
	return r, nil
}

// The steps that wait for what an observer can see, too.
const (
	answers = "connect"
	imaged  = "wait for image"
	cleaned = "clean up"
)

// observer notes when the bake's builder answers by SSH and is terminated, and
// when its image is available, under the name of the step that waits for it.
type observer struct {
	api   *ec2.Client
	since time.Time
	seen  map[string]time.Time
}

// watch looks until ctx ends. What it cannot see is found missing afterwards.
func (o *observer) watch(ctx context.Context) {
	for ctx.Err() == nil {
		o.look(ctx)
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (o *observer) look(ctx context.Context) {
	baked := []types.Filter{ami.Filter("tag-key", ami.TagBakeID)}
	if out, err := o.api.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: baked}); err == nil {
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				if aws.ToTime(i.LaunchTime).Before(o.since.Add(-time.Second)) {
					continue
				}
				if i.State.Name == types.InstanceStateNameTerminated {
					o.note(cleaned)
				} else if _, known := o.seen[answers]; !known && greets(aws.ToString(i.PrivateIpAddress)) {
					o.note(answers)
				}
			}
		}
	}
	out, err := o.api.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: baked})
	if err != nil {
		return
	}
	for _, i := range out.Images {
		made := ami.From(i)
		if made.Created.After(o.since.Add(-time.Second)) && i.State == types.ImageStateAvailable {
			o.note(imaged)
		}
	}
}

// greets says whether an SSH server at the address says what it is.
func greets(addr string) bool {
	c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "22"), 50*time.Millisecond)
	if err != nil {
		return false
	}
	defer c.Close()
	word := make([]byte, len("SSH-"))
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // a connection takes one
	_, err = io.ReadFull(c, word)
	return err == nil && string(word) == "SSH-"
}

func (o *observer) note(step string) {
	if _, known := o.seen[step]; !known {
		o.seen[step] = time.Now()
	}
}

// slowImages has the gateway keep the next image pending.
func slowImages(ctx context.Context, delay time.Duration) error {
	body, err := json.Marshal(gateway.Rule{Service: "ec2", Action: "CreateImage", PendingFor: delay.String()})
	if err != nil {
		return fmt.Errorf("rendering the rule: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("AWS_ENDPOINT_URL")+"/_lab/faults", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("setting a rule of the gateway: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("setting a rule of the gateway: %w", err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)); resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("setting a rule of the gateway: it answers %s: %s", resp.Status, text)
	}
	return nil
}

// lagTable renders the medians, image waits by their length.
func lagTable(rounds []lagRound) string {
	var b strings.Builder
	b.WriteString("| change | bake-ami sees it after, s | a fixed poll every 5 s, s | bake-ami : fixed |\n|---|---:|---:|---:|\n")
	row := func(name, step string, of []lagRound) {
		ours, fixed := median(of, func(r lagRound) float64 { return r.ours[step] }), median(of, func(r lagRound) float64 { return r.fixed[step] })
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %.2f |\n", name, ours, fixed, ours/fixed)
	}
	row("the builder answers", answers, rounds)
	for _, d := range lagDelays() {
		var of []lagRound
		for _, r := range rounds {
			if r.delay == d {
				of = append(of, r)
			}
		}
		row(fmt.Sprintf("the image is available, %.1f s after the call", d.Seconds()), imaged, of)
	}
	row("the builder is terminated", cleaned, rounds)
	return b.String()
}
