package deploy

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

func TestWebhookPostsItsPayload(t *testing.T) {
	t.Parallel()
	var got []string
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, r.Header.Get("Content-Type")+" "+string(b))
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	_, hosts := newFleet(3)
	r := planned(hosts, Strategy{})
	r.Reason, r.Started = `the canary "failed"`, start()
	for _, c := range []struct{ template, want string }{
		{"", `{"text":"production of web: build bb rolled back: 3 hosts: 0 deployed, 0 failed, 0 restored, 0 stuck, 3 pending (the canary \"failed\")"}`},
		{`{"event": {{json .Event}}, "id": {{json .Rollout.ID}}, "s": {{.Duration.Seconds}}}`, `{"event":"rolled back","id":"0123456789ab","s":60}`},
	} {
		got = nil
		w, err := NewWebhook(server.URL+"/secret", c.template)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Post(context.Background(), "rolled back", r, start().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		var a, b any
		if len(got) != 1 || !strings.HasPrefix(got[0], "application/json ") {
			t.Fatalf("posted %q", got)
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(got[0], "application/json ")), &a); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.want), &b); err != nil {
			t.Fatal(err)
		}
		if x, _ := json.Marshal(a); string(x) != c.want {
			t.Errorf("posted %s, want %s", x, c.want)
		}
	}
	status = http.StatusGone
	w, err := NewWebhook(server.URL+"/secret", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Post(context.Background(), "done", r, start()); err == nil || !strings.Contains(err.Error(), "410") || strings.Contains(err.Error(), "secret") {
		t.Errorf("refused: %v", err)
	}
	server.Close()
	if err := w.Post(context.Background(), "done", r, start()); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestWebhookRefusals(t *testing.T) {
	t.Parallel()
	for what, c := range map[string][2]string{
		"no URL":           {"chat.example.com", ""},
		"another scheme":   {"ftp://chat.example.com/", ""},
		"a broken one":     {"https://chat.example.com/", "{{.Text"},
		"an unknown field": {"https://chat.example.com/", "{{json .Nope}}"},
		"no JSON":          {"https://chat.example.com/", "{{.Event}} happened"},
	} {
		if _, err := NewWebhook(c[0], c[1]); fault.KindOf(err) != fault.Usage {
			t.Errorf("%s: %v", what, err)
		}
	}
}
