package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// machine is an SSH server on loopback that runs what it is told with the
// real /bin/sh, in a session of its own as sshd does. Its sudo only drops its
// options.
type machine struct {
	addr     string
	hostKey  ssh.Signer
	user     ssh.Signer
	path     string       // PATH of the commands
	deaf     atomic.Bool  // keep-alive questions stay unanswered
	sessions atomic.Int64 // commands started
	mute     atomic.Bool  // new sessions are not answered
	drop     atomic.Bool  // break the connection when a command arrives
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newRSAKey(t *testing.T) ssh.Signer {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// program writes a script that can be run at once. No process may be forked
// meanwhile: it would have the file open too, and the kernel refuses to run a
// file that is open for writing.
func program(t *testing.T, path, text string) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func startMachine(t *testing.T, hostKeys ...ssh.Signer) *machine {
	t.Helper()
	if len(hostKeys) == 0 {
		hostKeys = []ssh.Signer{newKey(t)}
	}
	m := &machine{hostKey: hostKeys[0], user: newKey(t), path: t.TempDir() + ":" + os.Getenv("PATH")}
	sudo := "#!/bin/sh\n[ \"$1 $2\" = '-n --' ] || exit 9\nshift 2\nexport SUDO=yes\nexec \"$@\"\n"
	program(t, filepath.Join(filepath.SplitList(m.path)[0], "sudo"), sudo)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(m.user.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	for _, k := range hostKeys {
		config.AddHostKey(k)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	m.addr = l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(conn, config)
		}
	}()
	return m
}

func (m *machine) target() Target {
	return Target{Addr: m.addr, User: "ubuntu", Signer: m.user, HostKey: m.hostKey.PublicKey()}
}

func (m *machine) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go func() {
		for r := range reqs {
			if r.WantReply && !m.deaf.Load() {
				_ = r.Reply(false, nil)
			}
		}
	}()
	for c := range chans {
		if m.mute.Load() {
			continue
		}
		ch, reqs, err := c.Accept()
		if err != nil {
			return
		}
		go m.session(conn, ch, reqs)
	}
}

func (m *machine) session(conn net.Conn, ch ssh.Channel, reqs <-chan *ssh.Request) {
	for r := range reqs {
		if r.Type != "exec" {
			if r.WantReply {
				_ = r.Reply(r.Type == "signal", nil)
			}
			continue
		}
		if m.drop.Load() {
			conn.Close()
			return
		}
		m.sessions.Add(1)
		var line struct{ Line string }
		_ = ssh.Unmarshal(r.Payload, &line)
		_ = r.Reply(true, nil)
		go m.exec(ch, line.Line)
	}
}

func (m *machine) exec(ch ssh.Channel, line string) {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	cmd.Env = append(os.Environ(), "PATH="+m.path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return
	}
	go func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := ch.Read(buf)
			if _, werr := stdin.Write(buf[:n]); err != nil || werr != nil {
				stdin.Close()
				return
			}
		}
	}()
	err = cmd.Run()
	status := struct{ Status uint32 }{}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		ws := exit.Sys().(syscall.WaitStatus)
		if ws.Signaled() {
			msg := struct {
				Signal     string
				Core       bool
				Text, Lang string
			}{Signal: map[syscall.Signal]string{syscall.SIGKILL: "KILL", syscall.SIGTERM: "TERM"}[ws.Signal()]}
			_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(msg))
			ch.Close()
			return
		}
		status.Status = uint32(ws.ExitStatus())
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(status))
	ch.Close()
}
