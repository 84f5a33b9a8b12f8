package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// shells runs scripts with this machine's shell, as the guest i-1.
type shells struct{ Machines }

func (shells) State(id string) (string, bool) { return "running", true }

func (shells) Managed(_ context.Context, id string) bool { return id == "i-1" }

func (shells) RunScript(ctx context.Context, id, script string, stdout, stderr *bytes.Buffer) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = stdout, stderr, time.Second
	return cmd.Run()
}

// commandGateway is a gateway before shells.
func commandGateway(t *testing.T) *Gateway {
	t.Helper()
	g := &Gateway{cfg: Config{Machines: shells{}}, commands: commands{all: map[string]*invocation{}}, closing: make(chan struct{})}
	t.Cleanup(func() { close(g.closing); g.work.Wait() })
	return g
}

// send sends a script and returns the command's id.
func send(t *testing.T, g *Gateway, instance, script string) (string, error) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"DocumentName": "AWS-RunShellScript", "InstanceIds": []string{instance}, "Parameters": map[string]any{"commands": []string{script}}})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := g.sendCommand(t.Context(), &call{body: body})
	var out struct{ Command struct{ CommandId string } }
	if err == nil {
		err = json.Unmarshal(rep.body, &out)
	}
	return out.Command.CommandId, err
}

// ended waits for a command's end.
func ended(t *testing.T, g *Gateway, id string) invocation {
	t.Helper()
	body := []byte(`{"CommandId":"` + id + `","InstanceId":"i-1"}`)
	for {
		rep, err := g.getCommandInvocation(t.Context(), &call{body: body})
		var i invocation
		if err != nil || json.Unmarshal(rep.body, &i) != nil {
			t.Fatalf("%v %s", err, rep.body)
		}
		if i.Status != "InProgress" && i.Status != "Pending" {
			return i
		}
		if pause(t.Context(), time.Millisecond); t.Context().Err() != nil {
			t.Fatal("the command never ends")
		}
	}
}

func TestCommandsReallyRun(t *testing.T) {
	t.Parallel()
	g := commandGateway(t)
	id, err := send(t, g, "i-1", "echo out; echo err >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if i := ended(t, g, id); i.Status != "Failed" || i.ResponseCode != 3 || i.StandardOutputContent != "out\n" || i.StandardErrorContent != "err\n" {
		t.Errorf("%+v", i)
	}
	id, err = send(t, g, "i-1", "yes | head -c 30000")
	if err != nil {
		t.Fatal(err)
	}
	if i := ended(t, g, id); i.Status != "Success" || len(i.StandardOutputContent) != maxStdout {
		t.Errorf("%s with %d characters, want %d", i.Status, len(i.StandardOutputContent), maxStdout)
	}
}

func TestCommandsAreCancelledAndRefused(t *testing.T) {
	t.Parallel()
	g := commandGateway(t)
	id, err := send(t, g, "i-1", "while :; do sleep 1; done")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.cancelCommand(t.Context(), &call{body: []byte(`{"CommandId":"` + id + `"}`)}); err != nil {
		t.Fatal(err)
	}
	if i := ended(t, g, id); i.Status != "Cancelled" {
		t.Errorf("%+v", i)
	}
	for code, refused := range map[string]func() error{
		"InvalidInstanceId":      func() error { _, err := send(t, g, "i-2", "true"); return err },
		"ValidationException":    func() error { _, err := send(t, g, "i-1", strings.Repeat("x", maxCommand)); return err },
		"InvocationDoesNotExist": func() error { _, err := g.getCommandInvocation(t.Context(), &call{body: []byte("{}")}); return err },
		"InvalidDocument":        func() error { _, err := g.sendCommand(t.Context(), &call{body: []byte("{}")}); return err },
	} {
		var e *apiError
		if err := refused(); !errors.As(err, &e) || e.Code != code {
			t.Errorf("%v, want %s", err, code)
		}
	}
}

func TestACommandIsListedWithItsOutput(t *testing.T) {
	t.Parallel()
	g := commandGateway(t)
	id, err := send(t, g, "i-1", "echo fine; echo hm >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	ended(t, g, id)
	rep, err := g.listCommandInvocations(t.Context(), &call{body: []byte(`{"CommandId":"` + id + `","Details":true}`)})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"InstanceId":"i-1"`, `"Status":"Failed"`, `"ResponseCode":3`, `fine\n\n----------ERROR-------\nhm`} {
		if !strings.Contains(string(rep.body), want) {
			t.Errorf("no %s in %s", want, rep.body)
		}
	}
	rep, err = g.describeInstanceInformation(t.Context(), &call{body: []byte(`{"Filters":[{"Key":"InstanceIds","Values":["i-1","i-2"]}]}`)})
	if err != nil || !strings.Contains(string(rep.body), `"InstanceId":"i-1"`) || strings.Contains(string(rep.body), "i-2") {
		t.Errorf("managed instances: %s, %v", rep.body, err)
	}
}
