package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// fails runs a first boot that must fail with kind, in one line that has all
// of words, and a next step.
func (w *world) fails(kind fault.Kind, words ...string) error {
	w.t.Helper()
	err := w.agent().FirstBoot(context.Background())
	if err == nil || fault.KindOf(err) != kind {
		w.t.Fatalf("first boot ended with %v (kind %d), want kind %d", err, fault.KindOf(err), kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			w.t.Errorf("error does not say %q: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		w.t.Errorf("error has more than one line: %q", err)
	}
	if fault.NextOf(err) == "" {
		w.t.Errorf("error names no next step: %v", err)
	}
	f := w.journal().Failure()
	if f == nil || f.Error != err.Error() || f.Next != fault.NextOf(err) {
		w.t.Errorf("the journal has failure %+v, want what the error says", f)
	}
	return err
}

func TestNameTakenByAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chef.clients["web-"+testInstance] = publicPEM(testKeys()[0])
	err := w.fails(fault.Chef, "web-"+testInstance, "not ours")
	if !strings.Contains(fault.NextOf(err), "knife client delete") {
		t.Errorf("next step is %q", fault.NextOf(err))
	}
	if w.chef.posts != 1 || len(w.chef.nodes) != 0 {
		t.Errorf("%d posts and %d nodes; a foreign name must be asked for once and left alone", w.chef.posts, len(w.chef.nodes))
	}
}

func TestChefServerOutOfReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chef.refuse = errors.New("dial tcp 10.0.0.1:443: connect: connection refused")
	err := w.fails(fault.Timeout, "connection refused", "giving up on http://chef.test after 10m0s (agent.register_within)")
	if !strings.Contains(fault.NextOf(err), "http://chef.test") {
		t.Errorf("next step does not name the server: %q", fault.NextOf(err))
	}
	w.chef.refuse = nil
	w.boot() // and the same instance gets there once the server is back
	if w.keys != 1 {
		t.Errorf("%d keys were made, want the first one kept", w.keys)
	}
}

func TestServerThatComesBackIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chef.refuse = errors.New("503 Service Unavailable")
	a := w.agent()
	a.deps.Clock = waker{w, func() { w.chef.refuse = nil }}
	if err := a.FirstBoot(context.Background()); err != nil {
		t.Fatalf("first boot: %v", err)
	}
	if len(w.chef.nodes) != 1 {
		t.Errorf("%d nodes, want 1", len(w.chef.nodes))
	}
}

// waker is the world's clock that does something whenever it is slept on.
type waker struct {
	*world
	do func()
}

func (k waker) Sleep(ctx context.Context, d time.Duration) error {
	k.do()
	return k.world.Sleep(ctx, d)
}

func TestValidatorKeyRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chef.clients["chef-validator"] = publicPEM(testKeys()[1])
	err := w.fails(fault.Chef, "chef-validator")
	if !strings.Contains(fault.NextOf(err), "ssm:/chef/validator") || !strings.Contains(fault.NextOf(err), "clock") {
		t.Errorf("next step is %q, want the key's source and the clock", fault.NextOf(err))
	}
}

func TestValidatorKeyNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.secretErr = fault.New(fault.AWS, "store it", errors.New("fetching ssm:/chef/validator: ParameterNotFound"))
	w.fails(fault.AWS, "ssm:/chef/validator", "ParameterNotFound")
}

func TestNodeThatExistsIsBroughtInLine(t *testing.T) {
	t.Parallel()
	name := "web-" + testInstance
	w := newWorld(t)
	w.chef.nodes[name] = chefapi.Node{Name: name, Environment: "_default", Normal: map[string]any{"kept": "yes"}}
	w.boot()
	n := w.chef.nodes[name]
	if n.Environment != "prod" || fmt.Sprint(n.RunList) != "[role[web]]" || n.Normal["kept"] != "yes" || n.Normal["bakehouse"] == nil {
		t.Errorf("node is %+v", n)
	}
}

func TestTagsWinOverTheImage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.id.Tags[TagEnvironment], w.id.Tags[TagChannel] = "staging", "canary"
	id := w.push("canary build")
	w.promote("canary", id)
	w.push("production build")
	w.boot()
	if env := w.chef.nodes["web-"+testInstance].Environment; env != "staging" || w.journal().Build != string(id) {
		t.Errorf("environment %q, build %s; want staging, %s", env, w.journal().Build, id)
	}
}

func TestNoChefClientInstalled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write("/usr/bin/chef-client", "", 0o644)
	if err := chmod(w, "/usr/bin/chef-client", 0o644); err != nil {
		t.Fatal(err)
	}
	w.fails(fault.Chef, "chef-client or cinc-client")
	if len(w.chef.clients) != 1 {
		t.Error("a machine that cannot converge registered all the same")
	}
}

func TestCincHasItsOwnDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.CAFile = "/etc/ssl/chef.pem"
	if err := remove(w, "/usr/bin/chef-client"); err != nil {
		t.Fatal(err)
	}
	w.write("/opt/chef/bin/cinc-client", "", 0o755)
	w.boot()
	if w.read("/etc/cinc/client.pem") == "" || w.read("/etc/chef/client.pem") != "" {
		t.Error("the key is not in /etc/cinc alone")
	}
	rb := w.read("/etc/cinc/client.rb")
	for _, want := range []string{"chef_server_url 'http://chef.test'\n", "node_name 'web-" + testInstance + "'\n", "/etc/cinc/client.pem'\n", "/etc/ssl/chef.pem'\n", "ssl_verify_mode :verify_peer\n"} {
		if !strings.Contains(rb, want) {
			t.Errorf("client.rb lacks %q:\n%s", want, rb)
		}
	}
}

func TestRubyStringsAreInert(t *testing.T) {
	t.Parallel()
	if got, want := ruby(`a'b\c#{d}`), `'a\'b\\c#{d}'`; got != want {
		t.Errorf("ruby quotes %s, want %s", got, want)
	}
}

func TestJournalThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"{", `{"version":99}`} {
		w := newWorld(t)
		w.write(agentconf.StateDir+"/journal.json", content, 0o644)
		err := w.agent().FirstBoot(context.Background())
		if fault.KindOf(err) != fault.Check || fault.NextOf(err) == "" || !strings.Contains(fmt.Sprint(err), "journal.json") {
			t.Errorf("journal %q: error is %v", content, err)
		}
	}
}
