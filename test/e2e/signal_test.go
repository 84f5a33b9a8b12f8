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

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

// plannedSteps asks bake-ami what a bake will do.
func plannedSteps(t *testing.T) []string {
	t.Helper()
	o := runBake(t, "harmless", "--dry-run", "--output", "json") // what the signals are sent to
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
	steps := plannedSteps(t)
	for i, step := range steps {
		t.Run(strings.ReplaceAll(step, " ", "-"), func(t *testing.T) {
			sig, code := os.Signal(syscall.SIGTERM), 143
			if i%4 == 3 { // Ctrl-C takes the same way; it gets its share of the steps
				sig, code = os.Interrupt, 130
			}
			interruptAt(t, step, sig, code)
		})
	}
}

// interruptAt bakes until step starts, sends sig, and looks at what is left.
func interruptAt(t *testing.T, step string, sig os.Signal, code int) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	k := &signaller{step: step, signal: sig}
	tool, calls := ownCalls(t, s.world.BakeTool("harmless", "--output", "json"))
	tool.Live, tool.Started = k, k.started
	o := runTool(t, tool)
	if !k.sent {
		t.Fatalf("the step never started:\n%s", o.Stderr)
	}
	if o.Code != code {
		t.Errorf("exit code %d, want %d:\n%s", o.Code, code, tail(o.Stderr))
	}
	terminatedSoon(t, calls(), k.at)
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
