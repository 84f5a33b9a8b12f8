// Package broker makes Chef clients for instances that prove who they are, so
// that no Chef secret ever reaches an instance. The proof is a presigned call of
// sts:GetCallerIdentity, made with the instance's role and bound to this broker
// and to one public key; the instance identity document with AWS's signature;
// and what EC2 says of the instance. An instance is registered once.
//
// Every rule is a pure function that names its refusal (Reason).
package broker

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/enrol"
)

// Policy says whom the broker registers.
type Policy struct {
	Audience  string   // what instances sign as AudienceHeader: the URL that they call
	Roles     []string // ACCOUNT:ROLE, the roles of instance profiles that may register
	Prefixes  []string // what may stand in front of the instance id in a node's name; "" for nothing
	Endpoints []string // STS endpoints trusted beside AWS's own, scheme://HOST[:PORT]; for private endpoints and labs
	// MaxAge is how long after its launch an instance may register for the first
	// time: it bounds what a stolen role session of an old instance is good for.
	MaxAge time.Duration
	// Certificates are AWS's public certificates for identity documents (RSA-2048),
	// by region. A region without one is refused unless Unsigned is set.
	Certificates map[string][]*x509.Certificate
	Unsigned     bool // take documents whose signature cannot be checked
	// Again lets an instance register another key once its old client is gone.
	Again bool
}

// Instance is what EC2 says of an instance.
type Instance struct {
	ID, State, ImageID, PrivateIP string
	Launched                      time.Time
}

// Entry is what the ledger keeps of a registration.
type Entry struct {
	Client string    `json:"client"`
	Key    string    `json:"key_sha256"` // of the public key in DER
	At     time.Time `json:"at"`
}

// ErrTaken says that somebody else wrote the ledger's entry since it was read.
var ErrTaken = errors.New("somebody else wrote it meanwhile")

// Ledger remembers who was registered, beyond the life of a process.
type Ledger interface {
	// Read returns the entry of an instance and the version to hand to Write;
	// the zero Entry and "" when there is none.
	Read(ctx context.Context, instance string) (Entry, string, error)
	// Write stores an entry where the version is still that, else ErrTaken.
	Write(ctx context.Context, instance, version string, e Entry) error
}

// Chef is the Chef server as the broker's own client sees it.
type Chef interface {
	CreateClient(ctx context.Context, name string, publicPEM []byte) error
	// ClientKey returns the public key of a client; chefapi.ErrNotFound without one.
	ClientKey(ctx context.Context, name string) ([]byte, error)
}

// World is what the broker asks, each call bounded by its context.
type World struct {
	STS    func(ctx context.Context, c Call) (Caller, error)
	EC2    func(ctx context.Context, account, region, instance string) (Instance, error)
	Chef   Chef
	Ledger Ledger
	Now    func() time.Time
}

// Broker judges requests. It is safe for concurrent use.
type Broker struct {
	policy Policy
	world  World
}

// New returns a broker. The policy has been checked.
func New(p Policy, w World) *Broker { return &Broker{p, w} }

// Who is what is known of a caller, for the audit line; it fills up as the
// checks pass.
type Who struct{ Instance, Account, Region, Role, Client, Key string }

// Register judges a request from the cheapest check to the dearest, and makes
// the client. A refusal is a *Refusal; any other error is the world's. take is
// asked before anybody else is: it may refuse what is too much, and does not
// hear of what anybody could have made up.
func (b *Broker) Register(ctx context.Context, r enrol.Request, take func() error) (who Who, made bool, err error) {
	who, call, doc, err := b.screen(r)
	if err == nil {
		err = take()
	}
	if err != nil {
		return who, false, err
	}
	caller, err := b.world.STS(ctx, call)
	if err != nil {
		return who, false, err
	}
	if who.Role, err = b.policy.checkCaller(caller, doc); err != nil {
		return who, false, err
	}
	made, err = b.admit(ctx, doc, who, []byte(r.PublicKey))
	return who, made, err
}

// screen judges what the request itself shows.
func (b *Broker) screen(r enrol.Request) (who Who, call Call, doc Document, err error) {
	if who.Key, err = parseKey(r.PublicKey); err != nil {
		return who, call, doc, err
	}
	if call, err = b.policy.checkURL(r.STS, enrol.KeySum([]byte(r.PublicKey)), b.world.Now()); err != nil {
		return who, call, doc, err
	}
	if doc, err = b.policy.checkDocument(r.Document, r.RSA2048); err != nil {
		return who, call, doc, err
	}
	who.Instance, who.Account, who.Region = doc.InstanceID, doc.AccountID, doc.Region
	if err = b.policy.checkName(r.Node, doc.InstanceID); err == nil {
		err = checkRegion(call, doc)
	}
	if err == nil {
		who.Client = r.Node
	}
	return who, call, doc, err
}

// admit asks the ledger and EC2, and makes the client. The ledger is written
// first: who dies in between finds its own entry and goes on.
func (b *Broker) admit(ctx context.Context, doc Document, who Who, publicPEM []byte) (bool, error) {
	old, version, err := b.world.Ledger.Read(ctx, doc.InstanceID)
	if err != nil {
		return false, fmt.Errorf("reading the ledger: %w", err)
	}
	in, err := b.world.EC2(ctx, doc.AccountID, doc.Region, doc.InstanceID)
	if err != nil {
		return false, err
	}
	known := old.Key == who.Key && old.Client == who.Client
	if err := b.policy.checkInstance(in, doc, known, b.world.Now()); err != nil {
		return false, err
	}
	if !known {
		if err := b.claim(ctx, old, version, who); err != nil {
			return false, err
		}
	}
	err = b.world.Chef.CreateClient(ctx, who.Client, publicPEM)
	if errors.Is(err, chefapi.ErrExists) {
		return false, b.sameClient(ctx, who)
	}
	return err == nil, err
}

// claim writes the instance's entry, unless it registered another key before.
func (b *Broker) claim(ctx context.Context, old Entry, version string, who Who) error {
	if old.Key != "" {
		_, err := b.world.Chef.ClientKey(ctx, old.Client)
		gone := errors.Is(err, chefapi.ErrNotFound)
		if err != nil && !gone {
			return err
		}
		if err := b.policy.checkAgain(old, gone); err != nil {
			return err
		}
	}
	err := b.world.Ledger.Write(ctx, who.Instance, version, Entry{Client: who.Client, Key: who.Key, At: b.world.Now().UTC()})
	if errors.Is(err, ErrTaken) {
		return refuse(Replayed, "%s is being registered by another request", who.Instance)
	}
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// sameClient is nil when the client that exists has the posted key.
func (b *Broker) sameClient(ctx context.Context, who Who) error {
	have, err := b.world.Chef.ClientKey(ctx, who.Client)
	if err != nil {
		return err
	}
	if sum, err := parseKey(string(have)); err != nil || sum != who.Key {
		return refuse(OtherKey, "client %s exists with another key", who.Client)
	}
	return nil
}

// parseKey checks a posted public key and returns the SHA-256 of its DER form.
func parseKey(text string) (string, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "" {
		return "", refuse(BadKey, "the public key is not one PEM block of type PUBLIC KEY")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(*rsa.PublicKey)
	if err != nil || !ok || key.N.BitLen() < 2048 {
		return "", refuse(BadKey, "the public key is not RSA of 2048 bits or more")
	}
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:]), nil
}

// ParseRequest reads a posted body strictly.
func ParseRequest(body []byte) (enrol.Request, error) {
	var r enrol.Request
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil || dec.More() {
		return r, refuse(BadRequest, "the body is not one request in JSON")
	}
	return r, nil
}

// isInstanceID knows both lengths of instance ids.
func isInstanceID(s string) bool {
	return regexp.MustCompile(`^i-[0-9a-f]{8}([0-9a-f]{9})?$`).MatchString(s)
}
