//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

// plannedSteps asks bake-ami what a bake will do.
func plannedSteps(t *testing.T, role string, args ...string) []string {
	t.Helper()
	o := runBake(t, role, append(args, "--dry-run", "--output", "json")...)
	var plan struct {
		Steps []struct {
			Name string `json:"name"`
		} `json:"steps"`
	}
	if err := json.Unmarshal([]byte(o.Stdout), &plan); o.Code != 0 || err != nil || len(plan.Steps) < 8 {
		t.Fatalf("reading the plan: exit %d, %v\n%s%s", o.Code, err, o.Stdout, o.Stderr)
	}
	var names []string
	for _, step := range plan.Steps {
		names = append(names, step.Name)
	}
	return names
}

// runBake runs bake-ami to its end, whatever that is.
func runBake(t *testing.T, role string, args ...string) story.Outcome {
	t.Helper()
	return runTool(t, s.world.BakeTool(role, args...))
}

// runTool runs a tool to its end, whatever that is.
func runTool(t *testing.T, tool story.Tool) story.Outcome {
	t.Helper()
	o, err := s.world.Run(deadline(t, 3*time.Minute), tool)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// signaller sends a signal once, when a step starts.
type signaller struct {
	step    string
	signal  os.Signal
	mu      sync.Mutex
	process *os.Process
	sent    bool
	at      time.Time // when it was sent
	rest    []byte
}

// Write takes stderr's JSON lines as they come.
func (k *signaller) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.rest = append(k.rest, b...)
	for {
		i := bytes.IndexByte(k.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		var e struct{ Event, Step string }
		_ = json.Unmarshal(k.rest[:i], &e)
		k.rest = k.rest[i+1:]
		if e.Event == "step_started" && e.Step == k.step && !k.sent && k.process != nil {
			k.at = time.Now()
			k.sent = k.process.Signal(k.signal) == nil
		}
	}
}

// started keeps the process for later.
func (k *signaller) started(p *os.Process) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.process = p
}

var _ io.Writer = (*signaller)(nil)

func TestASignalInAnyStepLeavesNothing(t *testing.T) {
	steps := plannedSteps(t, "harmless")
	for i, step := range steps {
		t.Run(strings.ReplaceAll(step, " ", "-"), func(t *testing.T) {
			sig, code := os.Signal(syscall.SIGTERM), 143
			if i%4 == 3 { // Ctrl-C takes the same way; it gets its share of the steps
				sig, code = os.Interrupt, 130
			}
			interruptAt(t, s.world.BakeTool("harmless", "--output", "json"), step, sig, code, func() {})
		})
	}
}

// The steps that take an image elsewhere. Until it is kept, nothing of it stays
// in any region; from then on it stays, and what is not published is said.
func TestASignalWhileAnImageIsTakenElsewhere(t *testing.T) {
	uploadLaneRoles(t)
	g := &stage{role: laneRole(0), name: "signal-" + strings.ToLower(rand.Text()[:10])}
	if err := g.set(deadline(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.strike(deadline(t, 20*time.Second)); err != nil {
			t.Error(err)
		}
	}()
	plain, tried := plannedSteps(t, "harmless"), 0
	for _, step := range plannedSteps(t, g.role, g.args()...) {
		if slices.Contains(plain, step) {
			continue
		}
		tried++
		t.Run(step, func(t *testing.T) {
			code, stay := 143, 0
			if step == "publish" {
				code, stay = 8, 1
			}
			interruptAt(t, s.world.BakeTool(g.role, append(g.args(), "--output", "json")...), step, syscall.SIGTERM, code, func() { g.stays(t, stay) })
		})
	}
	if tried != 3 {
		t.Errorf("%d steps, want copy, share and publish", tried)
	}
}

// stays sees that so many images of the stage's role stay in each region, none
// of them with an expiry, and takes them away.
func (g *stage) stays(t *testing.T, want int) {
	t.Helper()
	for _, region := range regions() {
		images, snapshots := ours(t, region)
		made := 0
		for _, i := range images {
			k := ami.From(i)
			if k.Role != g.role || k.BakeID == oldBake {
				continue
			}
			made++
			if left, err := leftOf(deadline(t, 20*time.Second), k.BakeID); err != nil || len(left) > 0 {
				t.Errorf("%s: left of bake %s: %v, %v", region, k.BakeID, left, err)
			}
			defer removeImages(t, k.BakeID)
		}
		for _, sn := range snapshots {
			if want == 0 && slices.ContainsFunc(sn.Tags, func(tag types.Tag) bool { return aws.ToString(tag.Value) == g.role }) {
				t.Errorf("%s: snapshot %s stays", region, aws.ToString(sn.SnapshotId))
			}
		}
		if made != want {
			t.Errorf("%s: %d images stay, want %d", region, made, want)
		}
	}
}

// interruptAt bakes until step starts, sends sig, and looks at what is left,
// after what the caller has to look at itself.
func interruptAt(t *testing.T, bake story.Tool, step string, sig os.Signal, code int, look func()) {
	t.Helper()
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	k := &signaller{step: step, signal: sig}
	tool, calls := ownCalls(t, bake)
	tool.Live, tool.Started = k, k.started
	// The last steps may be quicker than a signal: this call is what each of them
	// has to get past, and none does.
	last := gateway.Rule{Service: "ec2", Action: "DeleteTags", Latency: "10m", Times: -1}
	if step == "publish" {
		last.Service, last.Action = "ssm", "PutParameter"
	}
	fault(t, tool, last)
	o := runTool(t, tool)
	if !k.sent {
		t.Fatalf("the step never started:\n%s", o.Stderr)
	}
	if o.Code != code {
		t.Errorf("exit code %d, want %d:\n%s", o.Code, code, tail(o.Stderr))
	}
	terminatedSoon(t, calls(), k.at)
	look()
	unchanged(t, before)
	if left := journals(t); len(left) > 0 {
		t.Errorf("the bake's journal is still there: %v", left)
	}
}

// terminatesWithin is how soon after a signal a bake asks EC2 to terminate its
// builder: Jenkins kills what still runs after five seconds.
const terminatesWithin = 5 * time.Second

// terminatedSoon sees that a builder, if one was launched, was terminated soon
// after the signal.
func terminatedSoon(t *testing.T, calls []gateway.Record, signalled time.Time) {
	t.Helper()
	launched := false
	for _, c := range calls {
		launched = launched || (c.Action == "RunInstances" && c.Status == http.StatusOK)
		if c.Action == "TerminateInstances" {
			took := c.Time.Sub(signalled)
			if took > terminatesWithin {
				t.Errorf("the builder was terminated %v after the signal", took)
			}
			t.Logf("terminated %v after the signal", took.Round(time.Millisecond))
			return
		}
	}
	if launched {
		t.Error("the builder was never terminated")
	}
}

// ownCalls gives a tool an access key of its own; calls are those it has made.
func ownCalls(t *testing.T, tool story.Tool) (own story.Tool, calls func() []gateway.Record) {
	t.Helper()
	key, began := "AKIA"+rand.Text()[:12], time.Now()
	tool.Env = append(slices.Clone(tool.Env), "AWS_ACCESS_KEY_ID="+key)
	return tool, func() (own []gateway.Record) {
		text, err := control(deadline(t, 10*time.Second), http.MethodGet, "calls?since="+url.QueryEscape(began.UTC().Format(time.RFC3339Nano)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
			var r gateway.Record
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				t.Fatal(err)
			}
			if r.Caller == key {
				own = append(own, r)
			}
		}
		return own
	}
}

// keyOf is the access key that ownCalls gave.
func keyOf(tool story.Tool) string {
	return strings.TrimPrefix(tool.Env[len(tool.Env)-1], "AWS_ACCESS_KEY_ID=")
}

// callsTo picks the calls of one action.
func callsTo(calls []gateway.Record, action string) (out []gateway.Record) {
	for _, c := range calls {
		if c.Action == action {
			out = append(out, c)
		}
	}
	return out
}

// tail returns the last lines of a text.
func tail(text string) string {
	var lines []string
	for sc := bufio.NewScanner(strings.NewReader(text)); sc.Scan(); {
		lines = append(lines, sc.Text())
	}
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
