package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"bakehouse/test/lab/gateway"
)

// nobody is a hypervisor without machines.
type nobody struct{}

func (nobody) State(string) (string, bool)                          { return "", false }
func (nobody) Snapshot(context.Context, string, string, bool) error { return nil }
func (nobody) RemoveImage(string)                                   {}
func (nobody) Console(string) []byte                                { return nil }
func (nobody) Nudge()                                               {}

// identity is a gateway that gave out one role session, before an upstream
// that nobody must ask.
type identity struct {
	url   string
	now   time.Time
	asked int
}

const (
	sessionKey    = "ASIALAB"
	sessionSecret = "sessionsecret"
	sessionToken  = "sessiontoken"
)

func newIdentity(t *testing.T) *identity {
	t.Helper()
	i := &identity{now: time.Now()}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { i.asked++; w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(up.Close)
	upstream, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Upstream: upstream, Machines: nobody{}, Recorder: io.Discard, Now: func() time.Time { return i.now },
		Session: func(key string) (gateway.Session, bool) {
			return gateway.Session{Account: "123456789012", Role: "web", Name: "i-0123456789abcdef0", Secret: sessionSecret, Token: sessionToken}, key == sessionKey
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close() })
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	i.url = srv.URL
	return i
}

// presigned is a GetCallerIdentity that somebody else sends, bound to a header.
func (i *identity) presigned(t *testing.T, key, secret string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, i.url+"/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=300", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-bound", "to us")
	empty := sha256.Sum256(nil)
	signed, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: sessionToken},
		req, hex.EncodeToString(empty[:]), "sts", "us-east-1", i.now)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func get(t *testing.T, address, bound string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if bound != "" {
		req.Header.Set("x-bound", bound)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestARoleSessionIsToldItsOwnARN(t *testing.T) {
	t.Parallel()
	i := newIdentity(t)
	out, err := sts.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &i.url,
		Credentials: credentials.NewStaticCredentialsProvider(sessionKey, sessionSecret, sessionToken)}).GetCallerIdentity(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(out.Arn) != "arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0" || aws.ToString(out.Account) != "123456789012" || i.asked != 0 {
		t.Errorf("it is told %s of %s; upstream was asked %d times", aws.ToString(out.Arn), aws.ToString(out.Account), i.asked)
	}
}

func TestPresignedSignaturesAreChecked(t *testing.T) {
	t.Parallel()
	i := newIdentity(t)
	good := i.presigned(t, sessionKey, sessionSecret)
	if status, body := get(t, good, "to us"); status != http.StatusOK || !strings.Contains(body, "assumed-role/web/i-0123456789abcdef0") {
		t.Errorf("a good one: %d %s", status, body)
	}
	for what, tc := range map[string]struct{ url, bound, code string }{
		"another header":    {good, "to them", "SignatureDoesNotMatch"},
		"without it":        {good, "", "SignatureDoesNotMatch"},
		"another secret":    {i.presigned(t, sessionKey, "guess"), "to us", "SignatureDoesNotMatch"},
		"another expiry":    {strings.Replace(good, "X-Amz-Expires=300", "X-Amz-Expires=900", 1), "to us", "SignatureDoesNotMatch"},
		"another parameter": {good + "&Extra=1", "to us", "SignatureDoesNotMatch"},
		"an unknown key":    {i.presigned(t, "ASIASTRANGER", sessionSecret), "to us", "InvalidClientTokenId"},
		"no expiry":         {strings.Replace(good, "X-Amz-Expires=300", "X-Amz-Expires=soon", 1), "to us", "AccessDenied"},
	} {
		if status, body := get(t, tc.url, tc.bound); status != http.StatusForbidden || !strings.Contains(body, tc.code) {
			t.Errorf("%s: %d %s, want 403 %s", what, status, body, tc.code)
		}
	}
	i.now = i.now.Add(6 * time.Minute)
	if status, body := get(t, good, "to us"); status != http.StatusForbidden || !strings.Contains(body, "expired") {
		t.Errorf("six minutes later: %d %s", status, body)
	}
	if i.asked != 0 {
		t.Errorf("upstream was asked %d times", i.asked)
	}
}
