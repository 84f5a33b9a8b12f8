package imds

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

func TestIdentityDocumentsAreSigned(t *testing.T) {
	t.Parallel()
	a, err := NewAuthority(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := &service{authority: a}
	doc := build(Instance{ID: "i-1", Region: "us-east-1"}, time.Now(), false)
	if err := s.sign(doc); err != nil {
		t.Fatal(err)
	}
	const at = "dynamic/instance-identity/"
	if list, _ := doc.read("dynamic/instance-identity"); list != "document\nrsa2048\nsignature" {
		t.Errorf("listing is %q", list)
	}
	block, _ := pem.Decode(a.PEM())
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	der, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(doc.leaves[at+"rsa2048"], "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	p7, err := pkcs7.Parse(der)
	if err != nil {
		t.Fatal(err)
	}
	p7.Certificates = []*x509.Certificate{cert}
	if err := p7.Verify(); err != nil || string(p7.Content) != doc.leaves[at+"document"] {
		t.Errorf("signature of %q: %v", p7.Content, err)
	}
}
