package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"sync"
)

// Commander is what a Machines may also offer: Systems Manager's Run Command.
// moto answers that every command has succeeded. Without it SendCommand is
// refused as for instances that run no SSM agent.
type Commander interface {
	// Managed says whether the instance is up far enough for an SSM agent.
	Managed(ctx context.Context, instanceID string) bool
	// RunScript runs a shell script as root in the guest. A script that fails
	// gives an *exec.ExitError in the chain.
	RunScript(ctx context.Context, instanceID, script string, stdout, stderr *bytes.Buffer) error
}

// Limits of Run Command (docs.aws.amazon.com/systems-manager).
const (
	maxCommand = 64 << 10 // bytes of a request
	maxStdout  = 24000    // characters of output that an invocation keeps
	maxStderr  = 8000
)

// commands are the commands that were sent, by command and instance id.
type commands struct {
	mu  sync.Mutex
	all map[string]*invocation
}

// invocation is one command on one instance. The field names are the wire's.
type invocation struct {
	CommandID             string `json:"CommandId"`
	InstanceID            string `json:"InstanceId"`
	DocumentName          string
	Status, StatusDetails string
	ResponseCode          int
	StandardOutputContent string
	StandardErrorContent  string

	cancel context.CancelFunc
}

func (s *commands) put(i *invocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[i.CommandID+"/"+i.InstanceID] = i
}

// change edits an invocation that has not ended.
func (s *commands) change(i *invocation, to func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i.Status == "InProgress" {
		to()
	}
}

func (g *Gateway) sendCommand(ctx context.Context, c *call) (reply, error) {
	var in struct {
		DocumentName string
		InstanceIDs  []string `json:"InstanceIds"`
		Parameters   map[string][]string
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	switch {
	case in.DocumentName != "AWS-RunShellScript":
		return reply{}, refuse("InvalidDocument", "the lab runs AWS-RunShellScript only, not %q", in.DocumentName)
	case len(c.body) > maxCommand:
		return reply{}, refuse("ValidationException", "a request of %d bytes, more than %d", len(c.body), maxCommand)
	case len(in.InstanceIDs) == 0:
		return reply{}, refuse("InvalidInstanceId", "no instance is named")
	}
	guests, ok := g.cfg.Machines.(Commander)
	for _, id := range in.InstanceIDs {
		if state, _ := g.cfg.Machines.State(id); !ok || state != "running" || !guests.Managed(ctx, id) {
			return reply{}, refuse("InvalidInstanceId", "Instances [[%s]] not in a valid state for account", id)
		}
	}
	command := strings.ToLower(rand.Text())
	for _, id := range in.InstanceIDs {
		g.startCommand(ctx, guests, &invocation{CommandID: command, InstanceID: id, DocumentName: in.DocumentName,
			Status: "InProgress", StatusDetails: "InProgress", ResponseCode: -1}, strings.Join(in.Parameters["commands"], "\n"))
	}
	return jsonReply(map[string]any{"Command": map[string]any{"CommandId": command, "Status": "Pending", "DocumentName": in.DocumentName, "InstanceIds": in.InstanceIDs}})
}

// startCommand runs a script in the background and keeps what it says.
func (g *Gateway) startCommand(ctx context.Context, guests Commander, i *invocation, script string) {
	g.commands.put(i)
	cancel := g.background(ctx, func(ctx context.Context) {
		var out, errs bytes.Buffer
		err := guests.RunScript(ctx, i.InstanceID, script, &out, &errs)
		g.commands.change(i, func() {
			i.Status, i.ResponseCode = "Success", 0
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				i.Status, i.ResponseCode = "Failed", exit.ExitCode()
			} else if err != nil {
				i.Status = "Undeliverable"
				errs.WriteString(err.Error())
			}
			i.StatusDetails = i.Status
			i.StandardOutputContent, i.StandardErrorContent = clip(out.String(), maxStdout), clip(errs.String(), maxStderr)
		})
	})
	g.commands.change(i, func() { i.cancel = cancel })
}

func clip(s string, n int) string { return s[:min(n, len(s))] }

// getCommandInvocation shows a command as it stands.
func (g *Gateway) getCommandInvocation(_ context.Context, c *call) (reply, error) {
	var in struct {
		CommandID  string `json:"CommandId"`
		InstanceID string `json:"InstanceId"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	g.commands.mu.Lock()
	defer g.commands.mu.Unlock()
	i := g.commands.all[in.CommandID+"/"+in.InstanceID]
	if i == nil {
		return reply{}, refuse("InvocationDoesNotExist", "no command %s on %s", in.CommandID, in.InstanceID)
	}
	return jsonReply(i)
}

// cancelCommand ends a command's script where it runs.
func (g *Gateway) cancelCommand(_ context.Context, c *call) (reply, error) {
	var in struct {
		CommandID string `json:"CommandId"`
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	g.commands.mu.Lock()
	defer g.commands.mu.Unlock()
	for _, i := range g.commands.all {
		if i.CommandID == in.CommandID && i.Status == "InProgress" {
			i.Status, i.StatusDetails = "Cancelled", "Cancelled"
			if i.cancel != nil {
				i.cancel()
			}
		}
	}
	return jsonReply(map[string]any{})
}
