package bake

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyPair is an Ed25519 key that lives only as long as the bake.
type keyPair struct {
	signer     ssh.Signer
	public     ssh.PublicKey
	privatePEM string // OpenSSH format
	publicLine string // authorized_keys format, without newline
}

// newKeyPair makes a key in memory.
func newKeyPair(comment string) (keyPair, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, fmt.Errorf("making a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return keyPair{}, fmt.Errorf("making a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return keyPair{}, fmt.Errorf("making a key: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " " + comment
	return keyPair{signer: signer, public: signer.PublicKey(), privatePEM: string(pem.EncodeToMemory(block)), publicLine: line}, nil
}
