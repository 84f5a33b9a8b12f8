package imds

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"sync"
	"time"
)

const (
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	maxTTL      = 21600 // seconds, six hours
)

type token struct {
	instance string
	expires  time.Time
}

// tokens are the session tokens issued and not yet expired. A token works for
// the instance that asked for it and for no other.
type tokens struct {
	mu     sync.Mutex
	issued map[string]token
}

func (t *tokens) issue(instance string, now time.Time, ttl time.Duration) string {
	secret := make([]byte, 40)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the process instead
	text := base64.URLEncoding.EncodeToString(secret)
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, old := range t.issued {
		if !now.Before(old.expires) {
			delete(t.issued, key)
		}
	}
	t.issued[text] = token{instance, now.Add(ttl)}
	return text
}

func (t *tokens) valid(text, instance string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.issued[text]
	return ok && known.instance == instance && now.Before(known.expires)
}

// AccessKeyID is the access key id of the instance's role credentials: the
// same for as long as the instance lives and different for every instance, so
// that whoever sees the key can name the guest.
func AccessKeyID(instanceID string) string {
	sum := sha256.Sum256([]byte("key of " + instanceID))
	return "ASIA" + base32.StdEncoding.EncodeToString(sum[:10])
}

// credentials is what iam/security-credentials/ROLE says. The secret is made
// from the instance id: the lab checks no signatures.
type credentials struct {
	Code            string
	LastUpdated     time.Time
	Type            string
	AccessKeyID     string `json:"AccessKeyId"`
	SecretAccessKey string
	Token           string
	Expiration      time.Time
}

// Secret is what belongs to AccessKeyID: the gateway checks signatures with it
// where a test is about signatures.
func Secret(instanceID string) (secret, session string) {
	key := sha256.Sum256([]byte("secret of " + instanceID))
	token := sha256.Sum256([]byte("session of " + instanceID))
	return base64.RawStdEncoding.EncodeToString(key[:30]), base64.StdEncoding.EncodeToString(token[:])
}

func credentialsOf(instanceID string, now time.Time) credentials {
	secret, session := Secret(instanceID)
	// EC2 renews them every hour and lets them live for six.
	renewed := now.UTC().Truncate(time.Hour)
	return credentials{
		Code: "Success", LastUpdated: renewed, Type: "AWS-HMAC",
		AccessKeyID:     AccessKeyID(instanceID),
		SecretAccessKey: secret,
		Token:           session,
		Expiration:      renewed.Add(6 * time.Hour),
	}
}
