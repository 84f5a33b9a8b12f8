package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// hits runs n calls of c past the rule and returns a mark per call.
func hits(r Rule, c *call, n int) string {
	f := &faults{}
	f.add(r)
	var out strings.Builder
	for range n {
		if _, hit := f.match(c); hit {
			out.WriteByte('x')
		} else {
			out.WriteByte('.')
		}
	}
	return out.String()
}

func TestRulesCount(t *testing.T) {
	t.Parallel()
	c := &call{service: "ec2", action: "RunInstances", caller: "operator", accessKey: "AKID", form: url.Values{"Market": {"spot"}}}
	for _, tc := range []struct {
		rule Rule
		want string
	}{
		{Rule{}, "x..."},
		{Rule{Times: 2}, "xx.."},
		{Rule{Times: -1}, "xxxx"},
		{Rule{Nth: 3}, "..x."},
		{Rule{Nth: 2, Times: 2}, ".xx."},
		{Rule{Nth: 2, Times: -1}, ".xxx"},
		{Rule{Every: 2, Times: -1}, "x.x."},
		{Rule{Every: 2, Nth: 2, Times: -1}, ".x.x"},
		{Rule{Every: 3, Times: 1}, "x..."},
		{Rule{UnknownFor: "3s", Times: -1}, "...."},
		{Rule{Service: "s3"}, "...."},
		{Rule{Action: "Run*"}, "x..."},
		{Rule{Action: "Run"}, "...."},
		{Rule{Caller: "operator"}, "x..."},
		{Rule{Caller: "AKID"}, "x..."},
		{Rule{Caller: "i-*"}, "...."},
		{Rule{Params: map[string]string{"Market": "spot"}}, "x..."},
		{Rule{Params: map[string]string{"Market": "s*", "Zone": ""}}, "x..."},
		{Rule{Params: map[string]string{"Market": ""}}, "...."},
		{Rule{Params: map[string]string{"Zone": "a"}}, "...."},
	} {
		if got := hits(tc.rule, c, 4); got != tc.want {
			t.Errorf("%+v hit %s, want %s", tc.rule, got, tc.want)
		}
	}
}

func TestSecondRuleCountsWhatTheFirstHits(t *testing.T) {
	t.Parallel()
	f := &faults{}
	first, second := f.add(Rule{Code: "A"}), f.add(Rule{Code: "B", Nth: 2})
	c := &call{}
	a, _ := f.match(c)
	b, _ := f.match(c)
	if a.ID != first.ID || b.ID != second.ID {
		t.Errorf("hit %d, then %d", a.ID, b.ID)
	}
	f.clear(first.ID)
	if left := f.list(); len(left) != 1 || left[0].Seen != 2 || left[0].Hits != 1 {
		t.Errorf("left %+v", left)
	}
}

func TestSlowRulesJoinOthers(t *testing.T) {
	t.Parallel()
	f := &faults{}
	f.add(Rule{UnknownFor: "3s", Times: -1})
	f.add(Rule{PendingFor: "1m", UnknownFor: "1s", Action: "CreateImage"})
	struck := f.add(Rule{Code: "A", Action: "CreateImage"})
	c := &call{action: "CreateImage"}
	if r, hit := f.match(c); !hit || r.ID != struck.ID || c.unknownFor != 3*time.Second || c.pendingFor != time.Minute {
		t.Errorf("%+v %t, unknown for %v, pending for %v", r, hit, c.unknownFor, c.pendingFor)
	}
	if rules := f.list(); rules[0].Hits != 1 || rules[1].Hits != 1 {
		t.Errorf("hits are not counted: %+v", rules)
	}
}

func TestControlRefusesBadRules(t *testing.T) {
	t.Parallel()
	upstream, err := url.Parse("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(Config{Upstream: upstream, Machines: noMachines{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{
		`{}`, `{"code":"A","nth":-1}`, `{"code":"A","status":200}`, `{"latency":"soon"}`, `{"latency":"-1s"}`, `{"code":"A","typo":1}`,
		`{"status":500}`, `{"unknown_for":"long"}`, `{"pending_for":"-1s"}`, `{"code":"A","every":-1}`, `{"code":"A","pending_for":"1s"}`,
		`{"code":"A","action":"["}`, `{"code":"A","params":{"a":"["}}`, `nonsense`,
	} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/_lab/faults", strings.NewReader(body)))
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `"error"`) {
			t.Errorf("%s: HTTP %d %s", body, w.Code, w.Body)
		}
	}
	if len(g.faults.list()) != 0 {
		t.Errorf("a bad rule was set: %+v", g.faults.list())
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/_lab/calls?since=yesterday", nil))
	if w.Code != http.StatusBadRequest {
		t.Errorf("a bad since: HTTP %d", w.Code)
	}
}

// noMachines is a hypervisor without machines.
type noMachines struct{ Machines }

func TestUpstreamThatIsNotThere(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	upstream, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	server.Close()
	g, err := New(Config{Upstream: upstream, Machines: noMachines{}, Recorder: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"sts", "s3"} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("Action=GetCallerIdentity"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/1/us-east-1/"+service+"/aws4_request")
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "emulator") {
			t.Errorf("%s: HTTP %d %s", service, w.Code, w.Body)
		}
	}
}

func TestNewWantsItsParts(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("New without upstream succeeded")
	}
}

func TestALateReplyComesAfterTheEffect(t *testing.T) {
	t.Parallel()
	rec := httptest.NewRecorder()
	gone := make(chan struct{})
	close(gone) // nobody waits: the test need not either
	var f faults
	rule := f.add(Rule{ReplyLatency: "1m"})
	l := &late{ResponseWriter: rec, done: gone, wait: 1 << 40, begins: func() { f.hold(rule.ID) }}
	l.WriteHeader(http.StatusAccepted)
	if _, err := io.WriteString(l, "made"); err != nil || rec.Code != http.StatusAccepted || rec.Body.String() != "made" {
		t.Errorf("passed on %d %q, %v", rec.Code, rec.Body, err)
	}
	if held := f.list()[0].Held; held != 1 {
		t.Errorf("%d replies were held, want one", held)
	}
	if err := (Rule{ReplyLatency: "soon"}).validate(); err == nil {
		t.Error("a latency that is no duration was taken")
	}
	if err := (Rule{ReplyLatency: "5s"}).validate(); err != nil {
		t.Error(err)
	}
}
