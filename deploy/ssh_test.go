package deploy

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"bakehouse/internal/fault"
	"bakehouse/internal/host"
	"bakehouse/release"
)

// simulated is many SSH servers in this process, each at an address of its own
// in 127.0.0.0/8, that answer every command as boot-agent would.
type simulated struct {
	port     int
	key      ssh.Signer
	user     ssh.Signer
	latency  time.Duration
	build    atomic.Value    // of release.ID
	bad      map[string]bool // addresses whose agent refuses
	mu       sync.Mutex
	dropping map[string]int // connections that break before the handshake
	open     int            // commands under way
	most     int
	commands map[string]int // by address
}

func newSSHKey(t testing.TB) ssh.Signer {
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

// newSimulated starts n servers on one port.
func newSimulated(t testing.TB, n int) (*simulated, []Host) {
	t.Helper()
	return newSimulatedAs(t, n, func(key ssh.Signer) ssh.Signer { return key })
}

// newSimulatedAs has them show what show makes of their key.
func newSimulatedAs(t testing.TB, n int, show func(ssh.Signer) ssh.Signer) (*simulated, []Host) {
	t.Helper()
	s := &simulated{key: newSSHKey(t), user: newSSHKey(t), bad: map[string]bool{}, dropping: map[string]int{}, commands: map[string]int{}}
	s.build.Store(newBuild)
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(show(s.key))
	var hosts []Host
	for i := range n {
		h := Host{Instance: fmt.Sprintf("i-%08x", i), Addr: fmt.Sprintf("127.1.%d.%d", i/250, i%250+1), Zone: string(rune('a' + i*3/n)),
			HostKeys: []string{string(ssh.MarshalAuthorizedKey(s.key.PublicKey()))}}
		l, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", h.Addr, s.port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		s.port = l.Addr().(*net.TCPAddr).Port
		go s.accept(l, config)
		hosts = append(hosts, h)
	}
	return s, hosts
}

func (s *simulated) accept(l net.Listener, config *ssh.ServerConfig) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go s.serve(conn, config)
	}
}

func (s *simulated) engine() SSH {
	return SSH{Login: host.Target{User: "ubuntu", Signers: []ssh.Signer{s.user}}, Port: s.port}
}

// breaks says whether a connection is to break.
func (s *simulated) breaks(addr string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropping[addr]--
	return s.dropping[addr] >= 0
}

// command counts commands under way.
func (s *simulated) command(addr string, by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += by
	s.most = max(s.most, s.open)
	s.commands[addr] += max(0, by)
}

func (s *simulated) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	addr := conn.LocalAddr().(*net.TCPAddr).IP.String()
	if s.breaks(addr) {
		return
	}
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
		go s.session(addr, ch, reqs)
	}
}

func (s *simulated) session(addr string, ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	for r := range reqs {
		if r.Type != "exec" {
			continue
		}
		_ = r.Reply(true, nil)
		s.command(addr, 1)
		<-time.After(s.latency)
		s.command(addr, -1)
		code := byte(0)
		if build := s.build.Load().(release.ID); s.bad[addr] && build == newBuild {
			fmt.Fprintln(ch.Stderr(), "boot-agent: error: waiting for web.service: not healthy\n  next: see journalctl")
			code = 4
		} else {
			fmt.Fprintf(ch, `{"current":%q}`, build)
		}
		_, _ = ch.SendRequest("exit-status", false, []byte{0, 0, 0, code})
		return
	}
}

func TestSSHDeploysAndTriesBrokenConnectionsOnceMore(t *testing.T) {
	t.Parallel()
	s, hosts := newSimulated(t, 5)
	s.dropping[hosts[1].Addr], s.dropping[hosts[2].Addr], s.bad[hosts[3].Addr] = 1, 2, true
	hosts[4].HostKeys = []string{string(ssh.MarshalAuthorizedKey(newSSHKey(t).PublicKey()))}
	for i, good := range []bool{true, true, false, false, false} {
		build, err := s.engine().Deploy(context.Background(), hosts[i])
		if good != (err == nil) || good && build != newBuild {
			t.Errorf("host %d: %s, %v", i, build, err)
		}
		var exit *host.ExitError
		switch {
		case i == 3 && (!errors.As(err, &exit) || err.Error() != "boot-agent deploy: exit code 4: waiting for web.service: not healthy: see journalctl on the host"):
			t.Errorf("an agent that refuses: %v", err)
		case i == 4 && !errors.Is(err, host.ErrHostKey):
			t.Errorf("a foreign host key: %v", err)
		}
	}
	if s.commands[hosts[3].Addr] != 1 || s.commands[hosts[4].Addr] != 0 {
		t.Errorf("commands %v: what an agent refuses is not tried again, and a foreign host gets none", s.commands)
	}
	hosts[0].HostKeys = nil
	if _, err := s.engine().Deploy(context.Background(), hosts[0]); !errors.Is(err, host.ErrHostKey) || fault.KindOf(err) != fault.Check {
		t.Errorf("a host without a known key: %v", err)
	}
	s.latency = time.Hour
	ctx, cancel := context.WithTimeoutCause(context.Background(), 100*time.Millisecond, errors.New("no answer within 100ms"))
	defer cancel()
	if _, err := s.engine().Deploy(ctx, hosts[1]); err == nil || err.Error() != "no answer within 100ms" {
		t.Errorf("a host that hangs: %v", err)
	}
}

func TestAFleetOfAThousandIsRolledInBoundedWaves(t *testing.T) {
	t.Parallel()
	s, hosts := newSimulated(t, 1000)
	s.latency = 5 * time.Millisecond
	for i := range 10 {
		s.dropping[hosts[i*97+5].Addr] = 1 // cured by the second try
		s.bad[hosts[i*99+7].Addr] = true   // 1 % of the fleet
	}
	f, _ := newFleet(1)
	x := f.executor()
	x.Engine, x.Late = s.engine(), nil
	r := planned(hosts, Strategy{Canary: Amount{N: 5}, Wave: Amount{N: 20, Percent: true}, PerZone: true, MaxUnhealthy: Amount{N: 1, Percent: true}, Parallel: 64})
	if err := x.Run(context.Background(), r); err != nil || r.Counts()[Deployed] != 990 || r.Counts()[Failed] != 10 {
		t.Fatalf("ended with %v: %v", err, r.Counts())
	}
	if s.most > 64 {
		t.Errorf("%d hosts at once, want 64 at most", s.most)
	}
	f2, _ := newFleet(1)
	s.bad[hosts[0].Addr] = true
	x = f2.executor()
	x.Engine, x.Late = s.engine(), nil
	x.Back = func(context.Context, *Rollout) (bool, error) { s.build.Store(oldBuild); return true, nil }
	clear(s.commands)
	r = planned(hosts, r.Strategy)
	if err := x.Run(context.Background(), r); fault.KindOf(err) != fault.Check || r.Phase != RolledBack || len(s.commands) != 5 {
		t.Errorf("a bad canary: %v, %v, %d hosts were touched, want 5", err, r.Counts(), len(s.commands))
	}
}

func TestWhatAHostSaysIsOneLineWithoutTerminalCodes(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"fetching\nboot-agent: error: \x1b[2Jgone\rfine\n  next: look\n": "[2Jgone fine",
		"\x07\x9b31mpanic\n": "31mpanic",
		"":                   "it said nothing",
	} {
		if got := lastError(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
