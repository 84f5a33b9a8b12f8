package chefapi

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"

	"bakehouse/internal/fault"
)

// GenerateKey makes an RSA 2048 key pair: the private half as PKCS#1 PEM, the
// public half as PKIX PEM, the forms that Chef writes itself.
func GenerateKey() (privatePEM, publicPEM []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, fmt.Errorf("generating a client key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a client key: %w", err)
	}
	privatePEM = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return privatePEM, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), nil
}

// checkKey says in words what is wrong with a private key. It never prints it.
func checkKey(client string, key []byte) error {
	bad := func(what string) error {
		return fault.Newf(fault.Usage, "give the private RSA key (PEM) of that client", "reading the key of Chef client %s: %s", client, what)
	}
	block, _ := pem.Decode(key)
	switch {
	case len(key) == 0:
		return bad("it is empty")
	case block == nil:
		return bad("it is not PEM")
	case block.Type == "PUBLIC KEY" || block.Type == "RSA PUBLIC KEY":
		return bad("it is the public half")
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return bad("it is encrypted")
	}
	if _, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return nil
	}
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		if _, ok := k.(*rsa.PrivateKey); ok {
			return nil
		}
		return bad("it is not an RSA key")
	}
	return bad("it does not parse")
}

// checkPublic refuses anything but a PKIX or PKCS#1 public key.
func checkPublic(client string, publicPEM []byte) error {
	if block, _ := pem.Decode(publicPEM); block != nil && (block.Type == "PUBLIC KEY" || block.Type == "RSA PUBLIC KEY") {
		return nil
	}
	return fmt.Errorf("creating client %s: the public key is not PEM of type PUBLIC KEY", client)
}

// md5Hex is the checksum of Chef's file store; nothing is trusted because of it.
func md5Hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}
