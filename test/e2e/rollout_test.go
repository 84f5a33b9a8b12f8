//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/test/story"

	"golang.org/x/crypto/ssh"
)

// web is a fleet of guests that deployctl may log in to.
type web struct {
	image, userData, key string
	guests               []story.Instance
}

// rolled is what the tests read of the JSON report.
type rolled struct {
	ID, Phase, Reason string
	Build, Previous   string
	Waves             []struct {
		Name  string
		Hosts []struct{ Instance, State, Problem string }
	}
}

func (r rolled) states() map[string]int {
	n := map[string]int{}
	for _, w := range r.Waves {
		for _, h := range w.Hosts {
			n[h.State]++
		}
	}
	return n
}

// newWeb launches n guests from the story's image.
func newWeb(t *testing.T, n int) *web {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	line, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "operator")
	if err != nil {
		t.Fatal(err)
	}
	w := &web{image: theStory(t).report.ImageID, key: filepath.Join(t.TempDir(), "id"),
		userData: "#cloud-config\nssh_authorized_keys:\n- " + string(ssh.MarshalAuthorizedKey(line))}
	if err := os.WriteFile(w.key, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	for range n {
		w.launch(t)
	}
	w.ready(t)
	return w
}

func (w *web) launch(t *testing.T) story.Instance {
	t.Helper()
	i, err := s.world.Start(deadline(t, time.Minute), story.Launch{ImageID: w.image, UserData: w.userData})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.world.Terminate(s.ctx, i.ID); err != nil {
			t.Error(err)
		}
	})
	w.guests = append(w.guests, i)
	return i
}

// ready waits until every guest's first boot is complete.
func (w *web) ready(t *testing.T) {
	t.Helper()
	for _, g := range w.guests {
		if err := complete(deadline(t, 2*time.Minute), g.ID); err != nil {
			t.Fatal(diagnose(g.ID))
		}
	}
}

// rollout runs deployctl rollout on the fleet and reads its report.
func (w *web) rollout(t *testing.T, started func(*os.Process), live *watcher, args ...string) (story.Outcome, rolled) {
	t.Helper()
	tool := story.Tool{Name: "deployctl", Started: started, Args: append([]string{"rollout", "--config", s.world.Config, "--app", "web",
		"--environment", "_default", "--ssh-key", w.key, "-o", "json", "--wave", "1"}, args...)}
	if live != nil {
		tool.Live = live
	}
	o, err := s.world.Run(deadline(t, 4*time.Minute), tool)
	if err != nil {
		t.Fatal(err)
	}
	var r rolled
	if strings.TrimSpace(o.Stdout) != "" {
		if err := json.Unmarshal([]byte(o.Stdout), &r); err != nil {
			t.Fatalf("reading the report: %v\n%s", err, o.Stdout)
		}
	}
	return o, r
}

// hosts is the value of --hosts that names the fleet alone: the lab has other
// guests, too.
func (w *web) hosts() string {
	var ids []string
	for _, g := range w.guests {
		ids = append(ids, g.ID)
	}
	return strings.Join(ids, ",")
}

// answer fails the test unless every guest answers with build.
func (w *web) answer(t *testing.T, build string) {
	t.Helper()
	for _, g := range w.guests {
		a, err := s.world.Answers(deadline(t, 30*time.Second), g.Addr)
		if err != nil || a.Release != build {
			t.Errorf("%s answers with %s (%v), want %s", g.ID, a.Release, err, build)
		}
	}
}

// pushed pushes a new build, which is live nowhere; broken makes its health
// check fail.
func pushed(t *testing.T, note string, broken bool) string {
	t.Helper()
	dir, err := s.world.Build(note)
	if err != nil {
		t.Fatal(err)
	}
	if broken {
		if err := os.WriteFile(filepath.Join(dir, "UNHEALTHY"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.world.Run(deadline(t, time.Minute), story.Tool{Name: "deployctl", Args: []string{"push", dir, "--config", s.world.Config, "--app", "web"}})
	if err != nil || o.Code != 0 {
		t.Fatalf("pushing: %v\n%s", err, o.Stderr)
	}
	return o.LastLine()
}

// liveBuild is the build of the channel production.
func liveBuild(t *testing.T) string {
	t.Helper()
	return builtOn(t, "production")
}

// builtOn is the build that a channel points at.
func builtOn(t *testing.T, channel string) string {
	t.Helper()
	o, err := s.world.Run(deadline(t, 30*time.Second), story.Tool{Name: "deployctl", Args: []string{"show", "--config", s.world.Config, "--app", "web", "--channel", channel, "-o", "json"}})
	if err != nil || o.Code != 0 {
		t.Fatalf("asking for the live build: %v\n%s", err, o.Stderr)
	}
	var l struct{ Channel struct{ Build string } }
	if err := json.Unmarshal([]byte(o.Stdout), &l); err != nil {
		t.Fatal(err)
	}
	return l.Channel.Build
}

// watcher calls act once, when text is written to it.
type watcher struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	text string
	act  func()
	done bool
}

func (w *watcher) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if !w.done && strings.Contains(w.buf.String(), w.text) {
		w.done = true
		w.act()
	}
	return len(p), nil
}

func TestARolloutOfRealGuests(t *testing.T) {
	before := theStory(t).build
	w := newWeb(t, 3)
	w.answer(t, before)
	good := pushed(t, "rollout-good", false)
	o, r := w.rollout(t, nil, nil, good, "--hosts", w.hosts())
	if o.Code != 0 || r.Phase != "done" || r.states()["deployed"] != 3 || len(r.Waves) != 3 || r.Previous != before {
		t.Fatalf("v1 → v2: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	w.answer(t, good)

	bad := pushed(t, "rollout-bad", true)
	junit := filepath.Join(t.TempDir(), "junit.xml")
	o, r = w.rollout(t, nil, nil, bad, "--hosts", w.hosts(), "--junit", junit)
	if o.Code != 4 || r.Phase != "rolled back" || !strings.Contains(r.Reason, "the canary failed: ") || !strings.Contains(r.Reason, "503") {
		t.Errorf("a bad build: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	if n := r.states(); n["restored"] != 1 || n["pending"] != 2 {
		t.Errorf("a bad build: states %v", n)
	}
	if b, err := os.ReadFile(junit); err != nil || !bytes.Contains(b, []byte(`failures="1" skipped="2"`)) {
		t.Errorf("JUnit report: %v\n%s", err, b)
	}
	if got := liveBuild(t); got != good {
		t.Errorf("the channel is at %s, want %s", got, good)
	}
	w.answer(t, good)
	w.killed(t, good, before)
}

// killed ends one operator by SIGKILL in the middle, lets a second one try, and
// goes on with the first one's rollout while a new guest boots.
func (w *web) killed(t *testing.T, good, before string) {
	t.Helper()
	// Every web guest is meant, the newcomer too; those of other tests refuse
	// the key, and are borne with.
	all := []string{"--canary", "0", "--max-unhealthy", "20"}
	process := make(chan *os.Process, 1)
	kill := &watcher{text: `"wave 2"`, act: func() { _ = (<-process).Kill() }}
	o, _ := w.rollout(t, func(p *os.Process) { process <- p }, kill, append(all, before)...)
	if o.Code != -1 {
		t.Fatalf("the operator was not killed: code %d\n%s", o.Code, o.Stderr)
	}
	_, tail, _ := strings.Cut(o.Stderr, "rollout ")
	id := tail[:12]
	o, _ = w.rollout(t, nil, nil, good)
	if o.Code != 4 || !strings.Contains(o.Stderr, "rollout "+id+" of ") {
		t.Errorf("a second operator: code %d\n%s", o.Code, o.Stderr)
	}
	late := w.launch(t)
	o, r := w.rollout(t, nil, nil, "--resume", id)
	if o.Code != 0 || r.Phase != "done" || r.ID != id {
		t.Fatalf("resumed: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	w.ready(t)
	w.answer(t, before)
	if n := r.states()["deployed"]; n != 3 && n != 4 { // the newcomer may not have been a node yet
		t.Errorf("%s came late; states %v", late.ID, r.states())
	}
}

func TestARolloutWithoutHostsIsRefused(t *testing.T) {
	theStory(t)
	now := liveBuild(t)
	for _, args := range [][]string{{"--role", "nobody"}, {"--hosts", "i-00000000"}} {
		o, err := s.world.Run(deadline(t, time.Minute), story.Tool{Name: "deployctl", Args: append([]string{"rollout", now, "--config", s.world.Config, "--app", "web"}, args...)})
		if err != nil || o.Code != 4 || !strings.Contains(o.Stderr, "choosing hosts: ") {
			t.Errorf("%v: code %d, %v\n%s", args, o.Code, err, o.Stderr)
		}
	}
}
