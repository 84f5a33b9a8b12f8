package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

func TestTheNodeIsToldWhereTheInstanceStands(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Attributes = map[string]any{"kept": "yes"}
	w.boot()
	n := w.chef.nodes["web-"+testInstance]
	marker, _ := n.Normal[markerKey].(map[string]any)
	boot, _ := marker["first_boot"].(map[string]any)
	if boot["state"] != Complete || boot["release"] != w.journal().Build || boot["last_good"] != w.journal().Build || marker["bake_id"] != "01BAKE" || n.Normal["kept"] != "yes" {
		t.Errorf("normal attributes are %v", n.Normal)
	}
	if took, _ := boot["seconds"].(map[string]any); len(took) != len(Stages()) {
		t.Errorf("durations are %v", boot["seconds"])
	}
}

func TestTheNodeIsToldWhatFailed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.openErr = func(string) error { return fault.Newf(fault.Check, "push it again", "no such build") }
	if err := w.agent().FirstBoot(context.Background()); err == nil {
		t.Fatal("first boot went well")
	}
	marker, _ := w.chef.nodes["web-"+testInstance].Normal[markerKey].(map[string]any)
	boot, _ := marker["first_boot"].(map[string]any)
	if boot["state"] != Broken || boot["failed_stage"] != "pull" || !strings.Contains(fmt.Sprint(boot["why"]), "no such build") {
		t.Errorf("attributes are %v", boot)
	}
}

func TestANodeThatCannotBeToldIsOnlyNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trace = func(p Point) error {
		if p == UnitStarted {
			w.chef.refuse = errors.New("503")
		}
		return nil
	}
	w.boot()
	if !strings.Contains(strings.Join(w.notes, "\n"), "the node was not told") {
		t.Errorf("notes are %q", w.notes)
	}
}

func TestEachStageIsObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.agent()
	var seen []string
	a.deps.Observe = func(o Outcome) {
		if o.Instance != testInstance || o.Role != "web" {
			t.Errorf("outcome is %+v", o)
		}
		seen = append(seen, string(o.Stage)+" "+string(o.State))
	}
	if err := a.FirstBoot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(seen, ", "); got != "identify done, register done, converge done, pull done, start done" {
		t.Errorf("seen: %s", got)
	}
}

func TestOutcomesAsJournalEntries(t *testing.T) {
	t.Parallel()
	o := Outcome{Stage: Converge, State: Failed, Instance: "i-1", Took: time.Second, Err: fault.Newf(fault.Chef, "look", "one\ntwo")}
	got := string(o.Journal())
	for _, want := range []string{"PRIORITY=3\n", "SYSLOG_IDENTIFIER=boot-agent\n", "BAKEHOUSE_STAGE=converge\n", "BAKEHOUSE_STATE=failed\n", "BAKEHOUSE_MS=1000\n",
		"BAKEHOUSE_INSTANCE=i-1\n", "BAKEHOUSE_ERROR\n\x07\x00\x00\x00\x00\x00\x00\x00one\ntwo\n", "BAKEHOUSE_NEXT=look\n", "BAKEHOUSE_EXIT_CODE=3\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the entry lacks %q:\n%q", want, got)
		}
	}
	if strings.Contains(got, "BAKEHOUSE_NODE") {
		t.Errorf("empty fields are sent: %q", got)
	}
}

func TestOutcomesAsMetrics(t *testing.T) {
	t.Parallel()
	b, err := Outcome{Stage: Pull, State: Failed, Instance: "i-1", Role: "web", Took: 2 * time.Second}.EMF("Mine", time.UnixMilli(12345))
	if err != nil || strings.Count(string(b), "\n") != 1 {
		t.Fatalf("%q, %v", b, err)
	}
	var line struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name, Unit string }
			}
		} `json:"_aws"`
		Role, Stage  string
		StageSeconds float64
		StageFailed  int
	}
	if err := json.Unmarshal(b, &line); err != nil {
		t.Fatal(err)
	}
	m := line.AWS.CloudWatchMetrics
	if line.AWS.Timestamp != 12345 || len(m) != 1 || m[0].Namespace != "Mine" || len(m[0].Metrics) != 2 || line.Role != "web" || line.Stage != "pull" || line.StageSeconds != 2 || line.StageFailed != 1 {
		t.Errorf("line is %s", b)
	}
}
