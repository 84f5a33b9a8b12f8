package release

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says what sort of document was signed. It is part of what is signed, so
// that no manifest can ever pass for a channel.
type Kind string

// The kinds of documents.
const (
	ManifestKind Kind = "manifest"
	ChannelKind  Kind = "channel"
	PlanKind     Kind = "plan" // of a rollout by pull, see package waves
)

// A signed document is the JSON document, byte by byte as it was signed, and
// one more line with the signatures, {"signatures":[…]}. The signature
// covers the kind and all bytes before that line, so nobody has to agree on a
// canonical form of JSON, and jq still reads the object.
const (
	sealMark  = `{"signatures":`
	publicTag = "ed25519:"
)

// What Verify finds where no known key has signed.
var (
	ErrUnsigned   = errors.New("it is not signed")
	ErrUnknownKey = errors.New("it is signed by an unknown key")
)

// KeyID names a public key: the first 16 hex digits of its SHA-256.
type KeyID string

// PublicKey checks signatures; its text is "ed25519:" and base64.
type PublicKey struct{ key ed25519.PublicKey }

// ParsePublicKey reads what String writes.
func ParsePublicKey(text string) (PublicKey, error) {
	b64, ok := strings.CutPrefix(text, publicTag)
	raw, err := base64.StdEncoding.DecodeString(b64)
	if !ok || err != nil || len(raw) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("parsing public key %q: want ed25519: and the base64 of 32 bytes, as deployctl keygen prints it", text)
	}
	return PublicKey{raw}, nil
}

// String returns the key as text.
func (k PublicKey) String() string { return publicTag + base64.StdEncoding.EncodeToString(k.key) }

// ID returns the key's short name.
func (k PublicKey) ID() KeyID {
	sum := sha256.Sum256(k.key)
	return KeyID(hex.EncodeToString(sum[:8]))
}

// NewPublicKey is a raw Ed25519 public key of 32 bytes.
func NewPublicKey(raw []byte) (PublicKey, error) {
	if len(raw) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("reading public key: %d bytes, want %d", len(raw), ed25519.PublicKeySize)
	}
	return PublicKey{slices.Clone(raw)}, nil
}

// Signer signs documents, with a key of its own or with one that lies elsewhere.
type Signer struct {
	key    ed25519.PrivateKey // nil: elsewhere
	public PublicKey
	remote func(message []byte) ([]byte, error)
}

// RemoteSigner signs with a key that never leaves where it is: sign returns the
// Ed25519 signature (64 bytes) of a message of up to MaxDocument bytes.
func RemoteSigner(public PublicKey, sign func(message []byte) ([]byte, error)) *Signer {
	return &Signer{public: public, remote: sign}
}

// localSigner signs with key.
func localSigner(key ed25519.PrivateKey) *Signer {
	public, _ := key.Public().(ed25519.PublicKey) // always one
	return &Signer{key: key, public: PublicKey{public}}
}

// NewSigner makes a key.
func NewSigner() (*Signer, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fmt.Errorf("making a signing key: %w", err)
	}
	return localSigner(key), nil
}

// ParseSigner reads an Ed25519 private key in PEM (PKCS #8, RFC 5958), as PEM
// and `openssl genpkey -algorithm ed25519` write it.
func ParseSigner(text []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("parsing signing key: it is no PEM block PRIVATE KEY")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("parsing signing key: the PEM block holds no PKCS #8 key") // err may quote it
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("parsing signing key: it is a %T, want an Ed25519 key", parsed)
	}
	return localSigner(key), nil
}

// PEM returns the private key as ParseSigner reads it. A remote key has none.
func (s *Signer) PEM() ([]byte, error) {
	if s.key == nil {
		return nil, errors.New("rendering signing key: it lies elsewhere")
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, fmt.Errorf("rendering signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Public returns the key that checks what s signs.
func (s *Signer) Public() PublicKey { return s.public }

// seal signs a message. What a remote key gives is checked, so that a document
// is never published under a signature that nobody accepts.
func (s *Signer) seal(message []byte) ([]byte, error) {
	if s.key != nil {
		return ed25519.Sign(s.key, message), nil
	}
	signature, err := s.remote(message)
	if err == nil && !ed25519.Verify(s.public.key, message, signature) {
		err = fmt.Errorf("the signature that came back is not one of key %s", s.public.ID())
	}
	return signature, err
}

// Sign returns doc with a signature of s. Signatures that doc carries stay,
// so that two keys can be in use while one takes over from the other.
func (s *Signer) Sign(kind Kind, doc []byte) ([]byte, error) {
	body, seals, err := split(doc)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", kind, err)
	}
	if !bytes.HasSuffix(body, []byte("\n")) {
		body = append(slices.Clone(body), '\n')
	}
	id := s.Public().ID()
	seals = slices.DeleteFunc(seals, func(o seal) bool { return o.Key == id })
	signature, err := s.seal(message(kind, body))
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", kind, err)
	}
	seals = append(seals, seal{id, signature})
	line, err := json.Marshal(seals)
	if err != nil {
		return nil, fmt.Errorf("signing %s: %w", kind, err)
	}
	return slices.Concat(body, []byte(sealMark), line, []byte("}\n")), nil
}

// Keyring is the set of keys that one trusts.
type Keyring []PublicKey

// ParseKeyring reads keys as ParsePublicKey does.
func ParseKeyring(texts []string) (Keyring, error) {
	var ring Keyring
	for _, text := range texts {
		k, err := ParsePublicKey(text)
		if err != nil {
			return nil, err
		}
		ring = append(ring, k)
	}
	return ring, nil
}

// Verify says whose key of the ring signed doc. A document without any
// signature is ErrUnsigned, one that only strangers signed ErrUnknownKey; one
// that a known key did not sign as it is now is another error.
func (r Keyring) Verify(kind Kind, doc []byte) (KeyID, error) {
	body, seals, err := split(doc)
	if err != nil {
		return "", err
	}
	if len(seals) == 0 {
		return "", ErrUnsigned
	}
	var strangers []string
	for _, o := range seals {
		i := slices.IndexFunc(r, func(k PublicKey) bool { return k.ID() == o.Key })
		if i < 0 {
			strangers = append(strangers, string(o.Key))
			continue
		}
		if !ed25519.Verify(r[i].key, message(kind, body), o.Signature) {
			return "", fmt.Errorf("the signature of key %s does not match: it was changed after it was signed", o.Key)
		}
		return o.Key, nil
	}
	return "", fmt.Errorf("%w (%s)", ErrUnknownKey, strings.Join(strangers, ", "))
}

// Signed says whether doc carries a signature, of whomever.
func Signed(doc []byte) bool {
	_, seals, err := split(doc)
	return err != nil || len(seals) > 0
}

// seal is one signature.
type seal struct {
	Key       KeyID  `json:"key"`
	Signature []byte `json:"ed25519"`
}

// message is what is signed.
func message(kind Kind, body []byte) []byte {
	return slices.Concat([]byte("bakehouse "+string(kind)+"\n"), body)
}

// split parts a document from its signatures.
func split(doc []byte) (body []byte, seals []seal, err error) {
	at := bytes.LastIndex(bytes.TrimRight(doc, "\n"), []byte("\n")) + 1
	if !bytes.HasPrefix(doc[at:], []byte(sealMark)) {
		return doc, nil, nil
	}
	var line struct {
		Signatures []seal `json:"signatures"`
	}
	if err := unmarshal(doc[at:], &line); err != nil {
		return nil, nil, fmt.Errorf("reading its signatures: %w", err)
	}
	return doc[:at], line.Signatures, nil
}
