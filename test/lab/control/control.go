//go:build linux

// Package control is how the lab's commands talk to a running lab: HTTP on a
// unix socket in the lab's run directory, which is reachable from inside and
// outside the seal alike, and the progress lines a starting lab sends to the
// command that starts it.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"bakehouse/internal/fault"
)

// SocketName is the control socket's file name in the run directory.
const SocketName = "control.sock"

// Status is what a running lab says about itself.
type Status struct {
	UpSince   time.Time         `json:"up_since"`
	Addresses map[string]string `json:"addresses"` // service name to URL or host:port, inside the seal
	Instances []Instance        `json:"instances"`
	Images    []Image           `json:"images"`
}

// Instance is one EC2 instance as the hypervisor has it.
type Instance struct {
	ID         string    `json:"id"`
	State      string    `json:"state"` // the true EC2 state name
	Address    string    `json:"address"`
	ImageID    string    `json:"image_id"`
	KeyName    string    `json:"key_name,omitempty"`
	LeaderPID  int       `json:"leader_pid,omitempty"` // in the seal's process namespace; 0 when not running
	LaunchedAt time.Time `json:"launched_at"`
	BootedAt   time.Time `json:"booted_at,omitzero"` // start of the last boot
	Boots      int       `json:"boots"`
	Problem    string    `json:"problem,omitempty"` // why the last boot failed
}

// Image is one AMI that the hypervisor can boot.
type Image struct {
	ID     string   `json:"id"`
	Layers []string `json:"layers"` // newest first
}

// SpotInterrupt asks for a spot interruption of an instance.
type SpotInterrupt struct {
	Action string        `json:"action"` // "terminate" (default), "stop" or "hibernate"
	After  time.Duration `json:"after"`  // from notice to action; 0 means the lab's short default
}

// Progress is one line from a starting lab to its launcher.
type Progress struct {
	Step  string `json:"step,omitempty"`
	Ready bool   `json:"ready,omitempty"`
	Error string `json:"error,omitempty"`
	Next  string `json:"next,omitempty"`
	Kind  int    `json:"kind,omitempty"` // fault.Kind
}

// Listen opens the control socket in runDir, replacing one left by a dead lab.
// The caller makes sure that no lab lives there.
func Listen(runDir string) (net.Listener, error) {
	path := filepath.Join(runDir, SocketName)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing the old control socket: %w", err)
	}
	short, closeDir, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer closeDir()
	l, err := net.Listen("unix", short)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	// The name it was bound under is gone by the time it closes.
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return l, nil
}

// shortPath names a socket through an open directory: sun_path holds 108 bytes
// (unix(7)), and a cache deep inside a test's temporary directory is longer.
func shortPath(path string) (string, func(), error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, fmt.Errorf("opening the lab's run directory: %w", err)
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return short, func() { _ = dir.Close() }, nil
}

// Client talks to the lab that lives in one run directory.
type Client struct{ http *http.Client }

// NewClient returns a client; it does not connect yet.
func NewClient(runDir string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		short, closeDir, err := shortPath(filepath.Join(runDir, SocketName))
		if err != nil {
			return nil, err
		}
		defer closeDir()
		var d net.Dialer
		return d.DialContext(ctx, "unix", short)
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Status asks the lab what it is and what runs in it.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	body, err := c.Do(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return s, fmt.Errorf("reading the lab's status: %w", err)
	}
	return s, nil
}

// Shutdown asks the lab to end; it answers before it does.
func (c *Client) Shutdown(ctx context.Context) error {
	_, err := c.Do(ctx, http.MethodPost, "/shutdown", nil)
	return err
}

// Console returns everything that an instance printed on its console.
func (c *Client) Console(ctx context.Context, instance string) ([]byte, error) {
	return c.Do(ctx, http.MethodGet, "/instances/"+instance+"/console", nil)
}

// SpotInterrupt serves an interruption notice to a spot instance.
func (c *Client) SpotInterrupt(ctx context.Context, instance string, s SpotInterrupt) error {
	_, err := c.Do(ctx, http.MethodPost, "/instances/"+instance+"/spot-interrupt", s)
	return err
}

// PowerCut kills an instance's guest and returns once it boots again.
func (c *Client) PowerCut(ctx context.Context, instance string) error {
	_, err := c.Do(ctx, http.MethodPost, "/instances/"+instance+"/power-cut", nil)
	return err
}

// Do sends one request with a JSON body (nil for none) and returns the answer's
// body; any status but 2xx is an error that holds the answer's text. Paths under
// /gateway/ reach the gateway's own control paths, for instance /gateway/faults.
func (c *Client) Do(ctx context.Context, method, path string, body any) ([]byte, error) {
	var in io.Reader
	if body != nil {
		r, w := io.Pipe()
		go func() { w.CloseWithError(json.NewEncoder(w).Encode(body)) }()
		in = r
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://lab"+path, in)
	if err != nil {
		return nil, fmt.Errorf("asking the lab: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the lab: %w", err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the lab's answer: %w", err)
	}
	switch {
	case resp.StatusCode/100 == 2:
		return out, nil
	case resp.StatusCode/100 == 4: // the question was wrong
		return nil, fault.Newf(fault.Usage, "", "asking the lab for %s: %s", path, firstLine(out))
	}
	return nil, fmt.Errorf("asking the lab for %s: %s", path, firstLine(out))
}

func firstLine(b []byte) string {
	for i, c := range b {
		if c == '\n' {
			return string(b[:i])
		}
	}
	return string(b)
}
