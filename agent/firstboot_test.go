package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// endState is what must be the same however a first boot came about.
type endState struct {
	States  map[Stage]State
	Current string
	Files   []string // below the app's root
	Node    chefapi.Node
	Nodes   int
	Clients int
	KeyOK   bool // the server has the public half of the key on disk
	KeyMode fs.FileMode
	RB      string
	Started bool
	Temps   []string
}

func (w *world) endState() endState {
	w.t.Helper()
	s := endState{States: map[Stage]State{}, Nodes: len(w.chef.nodes), Clients: len(w.chef.clients)}
	for _, r := range w.journal().Stages {
		s.States[r.Stage] = r.State
	}
	name := "web-" + w.id.InstanceID
	s.Node = w.chef.nodes[name]
	if marker, ok := s.Node.Normal[markerKey].(map[string]any); ok {
		if boot, ok := marker["first_boot"].(map[string]any); ok { // when, and how long, is not the end state
			s.Node.Normal = merged(s.Node.Normal, map[string]any{markerKey: map[string]any{"first_boot": map[string]any{"state": boot["state"], "release": boot["release"], "seconds": nil, "reported": nil}}})
		}
	}
	s.Current, _ = os.Readlink(filepath.Join(w.root, "srv/web/current"))
	key := filepath.Join(w.root, "etc/chef/client.pem")
	if private := w.read("/etc/chef/client.pem"); private != "" {
		s.KeyOK = publicPEM(private) == w.chef.clients[name]
	}
	if info, err := os.Stat(key); err == nil {
		s.KeyMode = info.Mode()
	}
	s.RB = strings.ReplaceAll(w.read("/etc/chef/client.rb"), w.root, "")
	s.Started = slices.Contains(w.runs, "systemctl restart web.service")
	err := filepath.WalkDir(w.root, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(w.root, path)
		if strings.HasPrefix(d.Name(), tmpMark) {
			s.Temps = append(s.Temps, rel)
		}
		if strings.HasPrefix(rel, "srv/web") {
			s.Files = append(s.Files, rel)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// reference is the end state of a first boot that nothing disturbs.
func reference(t *testing.T) endState {
	t.Helper()
	w := newWorld(t)
	w.boot()
	return w.endState()
}

func TestFirstBootRunsTheWholeChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var points []Point
	w.trace = func(p Point) error { points = append(points, p); return nil }
	w.boot()
	if !slices.Equal(points, Points()) {
		t.Errorf("points passed:\n%q\nwant those that Points lists:\n%q", points, Points())
	}
	s := w.endState()
	if !s.KeyOK || s.KeyMode != 0o600 {
		t.Errorf("client key: known to the server %v, mode %v; want true, 0600", s.KeyOK, s.KeyMode)
	}
	if len(s.Temps) > 0 {
		t.Errorf("unfinished files are left: %q", s.Temps)
	}
	want := chefapi.Node{Name: "web-" + testInstance, Environment: "prod", RunList: []string{"role[web]"}, Normal: map[string]any{"bakehouse": map[string]any{
		"instance_id": testInstance, "account": "123456789012", "region": "eu-west-1", "zone": "eu-west-1a",
		"group": "web-asg", "role": "web", "image_id": "ami-1", "bake_id": "01BAKE",
		"release": w.journal().Build, "last_good": w.journal().Build,
		"first_boot": map[string]any{"state": Complete, "release": w.journal().Build, "last_good": w.journal().Build, "seconds": nil, "reported": nil}}}}
	if !reflect.DeepEqual(s.Node, want) {
		t.Errorf("node is\n%+v\nwant\n%+v", s.Node, want)
	}
	id := w.journal().Build
	if s.Current != "releases/"+id || w.read("/srv/web/current/RELEASE") != id+"\n" || w.read("/srv/web/current/web") != "first build" {
		t.Errorf("current is %q with RELEASE %q; want build %s", s.Current, w.read("/srv/web/current/RELEASE"), id)
	}
	if got := w.runs[0]; got != "chef-client -c "+w.root+"/etc/chef/client.rb --no-color --once" {
		t.Errorf("the Chef client was run as %q", got)
	}
}

func TestFirstBootTwiceDoesNothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	runs, opens, posts, before := len(w.runs), len(w.opens), w.chef.posts, w.read(agentconf.StateDir+"/journal.json")
	w.boot()
	if len(w.runs) != runs || len(w.opens) != opens || w.chef.posts != posts {
		t.Errorf("a second first boot ran %q, opened %q", w.runs[runs:], w.opens[opens:])
	}
	if w.read(agentconf.StateDir+"/journal.json") != before {
		t.Error("a second first boot changed the journal")
	}
}

// kill stands for a SIGKILL at a point.
var errKilled = errors.New("killed")

// killAt aborts the first run that reaches p.
func killAt(p Point) func(Point) error {
	done := false
	return func(at Point) error {
		if at == p && !done {
			done = true
			return errKilled
		}
		return nil
	}
}

func TestKilledAnywhereEndsInTheSameState(t *testing.T) {
	t.Parallel()
	want := reference(t)
	for _, p := range Points() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.trace = killAt(p)
			if err := w.agent().FirstBoot(context.Background()); !errors.Is(err, errKilled) {
				t.Fatalf("the first run ended with %v, want it killed", err)
			}
			if f := w.journal().Failure(); f != nil {
				t.Errorf("a killed run wrote down a failure: %+v", f)
			}
			w.boot()
			if got := w.endState(); !reflect.DeepEqual(got, want) {
				t.Errorf("end state after the kill is\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestKilledTwiceEndsInTheSameState(t *testing.T) {
	t.Parallel()
	want := reference(t)
	for i, p := range Points() {
		for _, q := range Points()[i:] {
			w := newWorld(t)
			for _, at := range []Point{p, q} {
				w.trace = killAt(at)
				_ = w.agent().FirstBoot(context.Background())
			}
			w.trace = nil
			w.boot()
			if got := w.endState(); !reflect.DeepEqual(got, want) {
				t.Errorf("end state after kills at %q and %q is\n%+v\nwant\n%+v", p, q, got, want)
			}
		}
	}
}

func TestStoppedAnywhereEndsInTheSameState(t *testing.T) {
	t.Parallel()
	want := reference(t)
	for _, p := range Points() {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			w.trace = func(at Point) error {
				if at == p {
					cancel()
				}
				return nil
			}
			_ = w.agent().FirstBoot(ctx)
			if f := w.journal().Failure(); f != nil {
				t.Errorf("a stopped run wrote down a failure: %+v", f)
			}
			w.trace = nil
			w.boot()
			if got := w.endState(); !reflect.DeepEqual(got, want) {
				t.Errorf("end state is\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

func TestStateOfAnotherInstanceIsDiscarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot() // on the instance that the image was taken of
	baked := w.read("/etc/chef/client.pem")
	w.id.InstanceID = "i-0fedcba9876543210"
	w.boot()
	if w.read("/etc/chef/client.pem") == baked {
		t.Error("the key of the other instance is still in use")
	}
	if j := w.journal(); j.InstanceID != w.id.InstanceID || !j.Complete() || j.record(Register).Runs != 1 {
		t.Errorf("journal is %+v, want a complete one of %s", j, w.id.InstanceID)
	}
	if len(w.chef.nodes) != 2 || !w.endState().KeyOK {
		t.Errorf("nodes: %v; want one per instance, each with its own key", len(w.chef.nodes))
	}
}

func TestForeignKeyWithoutAJournalIsDiscarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("/etc/chef/client.pem", testKeys()[0], 0o600)
	w.write("/etc/cinc/client.pem", "not even a key", 0o644)
	w.boot()
	if !w.endState().KeyOK || w.read("/etc/chef/client.pem") == testKeys()[0] || w.read("/etc/cinc/client.pem") != "" {
		t.Error("a key that came with the image is still there")
	}
}

func TestImageWithoutAppSkipsPullAndStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App = nil
	w.boot()
	if j := w.journal(); j.record(Pull).State != Skipped || j.record(Start).State != Skipped {
		t.Errorf("stages: %+v", j.Stages)
	}
	if len(w.opens) > 0 {
		t.Errorf("objects were read: %q", w.opens)
	}
	if err := w.agent().Deploy(context.Background()); fault.KindOf(err) != fault.Usage {
		t.Errorf("deploy without an app: %v, want a usage error", err)
	}
}

func TestMetadataServiceOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.identErr = errors.New("connection refused")
	err := w.agent().FirstBoot(context.Background())
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "metadata") {
		t.Errorf("error is %v (%v), want one of kind AWS that names the metadata service", err, fault.NextOf(err))
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*agentconf.Config){
		"chef.server_url":        func(c *agentconf.Config) { c.Chef.ServerURL = "chef.test" },
		"chef.validation_client": func(c *agentconf.Config) { c.Chef.ValidationClient = "" },
		"chef.node_prefix":       func(c *agentconf.Config) { c.Chef.NodePrefix = "a/b" },
		"chef.run_list":          func(c *agentconf.Config) { c.Chef.RunList = nil },
		"chef.validator_key":     func(c *agentconf.Config) { c.Chef.ValidatorKey = "/etc/chef/validation.pem" },
		"app.bucket":             func(c *agentconf.Config) { c.App.Bucket = "" },
		"app.unit":               func(c *agentconf.Config) { c.App.Unit = "" },
		"app.public_keys":        func(c *agentconf.Config) { c.App.PublicKeys = nil },
		"parsing public key":     func(c *agentconf.Config) { c.App.PublicKeys = []string{"ed25519:short"} },
		"app.root":               func(c *agentconf.Config) { c.App.Root = "/" },
	} {
		w := newWorld(t)
		spoil(&w.conf)
		_, err := New(w.conf, Deps{})
		if fault.KindOf(err) != fault.Usage || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s spoilt: error is %v, want a usage error that names it", want, err)
		}
	}
}
