// Package enrol is the noun between an instance without a Chef key and the
// broker that makes it a Chef client: what the one posts and the other answers.
// Nothing in it is a secret that outlives the minutes for which the request is
// good, and the request is good for one broker and one public key only.
package enrol

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Path is where the broker takes requests, by POST.
const Path = "/v1/register"

// Headers that are part of the presigned STS request. STS refuses the request
// when either differs from what the instance signed: so a request cannot be
// carried to another broker, nor used to register another key.
const (
	AudienceHeader = "x-bakehouse-audience"
	KeyHeader      = "x-bakehouse-key-sha256"
)

// SignedHeaders is the only value of X-Amz-SignedHeaders that is taken.
const SignedHeaders = "host;" + AudienceHeader + ";" + KeyHeader

// Version of the STS API, and the action that is presigned.
const (
	STSVersion = "2011-06-15"
	STSAction  = "GetCallerIdentity"
)

// Lifetime is what an instance asks for when it presigns, and the most that a
// broker takes.
const Lifetime = 5 * time.Minute

// MaxBody bounds a request and an answer, in bytes. A real one has about 5 KiB.
const MaxBody = 32 << 10

// Request is what an instance posts.
type Request struct {
	Node      string `json:"node"`       // name of the client to make: a prefix and the instance id
	PublicKey string `json:"public_key"` // PEM, PKIX
	Document  string `json:"document"`   // instance identity document, byte for byte as the metadata service gives it
	RSA2048   string `json:"rsa2048"`    // its PKCS #7 signature as that service gives it, base64
	STS       string `json:"sts"`        // presigned URL of sts:GetCallerIdentity
}

// Answer is what the broker says. It never holds a key.
type Answer struct {
	Client string `json:"client,omitempty"` // the client that exists now with the posted key
	Made   bool   `json:"made,omitempty"`   // false: it existed already with this very key
	Reason string `json:"reason,omitempty"` // why not: one of the refusals that docs/broker.md lists
	Error  string `json:"error,omitempty"`  // the same in words
}

// KeySum is the value of KeyHeader for a public key: SHA-256 of the PEM as posted.
func KeySum(publicPEM []byte) string {
	sum := sha256.Sum256(publicPEM)
	return hex.EncodeToString(sum[:])
}
