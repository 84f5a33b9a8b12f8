package chefproxy

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" // #nosec G505 -- what protocol 1.1 signs with
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxSkew is how far a request's clock may be off, as on a Chef server.
const maxSkew = 15 * time.Minute

// Signer is who signs requests: a client or user of the Chef server.
type Signer struct {
	Name string
	key  *rsa.PrivateKey
}

// NewSigner reads a PEM private key.
func NewSigner(name string, privatePEM []byte) (Signer, error) {
	block, _ := pem.Decode(privatePEM)
	if block == nil {
		return Signer{}, fmt.Errorf("reading the key of %s: it is not PEM", name)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return Signer{name, key}, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return Signer{}, fmt.Errorf("reading the key of %s: %w", name, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return Signer{}, fmt.Errorf("reading the key of %s: it is not an RSA key", name)
	}
	return Signer{name, key}, nil
}

// Sign puts Chef's headers on r, protocol 1.3 (docs.chef.io, "Chef Infra
// Server API", authentication headers). Others of that family are dropped.
func (s Signer) Sign(r *http.Request, body []byte, now time.Time) error {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Ops-") {
			r.Header.Del(name)
		}
	}
	for name, value := range map[string]string{"X-Ops-Sign": "algorithm=sha256;version=1.3;", "X-Ops-Userid": s.Name,
		"X-Ops-Timestamp": now.UTC().Format(time.RFC3339), "X-Ops-Content-Hash": hash256(body), "X-Ops-Server-Api-Version": "1", "X-Chef-Version": "16.0.0"} {
		r.Header.Set(name, value)
	}
	sum := sha256.Sum256([]byte(canonical13(r)))
	signed, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return fmt.Errorf("signing as %s: %w", s.Name, err)
	}
	text := base64.StdEncoding.EncodeToString(signed)
	for i := 1; len(text) > 0; i++ {
		n := min(60, len(text))
		r.Header.Set("X-Ops-Authorization-"+strconv.Itoa(i), text[:n])
		text = text[n:]
	}
	return nil
}

// verify checks a request's signature, protocol 1.3 or 1.1, with the public
// key of the client that it names.
func verify(r *http.Request, body []byte, key *rsa.PublicKey, now time.Time) error {
	stamp, err := time.Parse(time.RFC3339, r.Header.Get("X-Ops-Timestamp"))
	if err != nil || stamp.Sub(now).Abs() > maxSkew {
		return fmt.Errorf("the request's time %q is not that of the server", r.Header.Get("X-Ops-Timestamp"))
	}
	var text strings.Builder
	for i := 1; r.Header.Get("X-Ops-Authorization-"+strconv.Itoa(i)) != ""; i++ {
		text.WriteString(r.Header.Get("X-Ops-Authorization-" + strconv.Itoa(i)))
	}
	signed, err := base64.StdEncoding.DecodeString(text.String())
	if err != nil {
		return errors.New("the signature is not base64")
	}
	hash, want := crypto.SHA256, hash256(body)
	var sum []byte
	switch version := r.Header.Get("X-Ops-Sign"); {
	case strings.Contains(version, "version=1.3"):
		s := sha256.Sum256([]byte(canonical13(r)))
		sum = s[:]
	case strings.Contains(version, "version=1.1"): // the text itself is signed, not a hash of it
		hash, sum, want = 0, []byte(canonical11(r)), hash1(body)
	default:
		return fmt.Errorf("the signature's version %q is none of 1.3 and 1.1", version)
	}
	if r.Header.Get("X-Ops-Content-Hash") != want {
		return errors.New("the body is not the one that was signed")
	}
	if rsa.VerifyPKCS1v15(key, hash, sum, signed) != nil {
		return errors.New("the signature is not that of the client's key")
	}
	return nil
}

func canonical13(r *http.Request) string {
	h := r.Header.Get
	return strings.Join([]string{"Method:" + r.Method, "Path:" + r.URL.Path, "X-Ops-Content-Hash:" + h("X-Ops-Content-Hash"), "X-Ops-Sign:version=1.3",
		"X-Ops-Timestamp:" + h("X-Ops-Timestamp"), "X-Ops-UserId:" + h("X-Ops-Userid"), "X-Ops-Server-API-Version:" + h("X-Ops-Server-Api-Version")}, "\n")
}

func canonical11(r *http.Request) string {
	h := r.Header.Get
	return strings.Join([]string{"Method:" + r.Method, "Hashed Path:" + hash1([]byte(r.URL.Path)), "X-Ops-Content-Hash:" + h("X-Ops-Content-Hash"),
		"X-Ops-Timestamp:" + h("X-Ops-Timestamp"), "X-Ops-UserId:" + hash1([]byte(h("X-Ops-Userid")))}, "\n")
}

func hash256(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func hash1(b []byte) string {
	sum := sha1.Sum(b) // #nosec G401 -- what protocol 1.1 signs with
	return base64.StdEncoding.EncodeToString(sum[:])
}

// publicKey reads a PEM public key.
func publicKey(text string) (*rsa.PublicKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the server's public key is not PEM")
	}
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the server's public key: %w", err)
	}
	key, ok := parsed.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("the server's public key is not RSA")
	}
	return key, nil
}
