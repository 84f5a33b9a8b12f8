//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"bakehouse/test/story"
)

// rendered is user-data that has the agent render the app's unit, under a name
// that Chef's is not, with a socket that the whole network reaches.
const rendered = `#cloud-config
write_files:
- {path: /run/secret/greeting, content: "hush", permissions: "0600"}
bootcmd:
- [sh, -c, "mkdir -p /run/secret"]
- [ruby, -rjson, -e, 'f = "/etc/bakehouse/agent.json"; c = JSON.parse(File.read(f)); a = c["app"]; a["unit"] = "front.service"; a["service"] = {"command" => ["web"], "listen" => ["8080"], "environment" => {"GREETING" => "100% \"plain\""}, "credentials" => {"greeting" => "/run/secret/greeting"}, "memory_mib" => 128, "tasks" => 64, "notify" => true}; File.write(f, JSON.pretty_generate(c))']
`

// TestADeployLosesNoConnection hammers an app that systemd holds the socket of,
// each request on a connection of its own and others on one that stays, while
// builds are deployed.
func TestADeployLosesNoConnection(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 4*time.Minute)
	p := pulled{t: t, ctx: ctx, channel: "seamless"}
	p.first = p.push("seamless-first", nil)
	p.inst = launch(ctx, t, story.Launch{UserData: rendered, Tags: map[string]string{"bakehouse:channel": p.channel}})
	if err := complete(ctx, p.inst.ID); err != nil {
		t.Fatal(err)
	}
	h := hammer(ctx, "http://"+p.inst.Addr+":8080/")
	var last string
	for i := range 3 {
		last = p.push(fmt.Sprintf("seamless-%d", i), nil)
		if code, said := p.deploy(""); code != "0" {
			t.Errorf("deploy %d: exit code %s\n%s", i, code, said)
		}
	}
	h.meets(ctx, t, last)
	served := h.stop()
	if len(h.failed) > 0 || served[last] == 0 || served[p.first] == 0 || len(served) < 4 {
		t.Errorf("%d requests failed, the first of them: %v; builds that answered: %v", len(h.failed), h.failed[:min(len(h.failed), 3)], served)
	}
	t.Logf("answers by build over 3 deploys: %v, %d connections", served, h.connections)
	p.isFenced()
}

// isFenced looks at the rendered unit as systemd has it.
func (p pulled) isFenced() {
	p.t.Helper()
	if said := inGuest(p.t, p.inst.ID, "systemd-analyze verify /etc/systemd/system/front.service /etc/systemd/system/front.socket 2>&1"); strings.Contains(said, "front.") {
		p.t.Errorf("systemd-analyze verify says\n%s", said)
	}
	level := inGuest(p.t, p.inst.ID, "systemd-analyze security --no-pager front.service | tail -1")
	var figure float64
	if _, words, ok := strings.Cut(level, "front.service: "); !ok {
		p.t.Errorf("systemd-analyze security says %q", level)
	} else if _, err := fmt.Sscan(words, &figure); err != nil || figure > 2 {
		p.t.Errorf("systemd-analyze security says %q, want 2.0 or less", level)
	}
	p.t.Log(level)
	props := inGuest(p.t, p.inst.ID, `pid=$(systemctl show -P MainPID front.service); ps -o user= -p $pid; grep -E "NoNewPrivs|CapEff" /proc/$pid/status; tr '\0' '\n' </proc/$pid/environ | grep GREETING; cat /run/credentials/front.service/greeting`)
	if want := "web\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nGREETING=100% \"plain\"\nhush"; props != want {
		p.t.Errorf("the app's process:\n%s\nwant\n%s", props, want)
	}
}

// hammering is a load under way.
type hammering struct {
	mu          sync.Mutex
	served      map[string]int // answers by release
	failed      []error
	connections int
	end         context.CancelFunc
	workers     sync.WaitGroup
}

// hammer asks url without a pause until it is stopped.
func hammer(ctx context.Context, url string) *hammering {
	ctx, cancel := context.WithCancel(ctx)
	h := &hammering{served: map[string]int{}, end: cancel}
	for n := range 4 {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
		h.workers.Go(func() {
			for ctx.Err() == nil {
				h.ask(ctx, client, url)
				time.Sleep(2 * time.Millisecond) // the guest needs the processor too
			}
		})
	}
	return h
}

// ask makes one request; one that the end cuts off does not count.
func (h *hammering) ask(ctx context.Context, client *http.Client, url string) {
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if !i.Reused {
			h.mu.Lock()
			h.connections++
			h.mu.Unlock()
		}
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), http.MethodGet, url, nil)
	var a story.Answer
	if err == nil {
		var res *http.Response
		if res, err = client.Do(req); err == nil {
			err = json.NewDecoder(res.Body).Decode(&a)
			_ = res.Body.Close()
			if err == nil && res.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s", res.Status)
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
		h.served[a.Release]++
	case ctx.Err() == nil:
		h.failed = append(h.failed, err)
	}
}

// meets waits until a build has answered.
func (h *hammering) meets(ctx context.Context, t *testing.T, build string) {
	t.Helper()
	err := story.Until(ctx, 10*time.Millisecond, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.served[build] == 0 {
			return fmt.Errorf("build %s has not answered", build)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// stop ends the load and returns the answers by release.
func (h *hammering) stop() map[string]int {
	h.end()
	h.workers.Wait()
	return h.served
}
