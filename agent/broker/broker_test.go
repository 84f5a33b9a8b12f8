package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/enrol"
)

func TestAnInstanceThatProvesItselfIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	code, a := w.post()
	if code != http.StatusCreated || !a.Made || a.Client != "web-"+testInstance || w.clients[a.Client] != w.req.PublicKey {
		t.Fatalf("answer %d %+v, clients %v", code, a, w.clients)
	}
	if want := []string{"sts", "ec2 " + testAccount + " " + testRegion + " " + testInstance, "create web-" + testInstance}; !slices.Equal(w.calls, want) {
		t.Errorf("calls %v, want %v", w.calls, want)
	}
	// Its reply was lost, and much time went by: the same key is the same client.
	w.now, w.query["X-Amz-Date"], w.query["X-Amz-Credential"] = w.now.Add(20*time.Hour), []string{"20260102T230400Z"}, []string{"ASIA1/20260102/" + testRegion + "/sts/aws4_request"}
	if code, a = w.post(); code != http.StatusOK || a.Made || len(w.clients) != 1 {
		t.Errorf("the second time: %d %+v", code, a)
	}
}

func TestTheAuditLineNamesWhoAndHoldsNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post()
	w.policy.Roles = []string{testAccount + ":other"}
	w.post()
	log := w.log.String()
	for _, want := range []string{`"outcome":"registered"`, `"outcome":"refused"`, `"reason":"foreign-role"`, `"instance":"` + testInstance + `"`, `"role":"web"`, `"account":"` + testAccount + `"`, `"key_sha256":"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	for _, secret := range []string{"5ecre7", "session", "X-Amz", "BEGIN"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %s:\n%s", secret, log)
		}
	}
}

// row is a request with one thing wrong.
type row struct {
	spoil  func(*world)
	reason Reason
	status int
}

// spoiledURLs are requests whose presigned URL is wrong.
func spoiledURLs() map[string]row {
	set := func(name, value string) func(*world) { return func(w *world) { w.query.Set(name, value) } }
	host := func(h string) func(*world) { return func(w *world) { w.host = h } }
	url := func(u string) func(*world) { return func(w *world) { w.req.STS = u } }
	return map[string]row{
		"no URL":                 {url("%"), BadURL, 400},
		"a path":                 {func(w *world) { w.req.STS = w.host + "/x?" + w.query.Encode() }, BadURL, 400},
		"an encoded path":        {func(w *world) { w.req.STS = w.host + "/%2f?" + w.query.Encode() }, BadURL, 400},
		"a user":                 {func(w *world) { w.req.STS = strings.Replace(w.host, "//", "//u@", 1) + "/?" + w.query.Encode() }, BadURL, 400},
		"a fragment":             {func(w *world) { w.req.STS = w.host + "/?" + w.query.Encode() + "#x" }, BadURL, 400},
		"a semicolon":            {func(w *world) { w.req.STS = w.host + "/?" + w.query.Encode() + ";a=b" }, BadURL, 400},
		"another action":         {set("Action", "AssumeRole"), BadURL, 400},
		"another version":        {set("Version", "2010-01-01"), BadURL, 400},
		"one parameter more":     {set("RoleArn", "x"), BadURL, 400},
		"a parameter twice":      {func(w *world) { w.query.Add("Action", "AssumeRole") }, BadURL, 400},
		"no session":             {func(w *world) { w.query.Del("X-Amz-Security-Token") }, BadURL, 400},
		"no signature":           {set("X-Amz-Signature", ""), BadURL, 400},
		"another algorithm":      {set("X-Amz-Algorithm", "AWS4-HMAC-SHA1"), BadURL, 400},
		"another service":        {set("X-Amz-Credential", "ASIA1/20260102/eu-west-1/s3/aws4_request"), BadURL, 400},
		"a scope of another day": {set("X-Amz-Credential", "ASIA1/20260101/eu-west-1/sts/aws4_request"), BadURL, 400},
		"a region that is none":  {set("X-Amz-Credential", "ASIA1/20260102/evil.test#/sts/aws4_request"), BadURL, 400},
		"no time":                {set("X-Amz-Date", "20260102"), BadURL, 400},
		"no expiry":              {set("X-Amz-Expires", "soon"), BadURL, 400},
		"a negative expiry":      {set("X-Amz-Expires", "-1"), BadURL, 400},
		"a foreign host":         {host("https://evil.test"), ForeignEndpoint, 403},
		"a look-alike host":      {host("https://sts.eu-west-1.amazonaws.com.evil.test"), ForeignEndpoint, 403},
		"a host in front":        {host("https://evil.sts.eu-west-1.amazonaws.com"), ForeignEndpoint, 403},
		"a bucket's host":        {host("https://sts.s3.eu-west-1.amazonaws.com"), ForeignEndpoint, 403},
		"no TLS":                 {host("http://sts.eu-west-1.amazonaws.com"), ForeignEndpoint, 403},
		"a port":                 {host("https://sts.eu-west-1.amazonaws.com:444"), ForeignEndpoint, 403},
		"another region's host":  {host("https://sts.us-west-2.amazonaws.com"), ForeignEndpoint, 403},
		"global, not its region": {host("https://sts.amazonaws.com"), ForeignEndpoint, 403},
		"the metadata service":   {host("http://169.254.169.254"), ForeignEndpoint, 403},
		"expired":                {func(w *world) { w.now = w.now.Add(6 * time.Minute) }, Expired, 403},
		"good for too long":      {set("X-Amz-Expires", "301"), Expired, 403},
		"overflowing expiry":     {set("X-Amz-Expires", "9223372036854775807"), Expired, 403},
		"signed ahead of time":   {set("X-Amz-Date", "20260102T033000Z"), Expired, 403},
		"headers not signed":     {set("X-Amz-SignedHeaders", "host"), NotOurs, 403},
		"STS refuses":            {func(w *world) { w.stsErr = refuse(NotOurs, "no") }, NotOurs, 403},
	}
}

// spoiled are requests with anything else wrong.
func spoiled() map[string]row {
	arn := func(a string) func(*world) { return func(w *world) { w.caller.ARN = a } }
	return map[string]row{
		"no document":             {func(w *world) { w.req.Document = "{" }, BadDocument, 400},
		"a document of nobody":    {func(w *world) { w.doc["instanceId"] = "i-1" }, BadDocument, 400},
		"another's signature":     {func(w *world) { w.req.RSA2048 = authorities()[1].sign(w.t, w.request().Document) }, BadSignature, 403},
		"signature of other text": {func(w *world) { w.req.RSA2048 = authorities()[0].sign(w.t, "{}") }, BadSignature, 403},
		"signature that is none":  {func(w *world) { w.req.RSA2048 = "AAAA" }, BadSignature, 403},
		"signature not base64":    {func(w *world) { w.req.RSA2048 = "%" }, BadSignature, 403},
		"no certificate":          {func(w *world) { w.policy.Certificates = nil }, NoCertificate, 403},
		"another's name":          {func(w *world) { w.req.Node = "web-i-0fedcba9876543210" }, BadName, 400},
		"a foreign prefix":        {func(w *world) { w.req.Node = "db-" + testInstance }, BadName, 400},
		"a document of another region": {func(w *world) {
			w.doc["region"] = "us-west-2"
			w.policy.Unsigned = true
		}, WrongRegion, 403},
		"a user, not a role":   {arn("arn:aws:iam::123456789012:user/web"), NotAnInstance, 403},
		"a person in the role": {arn("arn:aws:sts::123456789012:assumed-role/web/alice"), NotAnInstance, 403},
		"no ARN":               {arn("x"), NotAnInstance, 403},
		"another instance":     {arn("arn:aws:sts::123456789012:assumed-role/web/i-0fedcba9876543210"), OtherInstance, 403},
		"a foreign account": {func(w *world) {
			w.caller.Account, w.caller.ARN = "210987654321", "arn:aws:sts::210987654321:assumed-role/web/"+testInstance
		}, ForeignAccount, 403},
		"document of an account": {func(w *world) { w.doc["accountId"] = "210987654321" }, ForeignAccount, 403},
		"a foreign role":         {arn("arn:aws:sts::123456789012:assumed-role/admin/" + testInstance), ForeignRole, 403},
		"EC2 does not know it":   {func(w *world) { w.ec2 = Instance{} }, UnknownInstance, 425},
		"it is terminated":       {func(w *world) { w.ec2.State = "terminated" }, NotRunning, 403},
		"it is old":              {func(w *world) { w.ec2.Launched = w.now.Add(-31 * time.Minute) }, TooOld, 403},
		"another image":          {func(w *world) { w.ec2.ImageID = "ami-2" }, DocumentMismatch, 403},
		"another address":        {func(w *world) { w.ec2.PrivateIP = "10.0.0.2" }, DocumentMismatch, 403},
		"raced":                  {func(w *world) { w.taken = true }, Replayed, 409},
		"registered, other key": {func(w *world) {
			w.ledger[testInstance] = Entry{Client: "web-" + testInstance, Key: "other"}
			w.clients["web-"+testInstance] = authorities()[0].publicPEM(w.t)
		}, Replayed, 409},
		"registered and gone": {func(w *world) { w.ledger[testInstance] = Entry{Client: "web-" + testInstance, Key: "other"} }, Replayed, 409},
		"no key":              {func(w *world) { w.req.PublicKey = "x" }, BadKey, 400},
		"a private key": {func(w *world) {
			w.req.PublicKey = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"
		}, BadKey, 400},
		"an elliptic key": {func(w *world) { w.req.PublicKey = ellipticPEM(w.t) }, BadKey, 400},
		"two keys":        {func(w *world) { w.req.PublicKey += w.req.PublicKey }, BadKey, 400},
	}
}

func ellipticPEM(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestEachRefusalByName(t *testing.T) {
	t.Parallel()
	seen := map[Reason]bool{BadRequest: true, TooLarge: true, TooMany: true, OtherKey: true} // tests of their own
	rows := spoiled()
	maps.Copy(rows, spoiledURLs())
	for name, row := range rows {
		seen[row.reason] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			row.spoil(w)
			w.refuses(row.reason, row.status)
		})
	}
	for _, r := range Reasons() {
		if !seen[r] {
			t.Errorf("refusal %s is not tested", r)
		}
	}
}

func TestAClientWithAnotherKeyIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.clients["web-"+testInstance] = authorities()[0].publicPEM(t)
	if code, a := w.post(); code != http.StatusConflict || a.Reason != string(OtherKey) || w.clients["web-"+testInstance] == w.req.PublicKey {
		t.Errorf("answer %d %+v", code, a)
	}
}

func TestASecondKeyIsTakenOnceTheClientIsGoneAndPolicyAllows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Again = true
	w.ledger[testInstance] = Entry{Client: "web-" + testInstance, Key: "other"}
	if code, a := w.post(); code != http.StatusCreated || w.ledger[testInstance].Key == "other" {
		t.Errorf("answer %d %+v, ledger %v", code, a, w.ledger)
	}
	w.ledger[testInstance] = Entry{Client: "web-" + testInstance, Key: "other"}
	w.refuses(Replayed, http.StatusConflict) // the client is there now
}

func TestWhoDiedAfterTheLedgerGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.chefErr = errors.New("connection refused by chef.internal")
	if code, a := w.post(); code != http.StatusServiceUnavailable || strings.Contains(a.Error, "chef.internal") || len(w.ledger) != 1 {
		t.Fatalf("answer %d %+v, ledger %v", code, a, w.ledger)
	}
	if !strings.Contains(w.log.String(), "chef.internal") {
		t.Errorf("the log does not say why: %s", w.log.String())
	}
	w.chefErr = nil
	if code, a := w.post(); code != http.StatusCreated {
		t.Errorf("afterwards: %d %+v", code, a)
	}
}

func TestWhatTheWorldFailsIsWorthAnotherAttempt(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*world){
		"STS": func(w *world) { w.stsErr = errors.New("timeout") }, "EC2": func(w *world) { w.ec2Err = errors.New("RequestLimitExceeded") },
	} {
		w := newWorld(t)
		spoil(w)
		if code, a := w.post(); code != http.StatusServiceUnavailable || a.Reason != "" || len(w.clients)+len(w.ledger) > 0 {
			t.Errorf("%s: answer %d %+v", name, code, a)
		}
	}
}

func TestUnsignedDocumentsOnlyWhereAsked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Unsigned, w.policy.Certificates, w.req.RSA2048 = true, nil, "none"
	if code, a := w.post(); code != http.StatusCreated {
		t.Errorf("answer %d %+v", code, a)
	}
}

func TestSTSEndpoints(t *testing.T) {
	t.Parallel()
	for host, region := range map[string]string{
		"https://sts.eu-west-1.amazonaws.com": "eu-west-1", "https://sts-fips.us-east-1.amazonaws.com": "us-east-1", "https://sts.amazonaws.com": "us-east-1",
		"https://sts.cn-north-1.amazonaws.com.cn": "cn-north-1", "https://sts.us-gov-west-1.amazonaws.com": "us-gov-west-1", "http://10.1.2.3:4566": "eu-west-1",
	} {
		w := newWorld(t)
		w.policy.Endpoints = []string{"http://10.1.2.3:4566"}
		w.query.Set("X-Amz-Credential", "ASIA1/20260102/"+region+"/sts/aws4_request")
		call, err := w.policy.checkURL(host+"?"+w.query.Encode(), "sum", w.now)
		if err != nil || call.Region != region || !strings.HasPrefix(call.URL, host+"/?") {
			t.Errorf("%s in %s: %+v, %v", host, region, call, err)
		}
	}
}

func TestBodiesThatAreNoRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for body, want := range map[string]struct {
		status int
		reason Reason
	}{
		"":                                   {400, BadRequest},
		"[]":                                 {400, BadRequest},
		`{"node":"x","more":1}`:              {400, BadRequest},
		`{}{}`:                               {400, BadRequest},
		`{}`:                                 {400, BadKey},
		strings.Repeat(" ", enrol.MaxBody+1): {413, TooLarge},
	} {
		if code, a := w.send(body); code != want.status || a.Reason != string(want.reason) {
			t.Errorf("%.30q: %d %+v, want %v", body, code, a, want)
		}
	}
}

func TestMoreThanTheRateIsToldToComeBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limits = Limits{PerSecond: 0.5, Burst: 2, Timeout: time.Second}
	h := w.handler()
	post := func(body string) (code int) {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, enrol.Path, strings.NewReader(body)))
		if rec.Code == http.StatusTooManyRequests && rec.Header().Get("Retry-After") != "3" {
			t.Errorf("Retry-After is %q", rec.Header().Get("Retry-After"))
		}
		return rec.Code
	}
	honest := w.body()
	var codes []int
	for range 5 { // what anybody can make up takes nobody's turn
		codes = append(codes, post("{}"))
	}
	for range 3 {
		codes = append(codes, post(honest))
	}
	w.now = w.now.Add(2 * time.Second)
	if codes = append(codes, post(honest)); !slices.Equal(codes, []int{400, 400, 400, 400, 400, 201, 200, 429, 200}) {
		t.Errorf("codes %v", codes)
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	t.Parallel()
	h := newWorld(t).handler()
	for req, want := range map[string]int{"GET /healthz": 200, "GET " + enrol.Path: 405, "POST /": 404, "POST /healthz": 405} {
		method, path, _ := strings.Cut(req, " ")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code != want {
			t.Errorf("%s: %d, want %d", req, rec.Code, want)
		}
	}
}

func TestThePageListsEachRefusal(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/broker.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range Reasons() {
		if !strings.Contains(string(page), "| `"+string(r)+"` |") {
			t.Errorf("docs/broker.md does not list %s", r)
		}
	}
}
