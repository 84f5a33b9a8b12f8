package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"bakehouse/internal/fault"
	"bakehouse/internal/host"
	"bakehouse/release"
)

// SSH is the engine that logs in to each host and runs the agent there.
type SSH struct {
	Login host.Target // User, Signers, and Trust; without Trust, a host is trusted by the keys that its Chef node holds
	Port  int         // 0: 22
}

// deployScript has the agent deploy, then say what it runs.
const deployScript = "boot-agent deploy >&2 || exit $?\nboot-agent status --json || true"

// maxStatus bounds what is read of the agent's status.
const maxStatus = 1 << 20

// Deploy runs the agent on h, and once more when the connection failed. What
// the agent itself refuses is not tried again: it has tried already.
func (e SSH) Deploy(ctx context.Context, h Host) (release.ID, error) {
	build, err := e.deploy(ctx, h)
	if err != nil && ctx.Err() == nil && !final(err) {
		build, err = e.deploy(ctx, h)
	}
	if err != nil && ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return build, err
}

// final says whether another try would end the same way.
func final(err error) bool {
	var exit *host.ExitError
	return errors.As(err, &exit) || errors.Is(err, host.ErrHostKey) || errors.Is(err, host.ErrAuth)
}

func (e SSH) deploy(ctx context.Context, h Host) (release.ID, error) {
	t := e.Login
	port := e.Port
	if port == 0 {
		port = 22
	}
	t.Addr = net.JoinHostPort(h.Addr, strconv.Itoa(port))
	if t.Trust == nil {
		keys, err := host.Keys(h.HostKeys)
		if err != nil {
			return "", fault.New(fault.Check, "give --known-hosts FILE, or let Ohai collect the node's SSH keys", fmt.Errorf("connecting over SSH: %w", err))
		}
		t.Trust = keys
	}
	conn, err := host.Dial(ctx, t)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var out bytes.Buffer
	err = conn.Run(ctx, host.Command{Script: deployScript, Stdout: limited{&out}, Sudo: true})
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("boot-agent deploy: exit code %d: %s: %w", exit.Code, lastError(exit.Stderr), quiet{exit})
	}
	if err != nil {
		return "", err
	}
	var status struct {
		Current release.ID `json:"current"`
	}
	if err := json.Unmarshal(out.Bytes(), &status); err != nil {
		return "", fmt.Errorf("reading the status of boot-agent: %w", err)
	}
	return status.Current, nil
}

// quiet keeps an error findable without its text.
type quiet struct{ error }

func (quiet) Error() string   { return "see journalctl on the host" }
func (q quiet) Unwrap() error { return q.error }

// lastError finds the agent's error line; what follows it is the next step.
func lastError(stderr string) string {
	const silent = "it said nothing"
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if _, text, ok := strings.Cut(lines[i], "boot-agent: error: "); ok {
			return clean(text, silent)
		}
	}
	return clean(lines[len(lines)-1], silent)
}

// limited is a writer with an end.
type limited struct{ *bytes.Buffer }

func (w limited) Write(p []byte) (int, error) {
	if w.Len()+len(p) > maxStatus {
		return 0, io.ErrShortBuffer
	}
	return w.Buffer.Write(p)
}
