package deploy

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
)

// canvas keeps the last picture of each wave, and how many hosts were under way at most.
type canvas struct {
	silent
	mu    sync.Mutex
	last  map[string]string
	notes map[string]string
	most  int
	lines []string
}

func (c *canvas) StepProgress(name, detail string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, name+": "+detail)
}

func (c *canvas) StepHosts(name string, signs []Sign, note ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, under := "", 0
	for _, s := range signs {
		text += string(".o+<x"[s])
		if s == SignUnderWay {
			under++
		}
	}
	c.most = max(c.most, under)
	c.last[name] = text
	if c.notes[name] == "" || !strings.Contains(c.notes[name], strings.Join(note, "|")) {
		c.notes[name] += strings.Join(note, "|") + "\n"
	}
}

func TestTheBoardShowsEachHost(t *testing.T) {
	t.Parallel()
	f, hosts := newFleet(8)
	f.bad["i-04"] = true
	x, board := f.executor(), &canvas{last: map[string]string{}, notes: map[string]string{}}
	x.Board = board
	r := planned(hosts, Strategy{Canary: Amount{N: 1}, Wave: Amount{N: 3}, Parallel: 2, MaxUnhealthy: Amount{N: 0}})
	if err := x.Run(context.Background(), r); err == nil || r.Phase != RolledBack {
		t.Fatalf("%v, %s", err, r.Phase)
	}
	if board.last["canary"] != "+" || board.last["wave 1"] != "+++" || !strings.HasPrefix(board.last["wave 2"], "x") || strings.Trim(board.last["rollback"], "<") != "" {
		t.Errorf("the pictures are %v", board.last)
	}
	if board.most > 2 || board.most == 0 {
		t.Errorf("%d hosts were shown under way, want 1 or 2", board.most)
	}
	if n := board.notes["wave 1"]; !strings.Contains(n, "then wave 2 (3), wave 3 (1); all in about ") || !strings.Contains(board.notes["wave 2"], "failed: i-04 (10.0.0.1): not healthy after 60s") {
		t.Errorf("the notes are %q and %q", n, board.notes["wave 2"])
	}
	if lines := strings.Join(board.lines, "\n"); !strings.Contains(lines, "wave 1: 1/3, 0 failed, 1.0 hosts/s, 2s to go") {
		t.Errorf("rate and time to go are\n%s", lines)
	}
	if n := board.notes["rollback"]; strings.Contains(n, "then ") {
		t.Errorf("a way back has no later waves: %q", n)
	}
}

func TestLaterWavesAreNamedInOneLine(t *testing.T) {
	t.Parallel()
	_, hosts := newFleet(20)
	r := planned(hosts, Strategy{Wave: Amount{N: 2}})
	if n, text := r.after("wave 2"); n != 16 || text != "wave 3 (2), wave 4 (2), wave 5 (2), wave 6 (2), and 4 more" {
		t.Errorf("%d, %s", n, text)
	}
	if n, text := r.after("wave 10"); n != 0 || text != "" || !slices.ContainsFunc(r.Waves, func(w Wave) bool { return w.Name == "wave 10" }) {
		t.Errorf("%d, %s", n, text)
	}
}
