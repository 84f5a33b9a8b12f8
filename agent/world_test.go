package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/release"
)

const testInstance = "i-0123456789abcdef0"

// world is everything around an agent, kept in memory, plus a root directory.
// It outlives the agents that run in it, as a machine outlives its processes.
type world struct {
	t     *testing.T
	root  string
	conf  agentconf.Config
	id    Identity
	store map[string][]byte // s3://bucket/key
	chef  *chefServer
	mu    sync.Mutex
	now   time.Time
	notes []string
	runs  []string // programs that were run, as "name arg arg"
	env   []string // that the Chef client was given
	opens []string // objects that were opened
	keys  int      // keys that were made

	// What may go wrong; nil and 0 mean all is well.
	chefRun    func(n int, out io.Writer) error // the n-th run of the Chef client, from 1
	systemctl  func(args []string, out io.Writer) error
	health     func(n int) (status int, err error)
	said       string // by the app, to the journal
	openErr    func(key string) error
	secretErr  error
	identErr   error
	trace      func(Point) error
	broker     func(context.Context, string, string) (Broker, error)
	secretHook func()
	notice     func(n int) (Notice, error) // the n-th look, from 1
	looks      int
	groups     fakeGroups
	beats      chan struct{} // lets one heartbeat through
	jump       time.Duration // of the clock, when it is set
	unset      int           // how often the clock is found not set yet
	chefRuns   int
	healthAsks int
	dialErr    error
	task       func(Command) error // what runs in a transient unit
}

// newWorld is a machine on which a first boot goes well.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, root: memoryDir(t), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), store: map[string][]byte{}, chef: newChefServer()}
	w.conf = agentconf.Config{
		Role: "web", Environment: "prod", BakeID: "01BAKE",
		Chef: agentconf.Chef{ServerURL: "http://chef.test", ValidationClient: "chef-validator", ValidatorKey: "ssm:/chef/validator", NodePrefix: "web-", RunList: []string{"role[web]"}},
		App: &agentconf.App{Name: "web", Bucket: "builds", Channel: "production", Root: "/srv/web", Unit: "web.service",
			Health: agentconf.Health{URL: "http://127.0.0.1:8080/healthz"}, PublicKeys: []string{testSigner().Public().String()}},
	}
	w.id = Identity{InstanceID: testInstance, Account: "123456789012", Region: "eu-west-1", Zone: "eu-west-1a", ImageID: "ami-1", Tags: map[string]string{TagGroup: "web-asg"}}
	w.write("/usr/bin/chef-client", "#!/bin/sh\n", 0o755)
	w.push("first build")
	return w
}

// memoryDir is a temporary directory in memory where there is one: the code
// under test syncs a lot, and a busy disk would make the suite slow.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "agent-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// write makes a file of the machine.
func (w *world) write(path, content string, mode os.FileMode) {
	w.t.Helper()
	path = filepath.Join(w.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		w.t.Fatal(err)
	}
}

// read returns a file of the machine, "" when it is not there.
func (w *world) read(path string) string {
	b, err := os.ReadFile(filepath.Join(w.root, path))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(b)
}

// push stores a build with one file of that content and points the channel at it.
func (w *world) push(content string) release.ID {
	w.t.Helper()
	dir := w.t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web"), []byte(content), 0o755); err != nil {
		w.t.Fatal(err)
	}
	var artefact bytes.Buffer
	p, err := release.Pack(context.Background(), dir, &artefact)
	if err != nil {
		w.t.Fatal(err)
	}
	w.store["s3://builds/"+release.ArtifactKey("web", p.ID)] = artefact.Bytes()
	w.putManifest(release.NewManifest("web", p, w.now))
	w.promote("production", p.ID)
	return p.ID
}

func (w *world) putManifest(m release.Manifest) {
	w.t.Helper()
	b, err := m.Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	w.store["s3://builds/"+release.ManifestKey("web", m.ID)] = w.sign(release.ManifestKind, b)
}

func (w *world) promote(channel string, id release.ID) {
	w.t.Helper()
	key := "s3://builds/" + release.ChannelKey("web", channel)
	c, err := release.ParseChannel(w.store[key])
	if err != nil {
		c = release.FirstChannel("web", channel)
	}
	b, err := c.Next(id, w.now, "test").Marshal()
	if err != nil {
		w.t.Fatal(err)
	}
	w.store[key] = w.sign(release.ChannelKind, b)
}

// agent makes a fresh agent: a new process on the same machine.
func (w *world) agent() *Agent {
	w.t.Helper()
	a, err := New(w.conf, Deps{
		Root: w.root, Metadata: w, Path: []string{"/opt/chef/bin", "/usr/bin"}, Runner: w, HTTP: w, Dial: w.dial, Disk: Filesystem{}, Clock: w, ClockSet: w.clockSet, Events: w, Trace: w.trace,
		Cloud: func(context.Context, string) (Cloud, error) {
			return Cloud{Secrets: w, Store: w, Papers: w, Groups: &w.groups, Stacks: &w.groups}, nil
		},
		Chef:   w.chef.dial,
		Broker: w.broker,
		NewKey: w.newKey,
	})
	if err != nil {
		w.t.Fatalf("making the agent: %v", err)
	}
	return a
}

// boot runs a first boot and wants it to end well.
func (w *world) boot() {
	w.t.Helper()
	if err := w.agent().FirstBoot(context.Background()); err != nil {
		w.t.Fatalf("first boot: %v\nnotes: %s", err, strings.Join(w.notes, "\n"))
	}
}

// journal reads the journal on disk.
func (w *world) journal() *Journal {
	w.t.Helper()
	j, err := readJournal(filepath.Join(w.root, agentconf.StateDir, "journal.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// testKeys are small keys, made once: real ones take a second each.
var testKeys = sync.OnceValue(func() []string {
	var keys []string
	for range 4 {
		k, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			panic(err)
		}
		keys = append(keys, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)})))
	}
	return keys
})

func (w *world) newKey() (private, public []byte, err error) {
	private = []byte(testKeys()[1+w.keys%3])
	w.keys++
	public, _, err = publicOf(private)
	return private, public, err
}

func (w *world) InstanceID(ctx context.Context) (string, error) {
	return w.id.InstanceID, errors.Join(ctx.Err(), w.identErr)
}
func (w *world) Identity(ctx context.Context) (Identity, error) {
	return w.id, errors.Join(ctx.Err(), w.identErr)
}
func (w *world) Notice(ctx context.Context) (Notice, error) {
	w.looks++
	if w.notice == nil {
		return Notice{}, ctx.Err()
	}
	n, err := w.notice(w.looks)
	return n, errors.Join(ctx.Err(), err)
}
func (w *world) Fetch(ctx context.Context, ref string) ([]byte, error) {
	if w.secretHook != nil {
		w.secretHook()
	}
	return []byte(testKeys()[0]), errors.Join(ctx.Err(), w.secretErr)
}

func (w *world) Open(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	w.opens = append(w.opens, key)
	if w.openErr != nil {
		if err := w.openErr(key); err != nil {
			return nil, err
		}
	}
	b, ok := w.store["s3://"+bucket+"/"+key]
	if !ok {
		return nil, fmt.Errorf("s3://%s/%s: %w", bucket, key, ErrNoObject)
	}
	return io.NopCloser(bytes.NewReader(b)), ctx.Err()
}

// Papers are left to the bucket of a fleet, but for reading what has no rollout.
func (w *world) Read(ctx context.Context, bucket, key string, _ Paper, _ int64) (Paper, error) {
	r, err := w.Open(ctx, bucket, key)
	if err != nil {
		return Paper{}, err
	}
	b, err := io.ReadAll(r)
	return Paper{Body: b, ETag: "one", Written: w.Now()}, err
}
func (w *world) List(context.Context, string, string) (Listing, error) {
	return Listing{}, errors.New("a world has no list")
}
func (w *world) Write(context.Context, string, string, string, []byte) error {
	return errors.New("a world takes nothing")
}

// Run plays the programs of the machine.
func (w *world) Run(ctx context.Context, c Command) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if c.Out == nil {
		c.Out = io.Discard
	}
	name := filepath.Base(c.Path)
	w.runs = append(w.runs, strings.Join(append([]string{name}, c.Args...), " "))
	switch {
	case name == "systemd-run":
		if w.task != nil {
			return w.task(c)
		}
	case name == "journalctl":
		fmt.Fprint(c.Out, w.said)
	case name != "systemctl":
		w.chefRuns++
		w.env = c.Env
		if w.chefRun != nil {
			return w.chefRun(w.chefRuns, c.Out)
		}
	case w.systemctl != nil:
		return w.systemctl(c.Args, c.Out)
	}
	return nil
}

func (w *world) Do(req *http.Request) (*http.Response, error) {
	w.healthAsks++
	status := http.StatusOK
	if w.health != nil {
		var err error
		if status, err = w.health(w.healthAsks); err != nil {
			return nil, err
		}
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Body: http.NoBody}, req.Context().Err()
}

func (w *world) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}
func (w *world) Sleep(ctx context.Context, d time.Duration) error {
	if d == heartbeat { // its own goroutine, which must not drive the clock
		select {
		case <-w.beats:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	return ctx.Err()
}
func (w *world) clockSet() (bool, error) {
	if w.unset--; w.unset == 3 {
		w.now = w.now.Add(w.jump)
	}
	return w.unset < 0, nil
}
func (w *world) StageStarted(s Stage) { w.notes = append(w.notes, string(s)+" started") }
func (w *world) StageDone(s Stage, _ time.Duration, err error) {
	w.Note(fmt.Sprint(s, " ended: ", err))
}
func (w *world) Note(line string)  { w.notes = append(w.notes, line) }
func (w *world) Output() io.Writer { return io.Discard }
