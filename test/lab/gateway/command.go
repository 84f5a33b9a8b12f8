package gateway

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
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
	// empty are commands whose tag selected nobody.
	empty map[string]bool
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
	if i.Status == "InProgress" || i.Status == "Pending" {
		to()
	}
}

func (g *Gateway) sendCommand(ctx context.Context, c *call) (reply, error) {
	var in struct {
		DocumentName              string
		InstanceIDs               []string `json:"InstanceIds"`
		Targets                   []commandTarget
		MaxConcurrency, MaxErrors string
		Parameters                map[string][]string
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	switch {
	case in.DocumentName != "AWS-RunShellScript":
		return reply{}, refuse("InvalidDocument", "the lab runs AWS-RunShellScript only, not %q", in.DocumentName)
	case len(c.body) > maxCommand:
		return reply{}, refuse("ValidationException", "a request of %d bytes, more than %d", len(c.body), maxCommand)
	case len(in.InstanceIDs) > 0 && len(in.Targets) > 0:
		return reply{}, refuse("ValidationException", "instance ids or targets, not both")
	case len(in.InstanceIDs) == 0 && len(in.Targets) == 0:
		return reply{}, refuse("InvalidInstanceId", "no instance is named")
	}
	guests, ok := g.cfg.Machines.(Commander)
	for _, id := range in.InstanceIDs {
		if state, _ := g.cfg.Machines.State(id); !ok || state != "running" || !guests.Managed(ctx, id) {
			return reply{}, refuse("InvalidInstanceId", "Instances [[%s]] not in a valid state for account", id)
		}
	}
	ids := in.InstanceIDs
	if len(in.Targets) > 0 && ok {
		var err error
		if ids, err = g.targeted(ctx, c, in.Targets, guests); err != nil {
			return reply{}, err
		}
	}
	atOnce, most, err := bounds(in.MaxConcurrency, in.MaxErrors, len(ids))
	if err != nil {
		return reply{}, err
	}
	command := strings.ToLower(rand.Text())
	var all []*invocation
	for _, id := range ids {
		all = append(all, &invocation{CommandID: command, InstanceID: id, DocumentName: in.DocumentName, Status: "Pending", StatusDetails: "Pending", ResponseCode: -1})
	}
	if len(all) == 0 {
		g.commands.none(command)
	}
	g.carry(ctx, guests, order{atOnce, most, strings.Join(in.Parameters["commands"], "\n")}, all)
	return jsonReply(map[string]any{"Command": map[string]any{"CommandId": command, "Status": "Pending", "DocumentName": in.DocumentName, "InstanceIds": in.InstanceIDs, "Targets": in.Targets}})
}

// none notes a command to nobody.
func (s *commands) none(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil {
		s.empty = map[string]bool{}
	}
	s.empty[id] = true
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
		if i.CommandID == in.CommandID && (i.Status == "InProgress" || i.Status == "Pending") {
			i.Status, i.StatusDetails = "Cancelled", "Cancelled"
			if i.cancel != nil {
				i.cancel()
			}
		}
	}
	return jsonReply(map[string]any{})
}
