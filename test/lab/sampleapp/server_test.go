package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(b))
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(handler("abc", false))
	defer server.Close()
	for path, want := range map[string]string{"/": `200 {"app":"web","release":"abc"}`, "/healthz": "200 ok", "/other": "404 404 page not found"} {
		code, body := get(t, server.URL+path)
		if got := fmt.Sprint(code, " ", body); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestABuildCanBeUnhealthyByItsContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if isBroken([]string{dir}) {
		t.Error("an empty build is broken")
	}
	if err := os.WriteFile(filepath.Join(dir, "UNHEALTHY"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler("abc", isBroken([]string{t.TempDir(), dir})))
	defer server.Close()
	if code, _ := get(t, server.URL+"/healthz"); code != 503 {
		t.Errorf("/healthz answered %d, want 503", code)
	}
	if code, _ := get(t, server.URL+"/"); code != 200 {
		t.Errorf("/ answered %d", code)
	}
}

func TestReleaseIsTheFirstFileFound(t *testing.T) {
	t.Parallel()
	one, two := t.TempDir(), t.TempDir()
	check := func(want string) {
		t.Helper()
		if got, err := readRelease([]string{one, two}); err != nil || got != want {
			t.Errorf("release is %q (%v), want %q", got, err, want)
		}
	}
	check("unknown")
	for _, dir := range []string{two, one} {
		if err := os.WriteFile(filepath.Join(dir, "RELEASE"), []byte(filepath.Base(dir)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		check(filepath.Base(dir))
	}
}

// line hands the first line written to it on.
type line struct{ said chan string }

func (l *line) Write(b []byte) (int, error) {
	l.said <- string(b)
	return len(b), nil
}

func TestServesUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(context.Background())
	log, ended := &line{said: make(chan string, 1)}, make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", []string{t.TempDir()}, log) }()
	_, url, _ := strings.Cut(strings.TrimSpace(<-log.said), " on ")
	if code, body := get(t, url+"/"); code != 200 || body != `{"app":"web","release":"unknown"}` {
		t.Errorf("answered %d %s", code, body)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := run(ctx, "127.0.0.1:none", nil, io.Discard); err == nil || !strings.HasPrefix(err.Error(), "listening: ") {
		t.Errorf("a bad address: %v", err)
	}
}

// What was accepted before SIGTERM is answered, though its request comes after it.
func TestAnAcceptedConnectionIsAnsweredAfterTheEndBegan(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	log, ended := &line{said: make(chan string, 1)}, make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", []string{t.TempDir()}, log) }()
	_, url, _ := strings.Cut(strings.TrimSpace(<-log.said), " on http://")
	conn, err := net.Dial("tcp", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if code, _ := get(t, "http://"+url+"/"); code != 200 { // who comes later is served: the first was accepted
		t.Fatal(code)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\n"); err != nil {
		t.Fatal(err)
	}
	for refused := false; !refused; { // until the listener is closed
		stop()
		other, err := net.Dial("tcp", url)
		if refused = err != nil; !refused {
			other.Close()
		}
	}
	if _, err := io.WriteString(conn, "Host: web\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 OK") || !strings.Contains(string(answer), "Connection: close") {
		t.Errorf("answered %q, %v", answer, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}
