//go:build e2e

package e2e

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/release/waves"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// holdHook keeps a guest in the middle of its turn for as long as a file of its
// own is there.
const holdHook = "#!/bin/sh\nwhile [ -e /etc/hold-the-turn ]; do sleep 0.2; done\n"

// results are S3's times of what the hosts of wave i said in a rollout, by host.
func (h *herd) results(ctx context.Context, id string, i int) (map[string]map[waves.State]time.Time, error) {
	prefix := waves.Plan{App: "web", Channel: h.channel, ID: id}.WavePrefix(i)
	client := s3.NewFromConfig(s.world.AWS, func(o *s3.Options) { o.UsePathStyle = true })
	out, err := client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String("bakehouse-builds"), Prefix: &prefix})
	if err != nil {
		return nil, err
	}
	said := map[string]map[waves.State]time.Time{}
	for _, o := range out.Contents {
		if host, state, ok := waves.ParseResultKey(aws.ToString(o.Key)); ok {
			if said[host] == nil {
				said[host] = map[waves.State]time.Time{}
			}
			said[host][state] = aws.ToTime(o.LastModified)
		}
	}
	return said, nil
}

// TestAGuestThatDiesInItsTurnIsPassed has hosts go one at a time, and the first of
// them die once its claim lies in the bucket: a hook of the build holds it there.
func TestAGuestThatDiesInItsTurnIsPassed(t *testing.T) {
	theStory(t)
	h := &herd{pulled: pulled{t: t, ctx: deadline(t, 8*time.Minute), channel: "mortal"}}
	h.push("mortal-1", nil)
	for range 3 {
		h.grow(t)
	}
	h.follow(t)
	build := h.held(t)
	args := []string{build, "--channel", h.channel, "--engine", "pull", "--hosts", h.hosts(), "--canary", "0", "--wave", "100%", "--parallel", "1",
		"--max-unhealthy", "1", "--host-timeout", "40s"}
	_, plan := h.rollout(t, nil, nil, append(slices.Clone(args), "--dry-run")...)
	if len(plan.Waves) != 1 || len(plan.Waves[0].Hosts) != 3 {
		t.Fatalf("the plan is %+v", plan)
	}
	first, second := plan.Waves[0].Hosts[0].Instance, plan.Waves[0].Hosts[1].Instance
	inGuest(t, first, "touch /etc/hold-the-turn")
	died := make(chan error, 1)
	operator := &watcher{text: "it goes on without this machine"}
	operator.act = func() { // it is called by the writer of buf
		_, tail, _ := strings.Cut(operator.buf.String(), "rollout ")
		go func() { died <- h.dies(tail[:12], first) }()
	}
	o, r := h.rollout(t, nil, operator, args...)
	if !operator.done {
		t.Fatalf("it did not begin: code %d\n%s", o.Code, o.Stderr)
	}
	if err := <-died; err != nil {
		t.Fatalf("ending %s: %v\n%s", first, err, o.Stderr)
	}
	if n := r.states(); o.Code != 0 || r.Phase != "done" || n["deployed"] != 2 || n["failed"] != 1 {
		t.Fatalf("code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	if dead := r.Waves[0].Hosts[0]; dead.Instance != first || dead.State != "failed" || dead.Problem != "it took its turn and gave no result within 1m10s" {
		t.Errorf("the report says of the dead one: %+v", dead)
	}
	h.guests = slices.DeleteFunc(h.guests, func(i story.Instance) bool { return i.ID == first })
	h.becomes(t, build, time.Minute)
	h.passed(t, r.ID, first, second)
}

// held pushes a build, live nowhere, that waits in guests that have the file.
func (h *herd) held(t *testing.T) string {
	t.Helper()
	aside := h.pulled
	aside.channel = h.channel + "-aside"
	return aside.push("mortal-2", map[string]string{".bakehouse/pre-install": holdHook})
}

// dies ends a guest once it has claimed its turn.
func (h *herd) dies(id, guest string) error {
	err := story.Until(h.ctx, 200*time.Millisecond, func() error {
		said, err := h.results(h.ctx, id, 0)
		if err == nil && said[guest] == nil {
			err = errors.New("it has not claimed its turn")
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.world.Terminate(h.ctx, guest)
}

// passed wants the dead one's turn to have lasted as long as the plan says, and
// the next one's to have come then.
func (h *herd) passed(t *testing.T, id, first, second string) {
	t.Helper()
	said, err := h.results(h.ctx, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != 3 || len(said[first]) != 1 || said[first][waves.Claimed].IsZero() {
		t.Fatalf("the hosts said %v, want the dead one to have claimed its turn and no more", said)
	}
	const turn = 40*time.Second + waves.Grace
	after := said[second][waves.Claimed].Sub(said[first][waves.Claimed])
	if after < turn || after > turn+5*time.Minute { // S3 tells whole seconds, and agents look every 5 to 7.5 s, or when they can
		t.Errorf("the next turn was taken %s after the dead one's, want %s and a few looks", after, turn)
	}
	t.Logf("the next turn was taken %s after the dead one's", after)
}
