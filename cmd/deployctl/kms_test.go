package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"bakehouse/internal/config"
	"bakehouse/release"
)

// vault is KMS with one key, "alias/builds".
type vault struct {
	key    ed25519.PrivateKey
	spec   types.KeySpec
	denied bool // signing
}

func newVault(t *testing.T) *vault {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &vault{key: key, spec: types.KeySpecEccNistEdwards25519}
}

func (v *vault) GetPublicKey(_ context.Context, in *kms.GetPublicKeyInput, _ ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error) {
	if *in.KeyId != "alias/builds" {
		return nil, &smithy.GenericAPIError{Code: "NotFoundException", Message: "no such key"}
	}
	der, err := x509.MarshalPKIXPublicKey(v.key.Public())
	return &kms.GetPublicKeyOutput{KeySpec: v.spec, PublicKey: der}, err
}

func (v *vault) Sign(_ context.Context, in *kms.SignInput, _ ...func(*kms.Options)) (*kms.SignOutput, error) {
	if v.denied || in.MessageType != types.MessageTypeRaw || in.SigningAlgorithm != types.SigningAlgorithmSpecEd25519Sha512 {
		return nil, &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}
	}
	return &kms.SignOutput{Signature: ed25519.Sign(v.key, in.Message)}, nil
}

func TestAKeyInKMSSigns(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.keys = newVault(t)
	ring, err := release.ParseKeyring([]string{strings.TrimSpace(b.ok(t, "public-key", "--app", "web", "--sign-key", "kms:alias/builds"))})
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(b.ok(t, "push", tree(t, "v1"), "--app", "web", "--channel", "staging", "--sign-key", "kms:alias/builds"))
	b.trusted(t, id, ring)
}

func TestKMSRefusals(t *testing.T) {
	t.Parallel()
	push := func(b *bench, key string) (int, string) {
		code, _, errs := b.run("push", tree(t, "v1"), "--app", "web", "--channel", "staging", "--sign-key", key)
		return code, errs
	}
	b, v := newBench(), newVault(t)
	b.keys = v
	if code, errs := push(b, "kms:alias/none"); code != 5 || !strings.Contains(errs, "using signing key kms:alias/none: asking for the public half: NotFoundException") {
		t.Errorf("a key that is not there: code %d\n%s", code, errs)
	}
	v.spec = types.KeySpecEccNistP256
	if code, errs := push(b, "kms:alias/builds"); code != 2 || !strings.Contains(errs, "it is a key of spec ECC_NIST_P256") || !strings.Contains(errs, "ECC_NIST_EDWARDS25519") {
		t.Errorf("a key of another kind: code %d\n%s", code, errs)
	}
	v.spec, v.denied = types.KeySpecEccNistEdwards25519, true
	if code, errs := push(b, "kms:alias/builds"); code != 5 || !strings.Contains(errs, "allow kms:Sign") {
		t.Errorf("without the right to sign: code %d\n%s", code, errs)
	}
	for key := range b.bucket.objects {
		if strings.Contains(key, "manifest") || strings.Contains(key, "channels") {
			t.Errorf("an unsigned %s was published", key)
		}
	}
	if code, _, errs := b.run("public-key", "--app", "web"); code != 2 || !strings.Contains(errs, "no signing key") {
		t.Errorf("no key at all: code %d\n%s", code, errs)
	}
}

func TestTheFileMayNameAKeyElsewhere(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"kms:alias/builds", "env:SIGN_KEY"} {
		path := filepath.Join(t.TempDir(), "bakehouse.yaml")
		if err := os.WriteFile(path, []byte("apps:\n  web:\n    roles: [web]\n    sign_key: "+key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, true)
		if err != nil || c.Apps["web"].SignKey != key {
			t.Errorf("sign_key %s is read as %q, %v", key, c.Apps["web"].SignKey, err)
		}
	}
}

func TestAnUnversionedBucketIsTold(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.bucket.versions = ""
	if code, _, errs := b.run("push", tree(t, "v1"), "--app", "web"); code != 0 || !strings.Contains(errs, "warning: bucket builds keeps no versions") {
		t.Errorf("code %d\n%s", code, errs)
	}
}
