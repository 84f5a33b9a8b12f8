package imds

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
)

// Authority signs identity documents, as AWS does with one certificate for each
// region. This one is made by the lab and trusted by nobody outside it.
type Authority struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// NewAuthority makes a key and a certificate that says what it is.
func NewAuthority(now time.Time) (*Authority, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("making the key of identity documents: %w", err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "lab standing in for EC2 instance identity"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of identity documents: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of identity documents: %w", err)
	}
	return &Authority{key, cert}, nil
}

// PEM is the certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// signatures are the leaves beside the document: RSA over its SHA-256, and PKCS
// #7 with RSA-2048. EC2's third, a PKCS #7 with DSA, is left out.
func (a *Authority) signatures(document string) (map[string]string, error) {
	sum := sha256.Sum256([]byte(document))
	plain, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, sum[:])
	if err != nil {
		return nil, fmt.Errorf("signing an identity document: %w", err)
	}
	sd, err := pkcs7.NewSignedData([]byte(document))
	if err != nil {
		return nil, fmt.Errorf("signing an identity document: %w", err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.SignWithoutAttr(a.cert, a.key, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("signing an identity document: %w", err)
	}
	der, err := sd.Finish()
	if err != nil {
		return nil, fmt.Errorf("signing an identity document: %w", err)
	}
	return map[string]string{"signature": wrapped(plain), "rsa2048": wrapped(der)}, nil
}

// wrapped is base64 in lines of 64, as EC2 breaks them.
func wrapped(b []byte) string {
	text := base64.StdEncoding.EncodeToString(b)
	var lines []string
	for ; len(text) > 64; text = text[64:] {
		lines = append(lines, text[:64])
	}
	return strings.Join(append(lines, text), "\n")
}
