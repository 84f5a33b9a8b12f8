package gateway

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// settled waits until a command is over, and returns how it stands as a whole.
func settled(t *testing.T, g *Gateway, id string) string {
	t.Helper()
	for {
		rep, err := g.listCommands(t.Context(), &call{body: []byte(`{"CommandId":"` + id + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(rep.body), `"InProgress"`) {
			return string(rep.body)
		}
		if pause(t.Context(), time.Millisecond); t.Context().Err() != nil {
			t.Fatal("the command never ends")
		}
	}
}

func TestACommandStopsAtItsErrors(t *testing.T) {
	t.Parallel()
	g := commandGateway(t)
	for name, c := range map[string]struct {
		o    order
		want []string // details of the invocations
		all  string
	}{
		"first":    {order{1, 0, "exit 1"}, []string{"Failed", "Terminated", "Terminated"}, `"CompletedCount":3,"ErrorCount":3,"Status":"Failed"`},
		"second":   {order{1, 1, "exit 1"}, []string{"Failed", "Failed", "Terminated"}, ""},
		"bears it": {order{2, 3, "exit 1"}, []string{"Failed", "Failed", "Failed"}, ""},
		"all good": {order{3, 0, "true"}, []string{"Success", "Success", "Success"}, `"ErrorCount":0,"Status":"Success"`},
	} {
		var all []*invocation
		for _, id := range []string{"i-1", "i-2", "i-3"} {
			all = append(all, &invocation{CommandID: name, InstanceID: id, Status: "Pending"})
		}
		g.carry(t.Context(), shells{}, c.o, all)
		text := settled(t, g, name)
		for n, i := range all {
			if i.StatusDetails != c.want[n] {
				t.Errorf("%s: %s is %s, want %s", name, i.InstanceID, i.StatusDetails, c.want[n])
			}
		}
		if c.all != "" && !strings.Contains(strings.ReplaceAll(text, `"CommandId":"`+name+`",`, ""), c.all) {
			t.Errorf("%s: %s, want %s", name, text, c.all)
		}
	}
	g.commands.none("nobody")
	if text := settled(t, g, "nobody"); !strings.Contains(text, "NoInstancesInTag") {
		t.Errorf("to nobody: %s", text)
	}
	if text := settled(t, g, "unknown"); !strings.Contains(text, `"Commands":[]`) {
		t.Errorf("unknown: %s", text)
	}
}

func TestTargetsAndBoundsThatAreNone(t *testing.T) {
	t.Parallel()
	g := commandGateway(t)
	for body, code := range map[string]string{
		`{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-1"],"Targets":[{"Key":"tag:a","Values":["b"]}]}`: "ValidationException",
		`{"DocumentName":"AWS-RunShellScript","Targets":[{"Key":"Role","Values":["b"]}]}`:                        "InvalidTarget",
		`{"DocumentName":"AWS-RunShellScript","Targets":[{"Key":"tag:Role"}]}`:                                   "InvalidTarget",
		`{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-1"],"MaxErrors":"many"}`:                         "ValidationException",
		`{"DocumentName":"AWS-RunShellScript","InstanceIds":["i-1"],"MaxConcurrency":"-1"}`:                      "ValidationException",
	} {
		_, err := g.sendCommand(t.Context(), &call{body: []byte(body)})
		var e *apiError
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: %v, want %s", body, err, code)
		}
	}
	if atOnce, most, err := bounds("50%", "10%", 20); atOnce != 10 || most != 2 || err != nil {
		t.Errorf("percentages: %d, %d, %v", atOnce, most, err)
	}
	if atOnce, most, err := bounds("", "", 20); atOnce != 50 || most != 0 || err != nil {
		t.Errorf("none: %d, %d, %v", atOnce, most, err)
	}
}
