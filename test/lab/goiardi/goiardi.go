// Package goiardi runs the lab's Chef server: Debian's goiardi, in memory, with
// authentication on. It is a real server with fewer features than Chef's own:
// no organisations, no access control lists, no policies.
package goiardi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"bakehouse/internal/fault"
)

// AdminName is the user whose key AdminKey is.
const AdminName = "admin"

// ValidatorName is the client whose key ValidatorKey is; it may only create
// clients.
const ValidatorName = "chef-validator"

const (
	pollEvery    = 25 * time.Millisecond
	startTimeout = 3 * time.Minute // three RSA keys are made first: seconds, and many of them on a busy machine
	stopGrace    = 3 * time.Second
	keepGrace    = time.Minute // for one that writes its data first
)

// Config says where the server runs.
type Config struct {
	// Dir is the server's own folder: keys and log. Made when missing; keys of
	// an earlier server in it are replaced, unless Keep.
	Dir string
	// Listen is the address and port to listen on. It also becomes the host of
	// every URL that the server hands out, so clients must be able to reach it.
	Listen netip.AddrPort
	// Program is the goiardi to run; empty means the one on PATH.
	Program string
	// Keep keeps the server's data in Dir, as an installed server's: Stop writes
	// it, and a server that is started there again has it, and the same keys.
	Keep bool
}

// Server is a running Chef server. Its process belongs to the caller: Stop it.
type Server struct {
	URL          string // http://HOST:PORT, for chef_server_url
	AdminKey     string // path of the PEM key of AdminName
	ValidatorKey string // path of the PEM key of ValidatorName
	LogFile      string // path of what the server says

	process *os.Process
	grace   time.Duration // between SIGTERM and SIGKILL
	done    chan struct{} // closed when the process has ended
}

// Start runs goiardi and returns when it answers requests. ctx bounds the start
// alone (and at most 3 min); the server runs on until Stop. Nothing is left
// running after an error.
func Start(ctx context.Context, c Config) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := prepare(ctx, &c); err != nil {
		return nil, err
	}
	s := &Server{
		URL:          "http://" + c.Listen.String(),
		AdminKey:     filepath.Join(c.Dir, AdminName+".pem"),
		ValidatorKey: filepath.Join(c.Dir, ValidatorName+".pem"),
		LogFile:      filepath.Join(c.Dir, "goiardi.log"),
		grace:        stopGrace,
		done:         make(chan struct{}),
	}
	if c.Keep {
		s.grace = keepGrace
	}
	if err := s.launch(c); err != nil {
		return nil, fmt.Errorf("starting goiardi: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		// The caller's context may be over; the clean-up needs its own time.
		stopCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), 2*stopGrace)
		defer stop()
		return nil, errors.Join(fmt.Errorf("starting goiardi on %s: %w%s", c.Listen, err, s.logTail()), s.Stop(stopCtx))
	}
	return s, nil
}

func prepare(ctx context.Context, c *Config) error {
	if !c.Listen.IsValid() || c.Listen.Port() == 0 {
		return fault.Newf(fault.Usage, "", "starting goiardi: %v is no address and port to listen on", c.Listen)
	}
	if c.Program == "" {
		path, err := exec.LookPath("goiardi")
		if err != nil {
			return fault.New(fault.Usage, "apt-get install goiardi", fmt.Errorf("finding the lab's Chef server: %w", err))
		}
		c.Program = path
	}
	// Somebody else's server on the port would answer our readiness probe.
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen.String())
	if err != nil {
		return fmt.Errorf("starting goiardi: %w", err)
	}
	if err := l.Close(); err != nil {
		return fmt.Errorf("starting goiardi: %w", err)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("making goiardi's folder: %w", err)
	}
	if c.Keep {
		return nil
	}
	for _, name := range []string{AdminName, ValidatorName, "chef-webui"} {
		if err := os.Remove(filepath.Join(c.Dir, name+".pem")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing an old key: %w", err)
		}
	}
	return nil
}

func (s *Server) launch(c Config) error {
	log, err := os.OpenFile(s.LogFile, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own copy
	host := c.Listen.Addr().String()
	args := []string{"-A", "-V", "-I", host, "-H", host, "-P", fmt.Sprint(c.Listen.Port()), "--conf-root=" + c.Dir}
	if c.Keep {
		args = append(args, "-i", filepath.Join(c.Dir, "index"), "-D", filepath.Join(c.Dir, "data"))
	}
	cmd := exec.Command(c.Program, args...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = log, log
	// Its own group: a Ctrl-C for the lab must not end the server before the
	// clean-up that still needs it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.process = cmd.Process
	go func() {
		_ = cmd.Wait() // how it ended is in the log
		close(s.done)
	}()
	return nil
}

// ready waits until the server answers; unsigned requests get a 401.
func (s *Server) ready(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if s.answers(ctx) && exists(s.AdminKey) && exists(s.ValidatorKey) {
			return nil
		}
		select {
		case <-s.done:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func (s *Server) answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/clients", nil)
	if err != nil {
		return false
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy: the server is ours
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusUnauthorized
}

// PID returns the server's process id.
func (s *Server) PID() int { return s.process.Pid }

// Done is closed when the server has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends the server: SIGTERM, then SIGKILL after 3 s (1 min with Config.Keep,
// whose data is written meanwhile) or when ctx is over. It
// returns when the process is gone, and nil when it already was. The server's data
// is in memory and goes with it, unless Config.Keep.
func (s *Server) Stop(ctx context.Context) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := s.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stopping goiardi: %w", err)
		}
		if sig == syscall.SIGKILL {
			<-s.done // the kernel ends it, whatever ctx says
			return nil
		}
		grace := time.NewTimer(s.grace)
		select {
		case <-s.done:
			grace.Stop()
			return nil
		case <-ctx.Done():
		case <-grace.C:
		}
		grace.Stop()
	}
	return nil
}

func (s *Server) logTail() string {
	const most = 400
	text, err := os.ReadFile(s.LogFile)
	if err != nil || len(text) == 0 {
		return ""
	}
	return fmt.Sprintf(" (its log ends: %q)", text[max(0, len(text)-most):])
}

func exists(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() > 0
}
