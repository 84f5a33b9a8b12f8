package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/enrol"
)

const (
	testInstance = "i-0123456789abcdef0"
	testAccount  = "123456789012"
	testRegion   = "eu-west-1"
	testAudience = "https://broker.test"
)

func testNow() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

// signer is an authority that signs identity documents; made once, keys are dear.
type signer struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

var authorities = sync.OnceValue(func() [2]signer { return [2]signer{newSigner(1), newSigner(2)} })

func newSigner(serial int64) signer {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "aws-of-the-test"}, NotBefore: testNow().AddDate(-1, 0, 0), NotAfter: testNow().AddDate(10, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return signer{key, cert}
}

// sign makes what the metadata service gives as rsa2048, with the
// signer's own certificate enclosed.
func (s signer) sign(t *testing.T, text string) string {
	t.Helper()
	sd, err := pkcs7.NewSignedData([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := sd.SignWithoutAttr(s.cert, s.key, pkcs7.SignerInfoConfig{}); err != nil {
		t.Fatal(err)
	}
	der, err := sd.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func (s signer) publicPEM(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&s.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// world is everything around a broker, in memory, and the request of an
// instance with which all is well.
type world struct {
	t       *testing.T
	policy  Policy
	limits  Limits
	now     time.Time
	caller  Caller
	stsErr  error
	ec2     Instance
	ec2Err  error
	clients map[string]string
	chefErr error
	ledger  map[string]Entry
	taken   bool // somebody else writes the ledger in between
	calls   []string
	query   url.Values // of the presigned URL
	host    string
	doc     map[string]string
	req     enrol.Request
	log     bytes.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: testNow(), clients: map[string]string{}, ledger: map[string]Entry{}, host: "https://sts." + testRegion + ".amazonaws.com", limits: Defaults()}
	w.policy = Policy{Audience: testAudience, Roles: []string{testAccount + ":web"}, Prefixes: []string{"", "web-"}, MaxAge: 30 * time.Minute,
		Certificates: map[string][]*x509.Certificate{testRegion: {authorities()[0].cert}}}
	w.caller = Caller{Account: testAccount, ARN: "arn:aws:sts::" + testAccount + ":assumed-role/web/" + testInstance, UserID: "AROA1:" + testInstance}
	w.ec2 = Instance{ID: testInstance, State: "running", ImageID: "ami-1", PrivateIP: "10.0.0.1", Launched: w.now.Add(-2 * time.Minute)}
	w.doc = map[string]string{"instanceId": testInstance, "accountId": testAccount, "region": testRegion, "imageId": "ami-1", "privateIp": "10.0.0.1"}
	w.query = url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}, "X-Amz-Algorithm": {"AWS4-HMAC-SHA256"},
		"X-Amz-Credential": {"ASIA1/20260102/" + testRegion + "/sts/aws4_request"}, "X-Amz-Date": {"20260102T030400Z"}, "X-Amz-Expires": {"300"},
		"X-Amz-SignedHeaders": {enrol.SignedHeaders}, "X-Amz-Security-Token": {"session"}, "X-Amz-Signature": {"5ecre7"}}
	w.req = enrol.Request{Node: "web-" + testInstance, PublicKey: authorities()[1].publicPEM(t)}
	return w
}

// request fills in what the test did not spoil.
func (w *world) request() enrol.Request {
	r := w.req
	if r.STS == "" {
		r.STS = w.host + "/?" + w.query.Encode()
	}
	if r.Document == "" {
		b, err := json.Marshal(w.doc)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Document = string(b)
	}
	if r.RSA2048 == "" {
		r.RSA2048 = authorities()[0].sign(w.t, r.Document)
	}
	return r
}

func (w *world) handler() http.Handler {
	return Handler(New(w.policy, World{
		STS: func(_ context.Context, c Call) (Caller, error) {
			w.calls = append(w.calls, "sts")
			if c.Audience != testAudience || c.KeySum != enrol.KeySum([]byte(w.req.PublicKey)) {
				w.t.Errorf("STS is called for %q and key %q", c.Audience, c.KeySum)
			}
			return w.caller, w.stsErr
		},
		EC2: func(_ context.Context, account, region, id string) (Instance, error) {
			w.calls = append(w.calls, "ec2 "+account+" "+region+" "+id)
			return w.ec2, w.ec2Err
		},
		Chef: w, Ledger: w, Now: func() time.Time { return w.now },
	}), w.limits, slog.New(slog.NewJSONHandler(&w.log, nil)))
}

// post sends the request and returns the answer.
func (w *world) post() (int, enrol.Answer) {
	w.t.Helper()
	return w.send(w.body())
}

// body is the request as it is posted.
func (w *world) body() string {
	w.t.Helper()
	b, err := json.Marshal(w.request())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) send(body string) (int, enrol.Answer) {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.handler().ServeHTTP(rec, httptest.NewRequest(http.MethodPost, enrol.Path, strings.NewReader(body)))
	var a enrol.Answer
	if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil {
		w.t.Fatalf("answer %q: %v", rec.Body, err)
	}
	return rec.Code, a
}

// refuses posts and wants one refusal that leaves Chef and ledger as they were.
func (w *world) refuses(want Reason, status int) {
	w.t.Helper()
	clients, entries := fmt.Sprint(w.clients), fmt.Sprint(w.ledger)
	code, a := w.post()
	if code != status || a.Reason != string(want) || a.Error == "" || a.Client != "" || strings.Contains(a.Error, "\n") {
		w.t.Errorf("answer %d %+v, want %d %s", code, a, status, want)
	}
	if fmt.Sprint(w.clients) != clients || fmt.Sprint(w.ledger) != entries {
		w.t.Errorf("a refused request changed the world: clients %v, ledger %v", w.clients, w.ledger)
	}
}

func (w *world) CreateClient(_ context.Context, name string, public []byte) error {
	w.calls = append(w.calls, "create "+name)
	if _, ok := w.clients[name]; ok {
		return fmt.Errorf("creating client %s: %w", name, chefapi.ErrExists)
	}
	if w.chefErr == nil {
		w.clients[name] = string(public)
	}
	return w.chefErr
}

func (w *world) ClientKey(_ context.Context, name string) ([]byte, error) {
	k, ok := w.clients[name]
	if !ok {
		return nil, fmt.Errorf("fetching client %s: %w", name, chefapi.ErrNotFound)
	}
	return []byte(k), nil
}

func (w *world) Read(_ context.Context, id string) (Entry, string, error) {
	e, ok := w.ledger[id]
	if !ok {
		return e, "", nil
	}
	return e, e.Key, nil
}

func (w *world) Write(_ context.Context, id, version string, e Entry) error {
	if w.taken || w.ledger[id].Key != version {
		return ErrTaken
	}
	w.ledger[id] = e
	return nil
}
