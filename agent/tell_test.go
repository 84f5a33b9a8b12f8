package agent

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// onNode is what the node says of the builds on the instance.
func (w *world) onNode() (running, lastGood any) {
	marker, _ := w.chef.nodes["web-"+testInstance].Normal[markerKey].(map[string]any)
	return marker["release"], marker["last_good"]
}

func (w *world) nodeSays(when, running, lastGood string) {
	w.t.Helper()
	if r, g := w.onNode(); r != running || g != lastGood {
		w.t.Errorf("%s the node says %v, last good %v; want %s, %s", when, r, g, running, lastGood)
	}
}

// deployctl gc keeps what nodes name, so it must be true after each deploy.
func TestTheNodeNamesWhatRunsAfterEveryDeployAndRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	first := w.journal().Build
	w.nodeSays("after first boot", first, first)
	second := string(w.push("second build"))
	if err := w.agent().Deploy(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.nodeSays("after a deploy", second, second)
	w.sick("sick build")
	if err := w.agent().Deploy(context.Background()); err == nil {
		t.Fatal("a sick build was deployed")
	}
	w.nodeSays("after a rollback", second, second)
	w.health = nil
	third := string(w.push("third build"))
	w.systemctl = func(args []string, _ io.Writer) error {
		if args[0] == "restart" {
			return &ExitError{Code: 1}
		}
		return nil
	}
	if err := w.agent().Deploy(context.Background()); err == nil {
		t.Fatal("a unit that does not start was deployed")
	}
	if r, g := w.onNode(); r != w.journal().Build || g != second || r == third {
		t.Errorf("after a rollback that failed the node says %v, last good %v; the journal %s", r, g, w.journal().Build)
	}
}

// watchFor runs the watcher for so long on the world's clock.
func (w *world) watchFor(d time.Duration) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	end := w.Now().Add(d)
	w.notice = func(int) (Notice, error) {
		if w.Now().After(end) {
			cancel()
		}
		return Notice{}, nil
	}
	if err := w.agent().Watch(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func TestADeployThatCannotTellTheNodeSucceedsAndIsToldLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	first, second := w.journal().Build, string(w.push("second build"))
	w.trace = func(p Point) error {
		if p == UnitStarted {
			w.chef.refuse = errors.New("503")
		}
		return nil
	}
	if err := w.agent().Deploy(context.Background()); err != nil {
		t.Fatalf("the deploy failed: %v", err)
	}
	if !strings.Contains(strings.Join(w.notes, "\n"), "the node was not told") {
		t.Errorf("notes are %q", w.notes)
	}
	w.nodeSays("before", first, first)
	w.watchFor(time.Minute)
	w.chef.refuse = nil
	w.watchFor(tellAgain)
	w.nodeSays("later", second, second)
	if !w.journal().nodeTold() {
		t.Error("the journal does not know that the node was told")
	}
}

// A chef-client whose run spans a deploy saves the attributes it had read.
func TestWhatAChefRunPutBackIsCorrected(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	stale := w.chef.nodes["web-"+testInstance]
	second := string(w.push("second build"))
	if err := w.agent().Deploy(context.Background()); err != nil {
		t.Fatal(err)
	}
	w.chef.nodes["web-"+testInstance] = stale
	w.watchFor(assureNode + 2*tellAgain)
	w.nodeSays("an hour later", second, second)
}

func TestTheWatcherLeavesANodeThatIsRightAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	before := w.chef.asked
	w.watchFor(assureNode - tellAgain)
	if w.chef.asked != before {
		t.Errorf("the Chef server was asked %d times", w.chef.asked-before)
	}
}
