//go:build linux

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/test/lab/control"
	"bakehouse/test/lab/seal"
)

func TestFindPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  map[string]string
		want string // "" for a refusal
	}{
		{map[string]string{"BAKEHOUSE_LAB_CACHE": "/var/cache/lab", "HOME": "/root"}, "/var/cache/lab"},
		{map[string]string{"XDG_CACHE_HOME": "/c", "HOME": "/root"}, "/c/bakehouse-lab"},
		{map[string]string{"HOME": "/root"}, "/root/.cache/bakehouse-lab"},
		{nil, "/root/.cache/bakehouse-lab"},
		{map[string]string{"BAKEHOUSE_LAB_CACHE": "/run/lab"}, ""},
		{map[string]string{"BAKEHOUSE_LAB_CACHE": "/a:b"}, ""},
	} {
		p, err := findPlace(func(key string) string { return c.env[key] })
		if p.cache != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%v: cache %q, %v; want %q", c.env, p.cache, err, c.want)
		}
		if err != nil && (fault.KindOf(err) != fault.Usage || fault.NextOf(err) == "") {
			t.Errorf("%v: the refusal has no kind or next step: %v", c.env, err)
		}
	}
}

func TestTwoPlacesShareNoCgroup(t *testing.T) {
	t.Parallel()
	if a, b := (place{run: "/a"}).cgroup(), (place{run: "/b"}).cgroup(); a == b {
		t.Errorf("both are %s", a)
	}
}

func TestRunningBelievesOnlyTheSameProcess(t *testing.T) {
	t.Parallel()
	p := place{run: t.TempDir()}
	if _, up, err := p.running(); up || err != nil {
		t.Errorf("without a record: up %v, %v", up, err)
	}
	ticks, err := seal.StartTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r  record
		up bool
	}{
		"this process":       {record{os.Getpid(), ticks}, true},
		"its id, used again": {record{os.Getpid(), ticks - 1}, false},
	} {
		if err := p.writeRecord(c.r); err != nil {
			t.Fatal(err)
		}
		if _, up, err := p.running(); up != c.up || err != nil {
			t.Errorf("%s: up %v, %v", name, up, err)
		}
	}
	if err := os.WriteFile(p.recordPath(), []byte(`{"pid":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, up, err := p.running(); up || err != nil {
		t.Errorf("with half a record: up %v, %v", up, err)
	}
}

func TestLockKeepsTwoApart(t *testing.T) {
	t.Parallel()
	p := place{run: t.TempDir()}
	unlock, err := p.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.lock(); fault.KindOf(err) != fault.Usage {
		t.Errorf("a second lock: %v", err)
	}
	unlock()
	again, err := p.lock()
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestSweepTakesOnlyTheLabsOwn(t *testing.T) {
	t.Parallel()
	p := place{run: t.TempDir()}
	for _, name := range []string{"lab.json", control.SocketName, "lab.log"} {
		if err := os.WriteFile(filepath.Join(p.run, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed, err := p.sweep()
	if err != nil || len(removed) != 2 {
		t.Errorf("removed %q, %v", removed, err)
	}
	if _, err := os.Stat(filepath.Join(p.run, "lab.log")); err != nil {
		t.Errorf("the log went too: %v", err)
	}
}

func TestMergeEnvLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	got := mergeEnv([]string{"PATH=/bin", "AWS_PROFILE=real", "AWS_REGION=eu-west-1", "https_proxy=http://p", "HTTP_PROXY=http://p", "CHEF_CLIENT_NAME=me"},
		[]string{"AWS_REGION=us-east-1", "CHEF_CLIENT_NAME=admin"})
	want := []string{"PATH=/bin", "AWS_REGION=us-east-1", "CHEF_CLIENT_NAME=admin"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFailureCrossesTheSeal(t *testing.T) {
	t.Parallel()
	err := asError(failure(fault.New(fault.Usage, "apt-get install goiardi", errors.New("starting goiardi: gone"))))
	if fault.KindOf(err) != fault.Usage || fault.NextOf(err) != "apt-get install goiardi" || err.Error() != "starting goiardi: gone" {
		t.Errorf("came out as %v (%v, next %q)", err, fault.KindOf(err), fault.NextOf(err))
	}
}

func TestReadFollowsTheLab(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines string
		ready bool
		err   string
	}{
		"ready":   {`{"step":"moto"}` + "\n" + `{"ready":true}`, true, "without saying why"},
		"failure": {`{"error":"starting moto: no","kind":1}`, false, "starting moto: no"},
		"silence": {``, false, "without saying why"},
	} {
		ready := make(chan struct{})
		u := starter{say: func(string, ...any) {}}
		err := u.read(strings.NewReader(c.lines), ready)
		if err == nil || !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case <-ready:
			if !c.ready {
				t.Errorf("%s counts as ready", name)
			}
		default:
			if c.ready {
				t.Errorf("%s does not count as ready", name)
			}
		}
	}
}

func TestStampedLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	say := stamped(&out, func() time.Time { at = at.Add(1500 * time.Millisecond); return at })
	if _, err := lineWriter(say).Write([]byte("one\ntwo\n")); err != nil {
		t.Fatal(err)
	}
	if want := "03:04:08   1.5s  one\n03:04:09   3.0s  two\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestDispatchRefusals(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"bogus"}, {"up", "--fast"}, {"down", "now"}, {"run"}, {"run", "--"}, {"exec", "i-1"},
		{"ssh"}, {"fault"}, {"fault", "add", "{"}, {"calls", "--from", "1"}, {"status", "-x"}, {"logs", "a", "b"},
		{"spot-interrupt"}, {"spot-interrupt", "i-1", "--after", "soon"}} {
		code, err := dispatch(args)
		if code != 2 || err == nil || fault.NextOf(err) == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("lab %s: code %d, %v (next %q)", strings.Join(args, " "), code, err, fault.NextOf(err))
		}
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	help(&out)
	for _, c := range commands() {
		if hidden := c.help == ""; hidden == strings.Contains(out.String(), "  "+c.name) {
			t.Errorf("%s: hidden %v, but the help says otherwise", c.name, hidden)
		}
	}
}
