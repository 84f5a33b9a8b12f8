package broker

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"

	"bakehouse/internal/fault"
)

// Document is what the broker reads of an instance identity document.
type Document struct {
	InstanceID string `json:"instanceId"`
	AccountID  string `json:"accountId"`
	Region     string `json:"region"`
	ImageID    string `json:"imageId"`
	PrivateIP  string `json:"privateIp"`
}

// checkDocument parses a document and checks AWS's signature of it.
func (p Policy) checkDocument(text, signature string) (Document, error) {
	var d Document
	if err := json.Unmarshal([]byte(text), &d); err != nil || !isInstanceID(d.InstanceID) || !isRegion(d.Region) || len(d.AccountID) != 12 {
		return d, refuse(BadDocument, "the identity document names no instance, account and region")
	}
	certificates := p.Certificates[d.Region]
	if len(certificates) == 0 {
		if p.Unsigned {
			return d, nil
		}
		return d, refuse(NoCertificate, "no certificate of region %s is configured", d.Region)
	}
	if !slices.ContainsFunc(certificates, func(c *x509.Certificate) bool { return signedBy(c, text, signature) }) {
		return d, refuse(BadSignature, "the identity document is not signed by AWS in %s", d.Region)
	}
	return d, nil
}

// signedBy checks a PKCS #7 signature over text. Certificates inside the
// signature are ignored: whoever forges one encloses his own.
func signedBy(c *x509.Certificate, text, signature string) bool {
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(signature), ""))
	if err != nil {
		return false
	}
	p7, err := pkcs7.Parse(der)
	if err != nil || len(p7.Signers) == 0 {
		return false
	}
	if len(p7.Content) == 0 {
		p7.Content = []byte(text)
	}
	p7.Certificates = []*x509.Certificate{c}
	return bytes.Equal(p7.Content, []byte(text)) && p7.Verify() == nil
}

// ParseCertificates reads the PEM certificates of one region.
func ParseCertificates(b []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Newf(fault.Usage, "", "reading a certificate: %w", err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fault.Newf(fault.Usage, "", "reading certificates: none in PEM form")
	}
	return all, nil
}

// checkName wants the node's name to be an allowed prefix and the instance id.
func (p Policy) checkName(node, instance string) error {
	prefix, ok := strings.CutSuffix(node, instance)
	if !ok || !slices.Contains(p.Prefixes, prefix) {
		return refuse(BadName, "%q is not an allowed prefix and %s", node, instance)
	}
	return nil
}

// checkRegion wants the STS call to be of the document's region.
func checkRegion(c Call, d Document) error {
	if c.Region != d.Region {
		return refuse(WrongRegion, "the identity document is of %s, the STS call of %s", d.Region, c.Region)
	}
	return nil
}

// checkCaller compares who signed with whom the document is of. An instance's
// role session is named after the instance by EC2 itself:
// arn:aws:sts::ACCOUNT:assumed-role/ROLE/i-….
func (p Policy) checkCaller(c Caller, d Document) (role string, err error) {
	arn := strings.SplitN(c.ARN, ":", 6)
	var parts []string
	if len(arn) == 6 {
		parts = strings.Split(arn[5], "/")
	}
	if len(parts) != 3 || arn[2] != "sts" || parts[0] != "assumed-role" || !isInstanceID(parts[2]) {
		return "", refuse(NotAnInstance, "%q is not the role session of an instance", c.ARN)
	}
	account, role, session := arn[4], parts[1], parts[2]
	isOf := func(r string) bool { return strings.HasPrefix(r, account+":") }
	switch {
	case c.Account != account || !slices.ContainsFunc(p.Roles, isOf):
		return role, refuse(ForeignAccount, "no role of account %s may register", account)
	case d.AccountID != account:
		return role, refuse(ForeignAccount, "the caller is of account %s, its document of %s", account, d.AccountID)
	case !slices.Contains(p.Roles, account+":"+role):
		return role, refuse(ForeignRole, "role %s of account %s may not register", role, account)
	case session != d.InstanceID:
		return role, refuse(OtherInstance, "the caller is %s, its document is of %s", session, d.InstanceID)
	}
	return role, nil
}

// checkInstance judges what EC2 says. known: this very key was registered
// before, which makes a repeated request harmless however old the instance is.
func (p Policy) checkInstance(in Instance, d Document, known bool, now time.Time) error {
	switch {
	case in.ID == "":
		return refuse(UnknownInstance, "EC2 shows no instance %s in %s", d.InstanceID, d.Region)
	case in.State != "pending" && in.State != "running":
		return refuse(NotRunning, "%s is %s", in.ID, in.State)
	case in.ImageID != d.ImageID || in.PrivateIP != d.PrivateIP:
		return refuse(DocumentMismatch, "EC2 says image %s and address %s of %s, its document %s and %s", in.ImageID, in.PrivateIP, in.ID, d.ImageID, d.PrivateIP)
	case !known && now.Sub(in.Launched) > p.MaxAge:
		return refuse(TooOld, "%s was launched %s ago, and a first registration is taken for %s", in.ID, now.Sub(in.Launched).Round(time.Second), p.MaxAge)
	}
	return nil
}

// checkAgain judges an instance that registered another key before.
func (p Policy) checkAgain(old Entry, gone bool) error {
	switch {
	case !gone:
		return refuse(Replayed, "client %s was registered at %s with another key", old.Client, old.At.Format(time.RFC3339))
	case !p.Again:
		return refuse(Replayed, "client %s was registered at %s and is gone; a second registration is not allowed here", old.Client, old.At.Format(time.RFC3339))
	}
	return nil
}
