package deploy

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"bakehouse/internal/host"
)

// jumpHost is an SSH server that passes connections on.
type jumpHost struct {
	listener net.Listener
	logins   atomic.Int32
	mu       sync.Mutex
	conns    []net.Conn
}

// newJumpHost starts one, and says how it is reached.
func newJumpHost(t *testing.T) (*jumpHost, host.BastionSpec) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	user, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	own := newSSHKey(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if string(k.Marshal()) != string(user.Marshal()) {
			return nil, errors.New("not admitted")
		}
		return nil, nil
	}}
	config.AddHostKey(own)
	j := &jumpHost{}
	if j.listener, err = net.Listen("tcp4", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.listener.Close() })
	go j.accept(config)
	dir := t.TempDir()
	spec := host.BastionSpec{Address: "jump@" + j.listener.Addr().String(), KeyFile: filepath.Join(dir, "key"),
		KnownHosts: filepath.Join(dir, "known_hosts"), Flag: "--jump", Share: true}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(spec.KeyFile, string(pem.EncodeToMemory(block)))
	write(spec.KnownHosts, knownhosts.Line([]string{j.listener.Addr().String()}, own.PublicKey())+"\n")
	return j, spec
}

func (j *jumpHost) accept(config *ssh.ServerConfig) {
	for {
		conn, err := j.listener.Accept()
		if err != nil {
			return
		}
		j.mu.Lock()
		j.conns = append(j.conns, conn)
		j.mu.Unlock()
		go j.serve(conn, config)
	}
}

func (j *jumpHost) serve(conn net.Conn, config *ssh.ServerConfig) {
	_, chans, reqs, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	j.logins.Add(1)
	go ssh.DiscardRequests(reqs)
	for c := range chans {
		var to struct {
			Host       string
			Port       uint32
			From       string
			SourcePort uint32
		}
		if c.ChannelType() != "direct-tcpip" || ssh.Unmarshal(c.ExtraData(), &to) != nil {
			_ = c.Reject(ssh.UnknownChannelType, "connections alone")
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

// cut breaks every connection to the jump host.
func (j *jumpHost) cut() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.conns {
		c.Close()
	}
}

func TestHostsBehindAJumpHostShareOneLogin(t *testing.T) {
	t.Parallel()
	s, hosts := newSimulated(t, 40)
	s.latency = 5 * time.Millisecond
	j, spec := newJumpHost(t)
	e := s.engine()
	var err error
	if e.Login.Via, err = spec.Open(); err != nil {
		t.Fatal(err)
	}
	f, _ := newFleet(1)
	x := f.executor()
	x.Engine, x.Late = e, nil
	r := planned(hosts, Strategy{Wave: Amount{N: 40}, Parallel: 20})
	if err := x.Run(context.Background(), r); err != nil || r.Counts()[Deployed] != 40 || j.logins.Load() != 1 {
		t.Errorf("%v: %v, %d logins on the jump host, want 1", err, r.Counts(), j.logins.Load())
	}
	j.cut() // an engine outlives its connection
	if build, err := e.Deploy(context.Background(), hosts[0]); err != nil || build != newBuild || j.logins.Load() != 2 {
		t.Errorf("after the jump host was cut off: %s, %v, %d logins", build, err, j.logins.Load())
	}
	foreign := hosts[1]
	foreign.HostKeys = []string{string(ssh.MarshalAuthorizedKey(newSSHKey(t).PublicKey()))}
	if _, err := e.Deploy(context.Background(), foreign); !errors.Is(err, host.ErrHostKey) {
		t.Errorf("a foreign host behind the jump host: %v", err)
	}
	gone := hosts[2]
	gone.Addr = "127.2.0.1" // nobody listens there
	if _, err := e.Deploy(context.Background(), gone); err == nil || !strings.Contains(err.Error(), "through the bastion") {
		t.Errorf("a host that is not there: %v", err)
	}
	if build, err := e.Deploy(context.Background(), hosts[3]); err != nil || build != newBuild || j.logins.Load() != 2 {
		t.Errorf("one host's refusal cost the others their connection: %s, %v, %d logins", build, err, j.logins.Load())
	}
}

func TestAJumpHostWithAForeignKeyIsNotUsed(t *testing.T) {
	t.Parallel()
	s, hosts := newSimulated(t, 1)
	j, spec := newJumpHost(t)
	_, other := newJumpHost(t)
	spec.KnownHosts = other.KnownHosts
	e := s.engine()
	var err error
	if e.Login.Via, err = spec.Open(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Deploy(context.Background(), hosts[0]); err == nil || !strings.Contains(err.Error(), "connecting to the bastion") || j.logins.Load() != 0 || len(s.commands) != 0 {
		t.Errorf("%v, %d logins, commands %v", err, j.logins.Load(), s.commands)
	}
}

// TestHostsWithACertificateOfTheAuthority: known_hosts holds the authority
// alone, no host's key.
func TestHostsWithACertificateOfTheAuthority(t *testing.T) {
	t.Parallel()
	authority := newSSHKey(t)
	certified := func(names ...string) func(ssh.Signer) ssh.Signer {
		return func(key ssh.Signer) ssh.Signer {
			cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: names, ValidBefore: ssh.CertTimeInfinity}
			if err := cert.SignCert(rand.Reader, authority); err != nil {
				t.Fatal(err)
			}
			signer, err := ssh.NewCertSigner(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			return signer
		}
	}
	for name, c := range map[string]struct {
		show func(ssh.Signer) ssh.Signer
		good bool
	}{
		"its own certificate":     {certified("127.1.0.1"), true},
		"another's certificate":   {certified("127.9.9.9"), false},
		"a key without signature": {func(k ssh.Signer) ssh.Signer { return k }, false},
	} {
		s, hosts := newSimulatedAs(t, 1, c.show)
		known := filepath.Join(t.TempDir(), "known_hosts")
		line := fmt.Sprintf("@cert-authority [*]:%d %s", s.port, ssh.MarshalAuthorizedKey(authority.PublicKey()))
		if err := os.WriteFile(known, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		trust, err := host.KnownHosts(known)
		if err != nil {
			t.Fatal(err)
		}
		e := s.engine()
		e.Login.Trust = trust
		build, err := e.Deploy(context.Background(), hosts[0])
		if c.good != (err == nil) || c.good && build != newBuild || !c.good && !errors.Is(err, host.ErrHostKey) {
			t.Errorf("%s: %s, %v", name, build, err)
		}
	}
}
