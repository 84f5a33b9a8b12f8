package agent

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"bakehouse/agent/broker"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/enrol"
	"bakehouse/internal/fault"
)

// desk is a broker's HTTP side in a test, over TLS, and the agent's end of it.
type desk struct {
	posts  []enrol.Request
	answer func(n int) (status int, body string) // to the n-th post, from 1; nil: handler
	next   http.Handler
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.next != nil {
		d.next.ServeHTTP(w, r)
		return
	}
	var req enrol.Request
	b, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(b, &req)
	d.posts = append(d.posts, req)
	status, body := d.answer(len(d.posts))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// brokered makes the world's instance register by way of d.
func (w *world) brokered(d *desk) *httptest.Server {
	w.t.Helper()
	srv := httptest.NewUnstartedServer(d)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // one test distrusts it on purpose
	srv.StartTLS()
	w.t.Cleanup(srv.Close)
	ca := filepath.Join(w.t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		w.t.Fatal(err)
	}
	m := metadataService(w.t, map[string]string{
		"/latest/dynamic/instance-identity/document": strings.ReplaceAll(identityDocument, `"i-1"`, `"`+testInstance+`"`),
		"/latest/dynamic/instance-identity/rsa2048":  "SIGNED",
	})
	w.conf.Chef.BrokerURL, w.conf.Chef.ValidatorKey, w.conf.Chef.ValidationClient = srv.URL, "", ""
	w.secretErr = errors.New("a secret was fetched although there is a broker")
	w.broker = func(_ context.Context, region, _ string) (Broker, error) {
		return NewBroker(srv.URL, ca, AWS{Region: region, Metadata: m, Agent: "bakehouse-boot-agent/1",
			Keys: aws.Credentials{AccessKeyID: "ASIA1", SecretAccessKey: "SECRET", SessionToken: "SESSION"}})
	}
	return srv
}

// registers is the answer of a broker that has made the client.
func (w *world) registers(d *desk) func(int) (int, string) {
	return func(n int) (int, string) {
		r := d.posts[n-1]
		w.chef.clients[r.Node] = r.PublicKey
		return http.StatusCreated, `{"client":"` + r.Node + `","made":true}`
	}
}

func TestABrokerRegistersWithoutAnySecret(t *testing.T) {
	t.Parallel()
	w, d := newWorld(t), &desk{}
	d.answer = w.registers(d)
	w.brokered(d)
	w.boot()
	if len(d.posts) != 1 || len(w.chef.nodes) != 1 || w.chef.posts != 0 {
		t.Fatalf("%d posts to the broker, %d to Chef, %d nodes", len(d.posts), w.chef.posts, len(w.chef.nodes))
	}
	r := d.posts[0]
	if r.Node != "web-"+testInstance || !strings.Contains(r.Document, testInstance) || r.RSA2048 != "SIGNED" || strings.Contains(r.PublicKey, "PRIVATE") {
		t.Errorf("request is %+v", r)
	}
	u, err := url.Parse(r.STS)
	if err != nil || u.Host != "sts.eu-west-1.amazonaws.com" || u.Query().Get("X-Amz-SignedHeaders") != enrol.SignedHeaders ||
		u.Query().Get("X-Amz-Expires") != "300" || u.Query().Get("X-Amz-Security-Token") != "SESSION" || strings.Contains(r.STS, "SECRET") {
		t.Errorf("presigned URL is %s, %v", r.STS, err)
	}
}

// TestTheBrokersJudgeTakesWhatTheAgentPosts joins both halves: everything but
// the signatures, which only AWS and the lab can make.
func TestTheBrokersJudgeTakesWhatTheAgentPosts(t *testing.T) {
	t.Parallel()
	w, d := newWorld(t), &desk{}
	srv := w.brokered(d)
	ledger := memoryLedger{}
	d.next = broker.Handler(broker.New(broker.Policy{Audience: srv.URL, Roles: []string{"123456789012:web"}, Prefixes: []string{"web-"}, MaxAge: time.Hour, Unsigned: true}, broker.World{
		STS: func(_ context.Context, c broker.Call) (broker.Caller, error) {
			if c.Audience != srv.URL || c.Region != "eu-west-1" {
				t.Errorf("call is %+v", c)
			}
			return broker.Caller{Account: "123456789012", ARN: "arn:aws:sts::123456789012:assumed-role/web/" + testInstance}, nil
		},
		EC2: func(context.Context, string, string, string) (broker.Instance, error) {
			return broker.Instance{ID: testInstance, State: "running", ImageID: "ami-1", PrivateIP: "10.0.0.1", Launched: time.Now()}, nil
		},
		Chef: brokersChef{w.chef}, Ledger: ledger, Now: time.Now,
	}), broker.Defaults(), slog.New(slog.DiscardHandler))
	a := w.agent()
	a.deps.NewKey = chefapi.GenerateKey // the broker takes no key as short as those of the other tests
	if err := a.FirstBoot(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(w.chef.nodes) != 1 || len(ledger) != 1 {
		t.Errorf("%d nodes, ledger %v", len(w.chef.nodes), ledger)
	}
}

// brokersChef is the Chef server as the broker's own client sees it.
type brokersChef struct{ *chefServer }

func (c brokersChef) CreateClient(_ context.Context, name string, public []byte) error {
	if _, ok := c.clients[name]; ok {
		return chefapi.ErrExists
	}
	c.clients[name] = string(public)
	return nil
}

func (c brokersChef) ClientKey(_ context.Context, name string) ([]byte, error) {
	return []byte(c.clients[name]), nil
}

type memoryLedger map[string]broker.Entry

func (l memoryLedger) Read(_ context.Context, id string) (broker.Entry, string, error) {
	return l[id], l[id].Key, nil
}

func (l memoryLedger) Write(_ context.Context, id, _ string, e broker.Entry) error {
	l[id] = e
	return nil
}

func TestABusyBrokerIsAskedAgain(t *testing.T) {
	t.Parallel()
	w, d := newWorld(t), &desk{}
	done := w.registers(d)
	d.answer = func(n int) (int, string) {
		switch n {
		case 1:
			return http.StatusServiceUnavailable, "<html>"
		case 2:
			return http.StatusTooManyRequests, `{"reason":"too-many"}`
		case 3:
			return http.StatusTooEarly, `{"reason":"unknown-instance"}`
		}
		return done(n)
	}
	w.brokered(d)
	w.boot()
	if len(d.posts) != 4 || len(w.chef.nodes) != 1 {
		t.Errorf("%d posts, %d nodes", len(d.posts), len(w.chef.nodes))
	}
	if a, b := d.posts[0], d.posts[3]; a.PublicKey != b.PublicKey || a.Node != b.Node {
		t.Error("the key changed between the attempts")
	}
}

func TestARefusalOfTheBrokerIsFinal(t *testing.T) {
	t.Parallel()
	for status, next := range map[int]string{http.StatusForbidden: "docs/broker.md", http.StatusConflict: "knife client delete web-" + testInstance, http.StatusFound: "docs/broker.md", http.StatusOK: "is the broker"} {
		w, d := newWorld(t), &desk{}
		d.answer = func(int) (int, string) {
			return status, `{"reason":"foreign-role","error":"role admin may not register"}`
		}
		w.brokered(d)
		err := w.fails(fault.Chef, "broker", "web-"+testInstance)
		if len(d.posts) != 1 || len(w.chef.nodes)+w.chef.posts != 0 || !strings.Contains(fault.NextOf(err), next) {
			t.Errorf("%d: %d posts; %v; next %q", status, len(d.posts), err, fault.NextOf(err))
		}
	}
}

func TestABrokerThatCannotBeTrustedOrReached(t *testing.T) {
	t.Parallel()
	w, d := newWorld(t), &desk{answer: func(int) (int, string) { return 200, "" }}
	srv := w.brokered(d)
	inner := w.broker
	w.broker = func(ctx context.Context, region, ca string) (Broker, error) {
		b, err := inner(ctx, region, ca)
		b.(*httpsBroker).http.Transport = http.DefaultTransport // which does not know the test's authority
		return b, err
	}
	err := w.fails(fault.Timeout, "certificate")
	if !strings.Contains(fault.NextOf(err), srv.URL) || len(d.posts) > 0 {
		t.Errorf("%v; next %q; %d posts", err, fault.NextOf(err), len(d.posts))
	}
	if _, err := NewBroker("https://b.test", "/nonexistent", AWS{}); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "/nonexistent") {
		t.Errorf("a CA file that is not there: %v", err)
	}
}
