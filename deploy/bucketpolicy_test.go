package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

const policyFile = "../docs/iam/deployctl-bucket-policy.json"

// bucketPolicy is as much of a policy as ours uses; another key is an error.
type bucketPolicy struct {
	Version   string
	Statement []struct {
		Sid, Effect, Principal, Action string
		Resource                       oneOrMore
		Condition                      map[string]map[string]string
	}
}

type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = oneOrMore{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}

func readPolicy(t *testing.T) bucketPolicy {
	t.Helper()
	b, err := os.ReadFile(policyFile)
	if err != nil {
		t.Fatal(err)
	}
	var p bucketPolicy
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		t.Fatalf("%s: %v", policyFile, err)
	}
	return p
}

// denies evaluates the policy as AWS documents it: keys of a block must all
// hold, blocks too. The statement's id is returned, or "".
func (p bucketPolicy) denies(t *testing.T, action, key string, present map[string]bool, creates bool) string {
	t.Helper()
	for _, s := range p.Statement {
		if s.Effect != "Deny" || s.Principal != "*" {
			t.Fatalf("statement %s is no denial of everybody", s.Sid)
		}
		if s.Action == action && s.Resource.covers("arn:aws:s3:::bakehouse-builds/"+key) && holds(t, s.Condition, present, creates) {
			return s.Sid
		}
	}
	return ""
}

func (o oneOrMore) covers(arn string) bool {
	for _, r := range o {
		if regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(r), `\*`, ".*") + "$").MatchString(arn) {
			return true
		}
	}
	return false
}

func holds(t *testing.T, conditions map[string]map[string]string, present map[string]bool, creates bool) bool {
	t.Helper()
	for operator, keys := range conditions {
		for key, want := range keys {
			var is bool
			switch {
			case operator == "Null" && (key == "s3:if-match" || key == "s3:if-none-match"):
				is = !present[key]
			case operator == "Bool" && key == "s3:ObjectCreationOperation":
				is = creates
			default:
				t.Fatalf("a condition that this test cannot evaluate: %s %s", operator, key)
			}
			if is != (want == "true") {
				return false
			}
		}
	}
	return true
}

// s3Write is one request that writes.
type s3Write struct {
	action, key string
	present     map[string]bool
	creates     bool
}

// writes records what goes over the wire to a fake S3.
type writes struct {
	*fakeS3
	mu  sync.Mutex
	all []s3Write
}

func (w *writes) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	one := s3Write{action: "s3:PutObject", key: key, present: map[string]bool{"s3:if-match": r.Header.Get("If-Match") != "", "s3:if-none-match": r.Header.Get("If-None-Match") != ""}}
	// Beginning an upload and its parts are PutObject, too, but create no object.
	one.creates = r.Method == http.MethodPut && !q.Has("uploadId") || r.Method == http.MethodPost && q.Has("uploadId")
	if r.Method == http.MethodDelete && !q.Has("uploadId") {
		one.action = "s3:DeleteObject"
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.mu.Lock()
		w.all = append(w.all, one)
		w.mu.Unlock()
	}
	w.fakeS3.ServeHTTP(rw, r)
}

// TestTheBucketPolicyAdmitsWhatIsWrittenAndNothingBlind does one of everything that
// writes, and holds each request against the policy, with its headers and without.
func TestTheBucketPolicyAdmitsWhatIsWrittenAndNothingBlind(t *testing.T) {
	t.Parallel()
	policy, rec := readPolicy(t), &writes{fakeS3: newFakeS3()}
	server := httptest.NewServer(rec)
	defer server.Close()
	everyWrite(t, publisher(t, client(server.URL), "builds"))
	kinds := map[string]bool{}
	for _, w := range rec.all {
		if sid := policy.denies(t, w.action, w.key, w.present, w.creates); sid != "" {
			t.Errorf("%s of %s is denied by %s", w.action, w.key, sid)
		}
		kind := strings.Split(w.key, "/")[1]
		if w.action == "s3:PutObject" && w.creates {
			kinds[kind] = true
			if policy.denies(t, w.action, w.key, map[string]bool{}, true) == "" {
				t.Errorf("%s could be written without a condition", w.key)
			}
		}
	}
	for _, kind := range []string{"builds", "channels", "history", "leases", "pull", "rollouts"} {
		if !kinds[kind] {
			t.Errorf("nothing was written under %s: %v", kind, kinds)
		}
		key := "web/" + kind + "/x.json"
		if denied := policy.denies(t, "s3:DeleteObject", key, nil, false) != ""; denied != (kind != "builds") {
			t.Errorf("deleting %s: denied is %v", key, denied)
		}
	}
	if policy.denies(t, "s3:PutObject", "web/builds/x/build.tar.zst", map[string]bool{"s3:if-match": true}, true) == "" {
		t.Error("a build could be replaced by who knows its ETag")
	}
}

// everyWrite pushes (in one piece and in parts), promotes, goes back, takes a
// lease, stores a rollout, and launches and stops one by pull.
func everyWrite(t *testing.T, p *Publisher) {
	t.Helper()
	ctx := context.Background()
	one, two := mustPush(t, p, tree(t, "v1")), mustPush(t, p, tree(t, strings.Repeat("v2", 100)))
	pushBig(t, p.S3, p.Bucket)
	for _, id := range []release.ID{one.ID, two.ID} {
		if _, err := p.Promote(ctx, Promotion{"web", "production", id, "ann@host"}); err != nil {
			t.Fatal(err)
		}
	}
	lease, err := p.Acquire(ctx, "web", "production", "0123456789ab", "ann@host")
	if err != nil {
		t.Fatal(err)
	}
	r := planned([]Host{{Instance: "i-1"}}, Strategy{})
	r.Build, r.Previous = two.ID, one.ID
	store := p.NewStore()
	if err := errors.Join(store.Save(ctx, r), store.Save(ctx, r)); err != nil {
		t.Fatal(err)
	}
	if ours, err := p.Back(ctx, r, "ann@host"); err != nil || !ours {
		t.Fatal(ours, err)
	}
	if err := lease.Release(ctx); err != nil {
		t.Fatal(err)
	}
	r.Pull, r.Strategy.ClaimWithin = true, time.Minute
	if err := p.Launch(ctx, r, "ann@host"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.stop(ctx, r, "enough", "ann@host"); err != nil {
		t.Fatal(err)
	}
}

// TestAWriteThatThePolicyDeniesNamesTheRight: what S3 answers then.
func TestAWriteThatThePolicyDeniesNamesTheRight(t *testing.T) {
	t.Parallel()
	f := newFakeS3()
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		refuse(w, 403, "AccessDenied", "with an explicit deny in a resource-based policy")
		return true
	}
	server := httptest.NewServer(f)
	defer server.Close()
	_, err := publisher(t, client(server.URL), "builds").Push(context.Background(), Source{App: "web", Dir: tree(t, "v1")})
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "allow s3:PutObject on s3://builds/web/builds/") || len(f.objects) != 0 {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
}
