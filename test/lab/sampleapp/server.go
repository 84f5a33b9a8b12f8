package main

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
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// unknown is the release of an app that runs outside any release.
const unknown = "unknown"

// drain is how long running requests get after SIGTERM.
const drain = 5 * time.Second

// directories lists where the file RELEASE may lie: beside the executable,
// with links resolved, and in the working directory.
func directories() []string {
	dirs := []string{"."}
	exe, err := os.Executable()
	if err == nil {
		exe, err = filepath.EvalSymlinks(exe)
	}
	if err == nil {
		dirs = append([]string{filepath.Dir(exe)}, dirs...)
	}
	return dirs
}

// readRelease returns what the first RELEASE file in dirs says.
func readRelease(dirs []string) (string, error) {
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, "RELEASE"))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("reading release: %w", err)
		}
		return strings.TrimSpace(string(b)), nil
	}
	return unknown, nil
}

// isBroken says whether the build is one that must not go live: it holds a file
// UNHEALTHY.
func isBroken(dirs []string) bool {
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "UNHEALTHY")); err == nil {
			return true
		}
	}
	return false
}

// handler answers / with the release, and /healthz with ok, or with 503 when
// the build is broken.
func handler(release string, broken bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// An error here is the client's connection; there is nobody to tell.
		_ = json.NewEncoder(w).Encode(map[string]string{"app": "web", "release": release})
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if broken {
			http.Error(w, "this build is unhealthy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return mux
}

// listener is the socket that systemd hands over (sd_listen_fds(3)), or else one
// of its own.
func listener(address string) (net.Listener, error) {
	const first = 3 // the descriptor that handed-over sockets begin at
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") != "1" {
		return net.Listen("tcp", address)
	}
	f := os.NewFile(first, "systemd's socket")
	defer f.Close() // the listener has a copy
	return net.FileListener(f)
}

// ready tells systemd that the app is up, where it asks to be told (sd_notify(3)).
func ready() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	return nil
}

// run serves until ctx ends. The release is read once, at the start: the
// answer names what runs, not what "current" points at meanwhile.
func run(ctx context.Context, listen string, dirs []string, log io.Writer) error {
	release, err := readRelease(dirs)
	if err != nil {
		return err
	}
	l, err := listener(listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Fprintf(log, "web: release %s on http://%s\n", release, l.Addr())
	open := &connections{}
	server := &http.Server{Handler: handler(release, isBroken(dirs)), ReadHeaderTimeout: 10 * time.Second, ConnState: open.count}
	go func() {
		<-ctx.Done()
		server.SetKeepAlivesEnabled(false)
		_ = l.Close() // Serve says so
	}()
	if err := ready(); err != nil {
		return err
	}
	if err := server.Serve(l); ctx.Err() == nil {
		return fmt.Errorf("serving: %w", err)
	}
	// Only now is everything counted that was accepted.
	open.wait(drain)
	return server.Close()
}

// connections counts those that are open. The server's own Shutdown hangs up on
// a connection whose first request it reads too late; one that was accepted has
// to be answered, or a deploy is felt.
type connections struct{ n atomic.Int64 }

// count implements http.Server.ConnState.
func (c *connections) count(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		c.n.Add(1)
	case http.StateClosed, http.StateHijacked:
		c.n.Add(-1)
	}
}

// wait returns when none is open, or after limit.
func (c *connections) wait(limit time.Duration) {
	for end := time.Now().Add(limit); c.n.Load() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
}
