package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"bakehouse/internal/fault"
)

// BastionSpec names a machine that connections go through (ssh's ProxyJump).
type BastionSpec struct {
	Address     string // USER@HOST or USER@HOST:PORT
	KeyFile     string // private key, OpenSSH or PEM, without passphrase; empty: the agent's keys
	KnownHosts  string // known_hosts file that holds the bastion's host key
	AgentSocket string // SSH_AUTH_SOCK; empty: no agent
	Flag        string // what advice calls the flag of Address; empty: --bastion
	Share       bool   // one connection for all machines: sshd drops some of many logins at once (MaxStartups)
}

// Bastion is a machine that connections go through.
type Bastion struct {
	user, addr string
	auth       ssh.AuthMethod
	hostKey    ssh.HostKeyCallback
	shared     *sharedJump // nil: a connection for each machine
}

// Open reads the files that the spec names, and connects to nobody. Errors are
// fault.Usage.
func (b BastionSpec) Open() (*Bastion, error) {
	if b.Flag == "" {
		b.Flag = "--bastion"
	}
	user, addr, ok := strings.Cut(b.Address, "@")
	if !ok || user == "" || addr == "" || strings.ContainsAny(addr, " /@") {
		return nil, fault.Newf(fault.Usage, "write "+b.Flag+" USER@HOST or USER@HOST:PORT", "reading the bastion: %q names no user and host", b.Address)
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(strings.Trim(addr, "[]"), "22")
	}
	hostKey, err := knownhosts.New(b.KnownHosts)
	if err != nil {
		return nil, fault.New(fault.Usage, "name the file with the bastion's host key ("+b.Flag+"-known-hosts): ssh-keyscan prints it, its owner confirms it", fmt.Errorf("reading the bastion's known hosts: %w", err))
	}
	auth, err := b.auth()
	if err != nil {
		return nil, err
	}
	jump := &Bastion{user: user, addr: addr, auth: auth, hostKey: hostKey}
	if b.Share {
		jump.shared = &sharedJump{}
	}
	return jump, nil
}

// auth takes the key file, or else the agent.
func (b BastionSpec) auth() (ssh.AuthMethod, error) {
	if b.KeyFile == "" {
		if b.AgentSocket == "" {
			return nil, fault.Newf(fault.Usage, "name a key file, or start ssh-agent and ssh-add the key", "reading the bastion's key: neither a file nor an SSH agent is there")
		}
		return ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			conn, err := net.Dial("unix", b.AgentSocket)
			if err != nil {
				return nil, fmt.Errorf("asking the SSH agent: %w", err)
			}
			return agent.NewClient(conn).Signers() // the signers use the connection later
		}), nil
	}
	text, err := os.ReadFile(b.KeyFile)
	if err != nil {
		return nil, fault.New(fault.Usage, "correct the path of the bastion's key ("+b.Flag+"-key)", fmt.Errorf("reading the bastion's key: %w", err))
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fault.Newf(fault.Usage, "ssh-add it, and name no key file: the agent is used then", "reading the bastion's key: %s has a passphrase", b.KeyFile)
	}
	if err != nil {
		return nil, fault.Newf(fault.Usage, "give a private key as ssh-keygen makes it", "reading the bastion's key: %s: %w", b.KeyFile, err)
	}
	return ssh.PublicKeys(signer), nil
}

// connect logs in to the bastion, bounded by ctx. A bastion that cannot be
// reached is no booting machine: the caller gives up.
func (b *Bastion) connect(ctx context.Context) (*ssh.Client, error) {
	conn, err := (&net.Dialer{KeepAlive: keepAlive}).DialContext(ctx, "tcp", b.addr)
	if err != nil {
		return nil, fault.New(fault.Check, "check the bastion's address and whether it admits this machine", ended(ctx, fmt.Errorf("connecting to the bastion: %w", err)))
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, b.addr, &ssh.ClientConfig{User: b.user, Auth: []ssh.AuthMethod{b.auth}, HostKeyCallback: b.hostKey,
		HostKeyAlgorithms: knownKinds(b.hostKey, b.addr)})
	if !stop() && err == nil {
		c.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		next := "check the bastion's user and key"
		var key *knownhosts.KeyError
		if errors.As(err, &key) {
			next = "put the bastion's host key into the known_hosts file, if you trust it"
		}
		return nil, fault.New(fault.Check, next, ended(ctx, fmt.Errorf("connecting to the bastion %s@%s: %w", b.user, b.addr, err)))
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// connect opens the TCP connection to the machine, through the bastion if
// there is one; closing it closes the bastion's, too.
func (t Target) connect(ctx context.Context) (net.Conn, error) {
	if t.Via == nil {
		return (&net.Dialer{KeepAlive: keepAlive}).DialContext(ctx, "tcp", t.Addr)
	}
	if t.Via.shared != nil {
		return t.Via.through(ctx, t.Addr)
	}
	jump, err := t.Via.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBastion, err)
	}
	conn, err := jump.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		jump.Close()
		return nil, fmt.Errorf("through the bastion %s: %w", t.Via.addr, err)
	}
	return hop{conn, jump}, nil
}

// errBastion ends a Wait: the machine itself was not even asked.
var errBastion = errors.New("the bastion cannot be used")

// hop is a connection through a bastion.
type hop struct {
	net.Conn
	jump *ssh.Client
}

// Close closes both connections.
func (h hop) Close() error { return errors.Join(h.Conn.Close(), h.jump.Close()) }
