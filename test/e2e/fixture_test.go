//go:build e2e

// Package e2e proves the main job with the built binaries, inside the lab
// (`lab run -- go test -tags e2e ./test/e2e`): every test asserts the state of
// the world that the tools leave, not what they say of it.
package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// launchKey is the public key that launches give in user-data; nobody holds
// its private half, the tests only look for it in the guest.
const launchKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJHrKQb0zZ5cQXyZB1vGm0H1V8mHqK5l4jD2xYcW3nVt launch@e2e"

// suite is what the tests share; TestMain makes it.
type suite struct {
	ctx   context.Context
	world *story.World
	once  sync.Once
	told  story1
	err   error

	saysWhy sync.Once
}

// story1 is one whole run of the main job, made once and only read by tests.
type story1 struct {
	before  story.Census // before the bake
	build   string       // id of the pushed build
	builder builder      // what was seen inside the bake's instance
	report  report       // bake-ami's report file
	inst    story.Instance
	answer  story.Answer
}

// builder is what identifies the bake's instance.
type builder struct{ machineID, hostKeys, authorizedKeys string }

// report is what the tests read of bake-ami's report file.
type report struct {
	BakeID    string   `json:"bake_id"`
	ImageID   string   `json:"image_id"`
	ImageName string   `json:"image_name"`
	Snapshots []string `json:"snapshots"`
	Region    string   `json:"region"`
	Tags      map[string]string
	Inputs    struct {
		Base struct{ ID string }
	}
	Steps []struct {
		Name    string  `json:"name"`
		Seconds float64 `json:"seconds"`
	} `json:"steps"`
}

var s suite

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "bakehouse-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		s.world, err = story.Open(ctx, dir)
	}
	for _, repo := range []string{".", "test/fixtures/chef-repo"} {
		if err == nil {
			_, err = s.world.Upload(ctx, repo)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: error:", err)
		return 1
	}
	s.ctx = ctx
	return m.Run()
}

// deadline gives a test its own bound, so that what hangs says where. d is
// ample on a quiet machine.
func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := within(s.ctx, d)
	t.Cleanup(cancel)
	return ctx
}

// within bounds work by d and what a slow or busy machine needs beyond: nothing
// is waited for longer than it takes, but for what never comes.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	d = max(2*d, min(5*d, 6*time.Minute))
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("waited %v", d))
}

// ending is within for clean-up, which goes on when the tests are interrupted.
func ending(d time.Duration) (context.Context, context.CancelFunc) {
	return within(context.Background(), d)
}

// theStory runs the main job once: push, bake, launch, answer.
func theStory(t *testing.T) story1 {
	t.Helper()
	s.once.Do(func() { s.told, s.err = tell(deadline(t, 4*time.Minute)) })
	if s.err != nil {
		s.saysWhy.Do(func() { t.Fatalf("the main job failed: %v", s.err) })
		t.Fatal("the main job failed; the first test that needed it says how")
	}
	return s.told
}

func tell(ctx context.Context) (r story1, err error) {
	w := s.world
	dir, err := w.Build("one")
	if err != nil {
		return r, err
	}
	if r.build, err = w.Push(ctx, dir, "production"); err != nil {
		return r, err
	}
	if r.before, err = w.Census(ctx); err != nil {
		return r, err
	}
	seen := watchBuilder(ctx)
	file := filepath.Join(w.Dir, "report.json")
	o, err := w.Run(ctx, w.BakeTool("web", "--report", file))
	if err != nil || o.Code != 0 {
		return r, fmt.Errorf("baking: exit %d, %v\n%s", o.Code, err, o.Stderr)
	}
	r.builder = <-seen
	if err := readJSON(file, &r.report); err != nil {
		return r, err
	}
	if r.report.ImageID == "" || o.LastLine() != r.report.ImageID {
		return r, fmt.Errorf("stdout ends in %q, the report says %q", o.LastLine(), r.report.ImageID)
	}
	r.inst, err = w.Start(ctx, story.Launch{ImageID: r.report.ImageID, UserData: "#cloud-config\nssh_authorized_keys:\n- " + launchKey + "\n"})
	if err != nil {
		return r, err
	}
	r.answer, err = w.Answers(ctx, r.inst.Addr)
	if err != nil {
		return r, errors.Join(err, errors.New(diagnose(r.inst.ID)))
	}
	return r, complete(ctx, r.inst.ID)
}

// complete waits until the agent's first boot is complete and the node was told
// so, which comes a moment after the agent calls it complete.
func complete(ctx context.Context, id string) error {
	return story.Until(ctx, 200*time.Millisecond, func() error {
		_, err := s.world.Guest(ctx, id, `boot-agent status --json && grep -q '"reported": true' /var/lib/bakehouse/journal.json`)
		return err
	})
}

// diagnose fetches what a person would look at when a guest does not come up.
func diagnose(id string) string {
	ctx, cancel := ending(10 * time.Second)
	defer cancel()
	out, err := s.world.Guest(ctx, id, "boot-agent status; cloud-init status --long; journalctl -b --no-pager -u bakehouse-first-boot -u bakehouse-watch -n 60; systemctl --failed --no-pager || true")
	return fmt.Sprintf("inside %s (%v):\n%s", id, err, out)
}

// watchBuilder looks into the bake's instance once it runs sshd, and delivers
// what it saw, or nothing when ctx ends first.
func watchBuilder(ctx context.Context) <-chan builder {
	seen := make(chan builder, 1)
	go func() {
		defer close(seen)
		var b builder
		err := story.Until(ctx, 300*time.Millisecond, func() error {
			id, err := runningBuilder(ctx)
			if err != nil {
				return err
			}
			out, err := s.world.Guest(ctx, id, `cloud-init status | grep -q done && cat /etc/machine-id && echo -- && cat /etc/ssh/ssh_host_*_key.pub && echo -- && cat /home/*/.ssh/authorized_keys`)
			if parts := strings.Split(out, "--\n"); err == nil && len(parts) == 3 {
				b = builder{strings.TrimSpace(parts[0]), parts[1], strings.TrimSpace(parts[2])}
				return nil
			}
			return fmt.Errorf("looking into the builder: %v %q", err, out)
		})
		if err == nil {
			seen <- b
		}
	}()
	return seen
}

// runningBuilder finds the running instance of a bake by its tag.
func runningBuilder(ctx context.Context) (string, error) {
	out, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{
		Filters: append(filter("tag-key", "bakehouse:bake-id"), filter("instance-state-name", "running")...)})
	if err != nil {
		return "", err
	}
	if len(out.Reservations) == 0 {
		return "", errors.New("no bake's instance runs")
	}
	return aws.ToString(out.Reservations[0].Instances[0].InstanceId), nil
}

// filter is one EC2 filter.
func filter(name string, values ...string) []types.Filter {
	return []types.Filter{{Name: aws.String(name), Values: values}}
}

// readJSON reads a JSON file into v.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// unchanged fails the test when the world holds something new.
func unchanged(t *testing.T, before story.Census) {
	t.Helper()
	gained(t, before, func(left story.Census) bool { return len(left) == 0 })
}

// onlyImage fails the test when the world holds something new but an image and
// its snapshot.
func onlyImage(t *testing.T, before story.Census, image string) {
	t.Helper()
	gained(t, before, func(left story.Census) bool {
		return len(left) == 2 && left[0] == "image "+image && strings.HasPrefix(left[1], "snapshot ")
	})
}

// gained judges what the world holds beyond what it did. AWS and Chef both
// settle a moment after a call, so it looks again for a while.
func gained(t *testing.T, before story.Census, fine func(story.Census) bool) {
	t.Helper()
	err := story.Until(deadline(t, 10*time.Second), 300*time.Millisecond, func() error {
		now, err := s.world.Census(s.ctx)
		if err != nil {
			return err
		}
		if left := now.Since(before); !fine(left) {
			return fmt.Errorf("left behind: %v", left)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
