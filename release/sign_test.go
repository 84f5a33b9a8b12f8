package release

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"
)

func newSigner(t *testing.T) *Signer {
	t.Helper()
	s, err := NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func someManifest(t *testing.T) []byte {
	t.Helper()
	b, err := NewManifest("web", Packed{ID: someID, Size: 5, UnpackedSize: 9, Files: 2}, created()).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sign(t *testing.T, s *Signer, kind Kind, doc []byte) []byte {
	t.Helper()
	b, err := s.Sign(kind, doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignedDocumentsAreReadAndTrusted(t *testing.T) {
	t.Parallel()
	old, new := newSigner(t), newSigner(t)
	doc := sign(t, new, ManifestKind, sign(t, old, ManifestKind, someManifest(t)))
	if m, err := ParseManifest(doc); err != nil || m.ID != someID {
		t.Errorf("a signed manifest reads as %+v, %v", m, err)
	}
	for name, s := range map[string]*Signer{"old": old, "new": new} {
		if id, err := (Keyring{s.Public()}).Verify(ManifestKind, doc); err != nil || id != s.Public().ID() {
			t.Errorf("the %s key: %s, %v", name, id, err)
		}
	}
	if again := sign(t, new, ManifestKind, doc); !bytes.Equal(again, doc) {
		t.Errorf("signing twice changed the document:\n%s\n%s", doc, again)
	}
	if Signed(someManifest(t)) || !Signed(doc) {
		t.Error("Signed tells the two apart the wrong way round")
	}
}

func TestUntrustedDocumentsAreRefused(t *testing.T) {
	t.Parallel()
	ours, stranger := newSigner(t), newSigner(t)
	ring := Keyring{ours.Public()}
	good := sign(t, ours, ManifestKind, someManifest(t))
	other, err := NewManifest("web", Packed{ID: someID, Size: 6, UnpackedSize: 9, Files: 2}, created()).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	line := good[bytes.LastIndex(bytes.TrimRight(good, "\n"), []byte("\n"))+1:]
	for name, c := range map[string]struct {
		doc  []byte
		want string
	}{
		"no signature":                     {someManifest(t), ErrUnsigned.Error()},
		"an empty list":                    {append(someManifest(t), `{"signatures":[]}`+"\n"...), ErrUnsigned.Error()},
		"a stranger's":                     {sign(t, stranger, ManifestKind, someManifest(t)), "unknown key (" + string(stranger.Public().ID())},
		"a changed document":               {bytes.Replace(good, []byte(`"size": 5`), []byte(`"size": 7`), 1), "changed after it was signed"},
		"another document's signature":     {append(other, line...), "changed after it was signed"},
		"a channel's signature":            {sign(t, ours, ChannelKind, someManifest(t)), "changed after it was signed"},
		"a stranger under our name":        {bytes.Replace(sign(t, stranger, ManifestKind, someManifest(t)), []byte(stranger.Public().ID()), []byte(ours.Public().ID()), 1), "changed after it was signed"},
		"a signature line that is no JSON": {append(someManifest(t), `{"signatures":[`...), "reading its signatures"},
		"a short signature":                {append(someManifest(t), `{"signatures":[{"key":"`+string(ours.Public().ID())+`","ed25519":"AA=="}]}`...), "changed after it was signed"},
	} {
		if id, err := ring.Verify(ManifestKind, c.doc); err == nil || id != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v; want %q", name, id, err, c.want)
		}
	}
	if _, err := ring.Verify(ManifestKind, someManifest(t)); !errors.Is(err, ErrUnsigned) {
		t.Errorf("an unsigned manifest: %v", err)
	}
}

func TestKeysComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	text, err := s.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSigner(text)
	if err != nil || again.Public().ID() != s.Public().ID() {
		t.Errorf("the private key: %v", err)
	}
	ring, err := ParseKeyring([]string{s.Public().String()})
	if err != nil || ring[0].ID() != s.Public().ID() {
		t.Errorf("the public key: %v", err)
	}
	// The key of RFC 8032, section 7.1, test 1, as openssl writes it.
	const openssl = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n"
	if k, err := ParseSigner([]byte(openssl)); err != nil || k.Public().String() != "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=" {
		t.Errorf("RFC 8032's first test key: %v", err)
	}
	for _, bad := range []string{"", "ed25519:", "ed25519:AAAA", "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", s.Public().String() + "x"} {
		if _, err := ParsePublicKey(bad); err == nil {
			t.Errorf("%q passes for a public key", bad)
		}
	}
	for _, bad := range []string{"", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := ParseSigner([]byte(bad)); err == nil || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%q as a private key: %v", bad, err)
		}
	}
}

func TestRemoteSignerSignsAsALocalOne(t *testing.T) {
	t.Parallel()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	doc := []byte("{}\n")
	remote := RemoteSigner(key, func(m []byte) ([]byte, error) { return ed25519.Sign(private, m), nil })
	signed, err := remote.Sign(ChannelKind, doc)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := (Keyring{key}).Verify(ChannelKind, signed); err != nil || id != key.ID() {
		t.Errorf("verifying what it signed: %v, %v", id, err)
	}
	if _, err := remote.PEM(); err == nil {
		t.Error("a remote key has a private half")
	}
	wrong := RemoteSigner(key, func([]byte) ([]byte, error) { return make([]byte, ed25519.SignatureSize), nil })
	if _, err := wrong.Sign(ChannelKind, doc); err == nil {
		t.Error("a wrong signature is published")
	}
	broken := RemoteSigner(key, func([]byte) ([]byte, error) { return nil, errors.New("no network") })
	if _, err := broken.Sign(ChannelKind, doc); err == nil || !strings.Contains(err.Error(), "no network") {
		t.Errorf("a failed call: %v", err)
	}
	if _, err := NewPublicKey(public[:31]); err == nil {
		t.Error("31 bytes are a key")
	}
}
