package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// siren is CloudWatch with the alarm "errors", which is in each state in turn
// and stays in the last.
type siren struct {
	mu     sync.Mutex
	states []types.StateValue
}

func (s *siren) DescribeAlarms(_ context.Context, in *cloudwatch.DescribeAlarmsInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &cloudwatch.DescribeAlarmsOutput{}
	for _, name := range in.AlarmNames {
		if name == "errors" {
			out.MetricAlarms = append(out.MetricAlarms, types.MetricAlarm{AlarmName: aws.String(name), StateValue: s.states[0]})
		}
	}
	if len(s.states) > 1 {
		s.states = s.states[1:]
	}
	return out, nil
}

func TestAnAlarmRollsBack(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	h.b.alarms = &siren{states: []types.StateValue{types.StateValueOk, types.StateValueOk, types.StateValueAlarm}}
	page := filepath.Join(t.TempDir(), "page.html")
	code, out, errs := h.b.run("rollout", v2, "--app", "web", "--alarm", "errors", "--html", page)
	if code != 4 || !strings.Contains(errs, "after wave 1: alarm errors went off; rolled back to build "+v1[:12]) || h.live(t) != v1 {
		t.Errorf("code %d, live %s\n%s%s", code, h.live(t), errs, out)
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "alarm errors went off") {
		t.Errorf("the page: %v\n%s", err, b)
	}
}

func TestACommandIsAGate(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	code, _, errs := h.b.run("rollout", v2, "--app", "web", "--gate", `echo "$BAKEHOUSE_WAVE has $BAKEHOUSE_DEPLOYED"; test "$BAKEHOUSE_WAVE" = canary`)
	if code != 4 || !strings.Contains(errs, "says no (exit status 1): wave 1 has 2") || h.live(t) != v1 {
		t.Errorf("code %d, live %s\n%s", code, h.live(t), errs)
	}
	// A command is not stored: whoever goes on has to give it again.
	id := regexp.MustCompile(`rollout ([0-9a-f]{12}):`).FindStringSubmatch(errs)
	if id == nil {
		t.Fatalf("no id in\n%s", errs)
	}
	if code, _, errs := h.b.run("rollout", "--app", "web", "--resume", id[1]); code != 2 || !strings.Contains(errs, "give --gate COMMAND again") {
		t.Errorf("resumed without the gate: code %d\n%s", code, errs)
	}
}

func TestGateRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	h.b.alarms = &siren{states: []types.StateValue{types.StateValueAlarm}}
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--alarm nope":                 {2, "there is none of that name"},
		"--alarm errors":               {4, "it is in state ALARM already"},
		"--gate  ":                     {2, "the command is empty"},
		"--gate true --gate-timeout 0": {2, "want more than 0"},
		"--webhook chat":               {2, "it is no URL"},
		"--webhook env:CHAT":           {2, "the variable is empty"},
		"--webhook-template x":         {2, "there is nobody to post to"},
		"--webhook http://127.0.0.1:1/ --webhook-template /nowhere": {2, "/nowhere"},
	} {
		words := strings.Fields(args)
		if strings.HasSuffix(args, " ") {
			words = append(words, " ")
		}
		code, _, errs := h.b.run(append([]string{"rollout", v2, "--app", "web"}, words...)...)
		if code != want.code || !strings.Contains(errs, want.text) {
			t.Errorf("%s: code %d, want %d and %q\n%s", args, code, want.code, want.text, errs)
		}
	}
	if h.live(t) != v1 || len(h.went) != 0 {
		t.Errorf("live %s, went %v", h.live(t), h.went)
	}
}

func TestTheWebhookHearsBeginAndEnd(t *testing.T) {
	t.Parallel()
	h, _, v2 := newHall(t)
	var mu sync.Mutex
	var heard []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		heard = append(heard, string(b))
	}))
	h.b.ok(t, "rollout", v2, "--app", "web", "--webhook", server.URL)
	if len(heard) != 2 || !strings.Contains(heard[0], v2[:12]+" started: 3 hosts: 0 deployed") || !strings.Contains(heard[1], "done: 3 hosts: 3 deployed") {
		t.Errorf("the webhook heard %q", heard)
	}
	server.Close()
	if code, _, errs := h.b.run("rollout", v2, "--app", "web", "--webhook", server.URL+"/token"); code != 0 || strings.Count(errs, "warning: telling the webhook") != 2 || strings.Contains(errs, "token") {
		t.Errorf("a chat that is down: code %d\n%s", code, errs)
	}
}
