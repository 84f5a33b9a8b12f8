package host

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"bakehouse/internal/fault"
)

// jumpHost is an SSH server that only passes connections on, and its spec.
func jumpHost(t *testing.T) BastionSpec {
	t.Helper()
	hostKey, dir := newKey(t), t.TempDir()
	private := newKeyFile(t, filepath.Join(dir, "key"))
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if !bytes.Equal(key.Marshal(), private.PublicKey().Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	config.AddHostKey(hostKey)
	config.AddHostKey(ecdsaKey(t)) // clients like it better than the one in known_hosts
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go passOn(conn, config)
		}
	}()
	known := filepath.Join(dir, "known_hosts")
	line := knownhosts.Line([]string{l.Addr().String()}, hostKey.PublicKey())
	if err := os.WriteFile(known, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return BastionSpec{Address: "jump@" + l.Addr().String(), KeyFile: filepath.Join(dir, "key"), KnownHosts: known}
}

func ecdsaKey(t *testing.T) ssh.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func newKeyFile(t *testing.T, path string) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return signer
}

// passOn serves direct-tcpip channels (RFC 4254, section 7.2).
func passOn(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	_, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	for c := range chans {
		var to struct {
			Host       string
			Port       uint32
			From       string
			SourcePort uint32
		}
		if c.ChannelType() != "direct-tcpip" || ssh.Unmarshal(c.ExtraData(), &to) != nil {
			_ = c.Reject(ssh.UnknownChannelType, "only connections")
			continue
		}
		target, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.ParseIP(to.Host), Port: int(to.Port)})
		if err != nil {
			_ = c.Reject(ssh.ConnectionFailed, err.Error())
			continue
		}
		ch, reqs, err := c.Accept()
		if err != nil {
			target.Close()
			return
		}
		go ssh.DiscardRequests(reqs)
		go func() { _, _ = io.Copy(target, ch); target.Close() }()
		go func() { _, _ = io.Copy(ch, target); ch.Close() }()
	}
}

func TestACommandRunsThroughTheBastion(t *testing.T) {
	t.Parallel()
	m, spec := startMachine(t), jumpHost(t)
	target := m.target()
	var err error
	if target.Via, err = spec.Open(); err != nil {
		t.Fatal(err)
	}
	s, err := Wait(t.Context(), target, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Output(t.Context(), Command{Script: "echo through"})
	if err != nil || string(out) != "through\n" {
		t.Errorf("%q, %v", out, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	target.HostKey = newKey(t).PublicKey() // a bastion does not weaken the pinned key
	if _, err := Dial(t.Context(), target); !errors.Is(err, ErrHostKey) {
		t.Errorf("a foreign machine behind the bastion: %v", err)
	}
}

func TestABastionThatCannotBeUsedEndsTheWaiting(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	for name, spoil := range map[string]func(*BastionSpec){
		"refused":          func(s *BastionSpec) { s.Address = "jump@" + closedPort(t) },
		"foreign host key": func(s *BastionSpec) { s.Address = jumpHost(t).Address },
		"foreign user key": func(s *BastionSpec) { newKeyFile(t, s.KeyFile) },
	} {
		spec := jumpHost(t)
		spoil(&spec)
		target := m.target()
		var err error
		if target.Via, err = spec.Open(); err != nil {
			t.Fatal(err)
		}
		if _, err = Wait(t.Context(), target, time.Hour); err == nil || !strings.Contains(err.Error(), "bastion") || fault.NextOf(err) == "" {
			t.Errorf("%s: %v, next %q", name, err, fault.NextOf(err))
		}
	}
}

func TestBadBastionsAreRefusedBeforeAnythingIsDialled(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*BastionSpec){
		`"jump" names no user and host`: func(s *BastionSpec) { s.Address = "jump" },
		`"@h" names no user`:            func(s *BastionSpec) { s.Address = "@h" },
		"known hosts":                   func(s *BastionSpec) { s.KnownHosts = "/none" },
		"/none":                         func(s *BastionSpec) { s.KeyFile = "/none" },
		"known_hosts: ":                 func(s *BastionSpec) { s.KeyFile = s.KnownHosts },
		"neither a file nor":            func(s *BastionSpec) { s.KeyFile = "" },
	} {
		spec := jumpHost(t)
		spoil(&spec)
		if _, err := spec.Open(); err == nil || !strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Usage || fault.NextOf(err) == "" {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
