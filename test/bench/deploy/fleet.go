//go:build bench

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"bakehouse/deploy"
)

// fleet is SSH servers that answer every command after a while.
type fleet struct {
	dir, keyFile, known string
	port                int
	hosts               []deploy.Host
	listeners           []net.Listener
	latency             time.Duration
	ran                 atomic.Int64 // commands
}

// newKey makes a key; its text is what OpenSSH reads.
func newKey() (ssh.Signer, []byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "bench")
	if err != nil {
		return nil, nil, err
	}
	return signer, pem.EncodeToMemory(block), nil
}

// startFleet starts n servers on one port.
func startFleet(dir string, n int, latency time.Duration) (*fleet, error) {
	f := &fleet{dir: dir, keyFile: filepath.Join(dir, "id"), known: filepath.Join(dir, "known_hosts"), latency: latency}
	own, _, err := newKey()
	if err != nil {
		return nil, err
	}
	user, text, err := newKey()
	if err == nil {
		err = os.WriteFile(f.keyFile, text, 0o600)
	}
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(user.PublicKey().Marshal()) {
			return nil, errors.New("not admitted")
		}
		return nil, nil
	}}
	config.AddHostKey(own)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(own.PublicKey())))
	var known strings.Builder
	for i := range n {
		h := deploy.Host{Instance: fmt.Sprintf("i-%08x", i), Addr: fmt.Sprintf("127.3.%d.%d", i/250, i%250+1), Zone: string(rune('a' + i*3/n)), HostKeys: []string{line}}
		l, err := net.Listen("tcp4", net.JoinHostPort(h.Addr, strconv.Itoa(f.port)))
		if err != nil {
			f.stop()
			return nil, err
		}
		f.port = l.Addr().(*net.TCPAddr).Port
		f.listeners, f.hosts = append(f.listeners, l), append(f.hosts, h)
		fmt.Fprintf(&known, "[%s]:%d %s\n", h.Addr, f.port, line)
		go f.accept(l, config)
	}
	return f, os.WriteFile(f.known, []byte(known.String()), 0o600)
}

func (f *fleet) stop() {
	for _, l := range f.listeners {
		_ = l.Close()
	}
}

func (f *fleet) accept(l net.Listener, config *ssh.ServerConfig) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go f.serve(conn, config)
	}
}

func (f *fleet) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for c := range chans {
		ch, reqs, err := c.Accept()
		if err != nil {
			return
		}
		go f.session(ch, reqs)
	}
}

func (f *fleet) session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	for r := range reqs {
		if r.Type != "exec" {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		time.Sleep(f.latency)
		f.ran.Add(1)
		fmt.Fprintf(ch, `{"current":%q}`, build)
		_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
		return
	}
}

// measure runs a command on the whole fleet, with file as its stdin.
func (f *fleet) measure(ctx context.Context, what, file, name string, args ...string) (row, error) {
	in, err := os.Open(file)
	if err != nil {
		return row{}, err
	}
	defer in.Close()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	f.ran.Store(0)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return row{}, err
	}
	peaks := watch(cmd.Process.Pid)
	err = cmd.Wait()
	took := time.Since(start)
	p := peaks()
	if err != nil {
		return row{}, fmt.Errorf("%s: %w", what, err)
	}
	if n := int(f.ran.Load()); n != len(f.hosts) {
		return row{}, fmt.Errorf("%s: %d commands ran on %d hosts", what, n, len(f.hosts))
	}
	usage := cmd.ProcessState
	return row{what: what, took: took, hosts: len(f.hosts), cpu: usage.UserTime() + usage.SystemTime(), peak: p}, nil
}
