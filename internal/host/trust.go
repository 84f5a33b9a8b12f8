package host

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"bakehouse/internal/fault"
)

// Trust says which host keys are a machine's own.
type Trust struct {
	check ssh.HostKeyCallback
	kinds func(addr string) []string // host key algorithms to ask addr for
}

// KnownHosts trusts what files in OpenSSH's known_hosts format hold: keys by
// host, and certificates of the authorities on @cert-authority lines; what is
// on a @revoked line is refused. Errors are fault.Usage.
func KnownHosts(files ...string) (*Trust, error) {
	check, err := knownhosts.New(files...)
	if err != nil {
		return nil, fault.New(fault.Usage, "name files in the format of OpenSSH's known_hosts", fmt.Errorf("reading known hosts: %w", err))
	}
	return &Trust{check: check, kinds: func(addr string) []string { return knownKinds(check, addr) }}, nil
}

// knownKinds asks for the kinds of key that are known of addr, as a server that
// has several would show its favourite; certificates first.
func knownKinds(check ssh.HostKeyCallback, addr string) []string {
	out := []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01, ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}
	var known *knownhosts.KeyError
	if err := check(addr, &net.TCPAddr{}, nobody{}); !errors.As(err, &known) {
		return out
	}
	for _, k := range known.Want {
		for _, a := range algorithms(k.Key) {
			if !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// nobody is a key that no file holds.
type nobody struct{}

func (nobody) Type() string                        { return "none" }
func (nobody) Marshal() []byte                     { return []byte("none") }
func (nobody) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }

// Keys trusts the given keys, each a line as in authorized_keys. No key at all
// is an error: nothing is trusted blindly.
func Keys(lines []string) (*Trust, error) {
	var keys []ssh.PublicKey
	var kinds []string
	for _, l := range lines {
		k, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l))
		if err != nil {
			return nil, fmt.Errorf("reading host key %q: %w", l, err)
		}
		keys, kinds = append(keys, k), append(kinds, algorithms(k)...)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: none is known of it", ErrHostKey)
	}
	check := func(_ string, _ net.Addr, shown ssh.PublicKey) error {
		for _, k := range keys {
			if string(k.Marshal()) == string(shown.Marshal()) {
				return nil
			}
		}
		return fmt.Errorf("%s, which is none of its %d known keys", ssh.FingerprintSHA256(shown), len(keys))
	}
	return &Trust{check: check, kinds: func(string) []string { return kinds }}, nil
}

// KeyFile reads a private key without passphrase, for Target.Signers.
func KeyFile(path string) ([]ssh.Signer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "name a private key", fmt.Errorf("reading SSH key: %w", err))
	}
	s, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fault.Newf(fault.Usage, "ssh-add "+path+", and leave the flag out", "reading SSH key %s: it has a passphrase", path)
	case err != nil:
		return nil, fault.New(fault.Usage, "name a private key", fmt.Errorf("reading SSH key %s: %w", path, err))
	}
	return []ssh.Signer{s}, nil
}

// AgentKeys returns the keys of the SSH agent at socket ($SSH_AUTH_SOCK). The
// connection to the agent stays open for as long as the process lives, as
// every login is signed over it.
func AgentKeys(socket string) ([]ssh.Signer, error) {
	next := "ssh-add a key, or name a private key"
	if socket == "" {
		return nil, fault.Newf(fault.Usage, next, "asking the SSH agent: SSH_AUTH_SOCK is not set")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fault.New(fault.Usage, next, fmt.Errorf("asking the SSH agent: %w", err))
	}
	keys, err := agent.NewClient(conn).Signers()
	if err == nil && len(keys) == 0 {
		err = errors.New("it has no key")
	}
	if err != nil {
		return nil, errors.Join(fault.New(fault.Usage, next, fmt.Errorf("asking the SSH agent: %w", err)), conn.Close())
	}
	return keys, nil
}
