package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func (w *world) status() Status {
	w.t.Helper()
	st, err := ReadStatus(w.root, w.conf, w.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return st
}

func TestStatusFollowsTheChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if st := w.status(); st.State != NotStarted || len(st.Stages) != 5 {
		t.Errorf("before: %+v", st)
	}
	w.trace = func(p Point) error {
		if p == KeyRecorded {
			if st := w.status(); st.State != AtWork || st.Stages[1].State != Running {
				t.Errorf("at work: %+v", st)
			}
		}
		return killAt(ClientCreated)(p)
	}
	_ = w.agent().FirstBoot(context.Background())
	if st := w.status(); st.State != Interrupted {
		t.Errorf("killed: %+v", st)
	}
	w.trace, w.chefRun = nil, exits(43)
	_ = w.agent().FirstBoot(context.Background())
	if st := w.status(); st.State != Broken || !strings.Contains(st.Why, "exit code 43") || st.Next == "" || len(st.Log) == 0 || st.Current != "" {
		t.Errorf("failed: %+v", st)
	}
	w.boot()
	if st := w.status(); st.State != Complete || st.Why != "" || st.Current != w.journal().Build || st.InstanceID != testInstance || st.Group != "web-asg" {
		t.Errorf("complete: %+v", st)
	}
}

func TestStatusText(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chefRun = exits(43)
	_ = w.agent().FirstBoot(context.Background())
	var out bytes.Buffer
	if err := w.status().Text(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first boot  failed\n", "instance    " + testInstance, "converge  failed", "pull      pending", "\nwhy:  converging with chef-client", "\nnext: see ", "  [2026] FATAL: run 1 broke\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("status lacks %q:\n%s", want, out.String())
		}
	}
}

func TestStatusJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	b, err := json.Marshal(w.status())
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		State   string `json:"state"`
		Current string `json:"current"`
		Peak    int64  `json:"peak_rss_kib"`
		Stages  []struct {
			Stage, State, Started, Ended string
			Seconds                      float64
			Runs                         int
		} `json:"stages"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.State != "complete" || got.Current == "" || len(got.Stages) != 5 || got.Stages[4].Stage != "start" || got.Stages[4].Runs != 1 || got.Peak == 0 {
		t.Errorf("status is %s", b)
	}
	if _, err := time.Parse(time.RFC3339Nano, got.Stages[2].Ended); err != nil {
		t.Errorf("converge ended at %q: %v", got.Stages[2].Ended, err)
	}
}

func TestInterruptedDeployShowsInTheStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	w.push("second build")
	w.trace = func(p Point) error {
		if p != Switched {
			return nil
		}
		if st := w.status(); st.Why != "" {
			t.Errorf("at work, it says %q", st.Why)
		}
		return errKilled
	}
	_ = w.agent().Deploy(context.Background())
	if st := w.status(); st.State != Complete || !strings.Contains(st.Why, "a deploy was interrupted") || st.Next != "boot-agent deploy, or reboot" {
		t.Errorf("interrupted: %s, %q, next %q", st.State, st.Why, st.Next)
	}
}

func TestFailedDeployShowsInTheStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.boot()
	w.conf.App.Owner = "nobody-of-that-name"
	w.push("second build")
	_ = w.agent().Deploy(context.Background())
	var out bytes.Buffer
	st := w.status()
	if err := st.Text(&out); err != nil {
		t.Fatal(err)
	}
	if st.State != Complete || !strings.Contains(out.String(), "deploy (pull)") || !strings.Contains(out.String(), "why:  giving ") {
		t.Errorf("status is\n%s", out.String())
	}
}
