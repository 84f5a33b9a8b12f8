package host

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"bakehouse/internal/fault"
)

// knownFile writes a known_hosts file.
func knownFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func foreignKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOnlyKnownHostKeysAreTrusted(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	own := knownhosts.Line([]string{m.addr}, m.hostKey.PublicKey())
	other := knownhosts.Line([]string{m.addr}, foreignKey(t))
	for name, c := range map[string]struct {
		lines []string
		good  bool
	}{
		"its key":                {[]string{own}, true},
		"one of two":             {[]string{other, own}, true},
		"another key":            {[]string{other}, false},
		"another host":           {[]string{knownhosts.Line([]string{"10.9.9.9"}, m.hostKey.PublicKey())}, false},
		"an empty file":          {nil, false},
		"its key, but revoked":   {[]string{own, "@revoked * " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(m.hostKey.PublicKey())))}, false},
		"an authority elsewhere": {[]string{"@cert-authority *.example.com " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(m.hostKey.PublicKey())))}, false},
	} {
		trust, err := KnownHosts(knownFile(t, c.lines...))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Dial(context.Background(), Target{Addr: m.addr, User: "ubuntu", Signers: []ssh.Signer{m.user}, Trust: trust})
		if err == nil {
			s.Close()
		}
		if c.good != (err == nil) || !c.good && !errors.Is(err, ErrHostKey) {
			t.Errorf("%s: connected with %v", name, err)
		}
	}
}

func TestKeysTrustsWhatIsListedAndNeverNothing(t *testing.T) {
	t.Parallel()
	m := startMachine(t)
	line := func(k ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(k)) }
	both, err := Keys([]string{line(foreignKey(t)), line(m.hostKey.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Dial(context.Background(), Target{Addr: m.addr, User: "ubuntu", Signer: m.user, Trust: both})
	if err != nil {
		t.Fatalf("a listed key: %v", err)
	}
	s.Close()
	other, err := Keys([]string{line(foreignKey(t))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(context.Background(), Target{Addr: m.addr, User: "ubuntu", Signer: m.user, Trust: other}); !errors.Is(err, ErrHostKey) {
		t.Errorf("a key that is not listed: %v", err)
	}
	if _, err := Keys(nil); !errors.Is(err, ErrHostKey) {
		t.Errorf("no key at all: %v", err)
	}
	if _, err := Keys([]string{"ssh-ed25519 nonsense"}); err == nil {
		t.Error("a key that is none was taken")
	}
}

func TestLoginKeysThatCannotBe(t *testing.T) {
	t.Parallel()
	if _, err := KeyFile(filepath.Join(t.TempDir(), "none")); fault.KindOf(err) != fault.Usage {
		t.Errorf("no file: %v", err)
	}
	if _, err := KeyFile(knownFile(t, "hello")); fault.KindOf(err) != fault.Usage {
		t.Errorf("no key: %v", err)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeyFile(path); fault.NextOf(err) != "ssh-add "+path+", and leave the flag out" {
		t.Errorf("a locked key: %v", err)
	}
	for _, socket := range []string{"", "/nowhere"} {
		if _, err := AgentKeys(socket); fault.KindOf(err) != fault.Usage {
			t.Errorf("agent at %q: %v", socket, err)
		}
	}
	if _, err := KnownHosts("/nowhere"); fault.KindOf(err) != fault.Usage {
		t.Errorf("no file of known hosts: %v", err)
	}
}

func TestTheKeysOfAnSSHAgentLogIn(t *testing.T) {
	t.Parallel()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	if _, err := AgentKeys(socket); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "it has no key") {
		t.Errorf("an agent without a key: %v", err)
	}
	if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	keys, err := AgentKeys(socket)
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	signature, err := keys[0].Sign(rand.Reader, []byte("challenge"))
	if err != nil || keys[0].PublicKey().Verify([]byte("challenge"), signature) != nil {
		t.Errorf("the agent's key does not sign: %v", err)
	}
}
