package broker

import (
	"fmt"
	"net/http"
)

// Reason names a refusal. docs/broker.md lists them all, and a test compares.
type Reason string

// The refusals.
const (
	BadRequest       Reason = "bad-request"        // not the JSON that an agent posts
	TooLarge         Reason = "too-large"          // the body is larger than any real one
	TooMany          Reason = "too-many"           // more requests than the broker takes; come back later
	BadKey           Reason = "bad-key"            // the public key is none, or too weak
	BadURL           Reason = "bad-url"            // the presigned URL is not exactly a GetCallerIdentity
	ForeignEndpoint  Reason = "foreign-endpoint"   // its host is no STS endpoint
	Expired          Reason = "expired"            // it was signed too long ago, ahead of time, or for too long
	NotOurs          Reason = "not-signed-for-us"  // signed for another broker or another key, or not well signed
	BadDocument      Reason = "bad-document"       // the identity document does not parse
	BadSignature     Reason = "bad-signature"      // AWS did not sign it
	NoCertificate    Reason = "no-certificate"     // nothing to check the signature of its region with
	BadName          Reason = "bad-name"           // the node's name is not a prefix and the instance id
	WrongRegion      Reason = "wrong-region"       // the document and the STS call are of different regions
	NotAnInstance    Reason = "not-an-instance"    // the caller is no role session of an instance
	OtherInstance    Reason = "other-instance"     // the caller is another instance than the document's
	ForeignAccount   Reason = "foreign-account"    // no role of that account may register
	ForeignRole      Reason = "foreign-role"       // the role may not register
	UnknownInstance  Reason = "unknown-instance"   // EC2 does not know the instance
	NotRunning       Reason = "not-running"        // it is neither pending nor running
	TooOld           Reason = "too-old"            // it was launched too long ago for a first registration
	DocumentMismatch Reason = "document-mismatch"  // EC2 says otherwise of it than its document
	Replayed         Reason = "already-registered" // it registered another key before
	OtherKey         Reason = "other-key"          // the client exists with another key
)

// Reasons lists all refusals.
func Reasons() []Reason {
	return []Reason{BadRequest, TooLarge, TooMany, BadKey, BadURL, ForeignEndpoint, Expired, NotOurs, BadDocument, BadSignature,
		NoCertificate, BadName, WrongRegion, NotAnInstance, OtherInstance, ForeignAccount, ForeignRole, UnknownInstance,
		NotRunning, TooOld, DocumentMismatch, Replayed, OtherKey}
}

// Refusal says that a request was judged and found wanting.
type Refusal struct {
	Reason Reason
	Text   string // one line, without secrets
}

// Error is the text behind the reason's name.
func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Text }

// Status is the HTTP status of the refusal. Only TooMany and UnknownInstance
// are worth another attempt: EC2 shows a new instance with delay.
func (r *Refusal) Status() int {
	switch r.Reason {
	case BadRequest, BadKey, BadURL, BadDocument, BadName:
		return http.StatusBadRequest
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case TooMany:
		return http.StatusTooManyRequests
	case Replayed, OtherKey:
		return http.StatusConflict
	case UnknownInstance:
		return http.StatusTooEarly
	}
	return http.StatusForbidden
}

func refuse(r Reason, format string, args ...any) error {
	return &Refusal{r, fmt.Sprintf(format, args...)}
}
