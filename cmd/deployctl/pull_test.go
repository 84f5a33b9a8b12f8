package main

import (
	"encoding/json"
	"strings"
	"testing"

	"bakehouse/deploy"
	"bakehouse/release"
	"bakehouse/release/waves"
)

// graze has the hosts take their turns as soon as the channel names a rollout;
// one that is not well fails.
func (h *hall) graze(t *testing.T, bad string) {
	h.b.bucket.wrote = func(key string) {
		c, err := release.ParseChannel(h.b.bucket.objects[key])
		if key != release.ChannelKey("web", "staging") || err != nil || c.Rollout == "" {
			return
		}
		plan := waves.Plan{App: "web", Channel: "staging", ID: c.Rollout}
		full, err := waves.ParsePlan(h.b.bucket.objects[plan.PlanKey()])
		if err != nil {
			t.Fatal(err)
		}
		roster, err := full.Open(h.b.bucket.objects[plan.RosterKey()])
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range roster.Waves {
			for _, host := range w.Hosts {
				h.b.bucket.objects[plan.ResultKey(i, host, waves.Claimed)] = []byte("{}")
				if host == bad {
					h.b.bucket.objects[plan.ResultKey(i, host, waves.Failed)] = []byte(`{"reason":"not healthy"}`)
					h.b.bucket.objects[plan.ResultKey(i, host, waves.Back)] = []byte("{}")
					return
				}
				h.b.bucket.objects[plan.ResultKey(i, host, waves.Done)] = []byte("{}")
			}
		}
	}
}

func TestARolloutByPull(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	h.graze(t, "")
	code, out, errs := h.b.run("rollout", v2, "--app", "web", "--engine", "pull", "-o", "plain")
	if code != 0 || h.live(t) != v2 || !strings.Contains(out, "3 deployed, 0 failed") || !strings.Contains(errs, "is in the agents' hands: it goes on without this machine; --resume ") || len(h.went) != 0 {
		t.Errorf("code %d, live %s, went %v\n%s%s", code, h.live(t), h.went, errs, out)
	}
	if out := h.b.ok(t, "show", "--app", "web", "--channel", "staging"); !strings.Contains(out, "(by pull)") {
		t.Errorf("the channel does not show its rollout:\n%s", out)
	}
	h.graze(t, "i-1")
	code, out, errs = h.b.run("rollout", v1, "--app", "web", "--engine", "pull", "-o", "plain")
	if code != 4 || h.live(t) != v2 || !strings.Contains(errs, "the canary failed: i-1: not healthy; rolled back to build "+v2[:12]) || !strings.Contains(out, "1 restored, 0 stuck, 2 pending") {
		t.Errorf("code %d, live %s\n%s%s", code, h.live(t), errs, out)
	}
}

func TestARolloutByPullIsResumedByItsOwnEngine(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	var r deploy.Rollout
	if err := json.Unmarshal([]byte(h.b.ok(t, "rollout", v2, "--app", "web", "--engine", "pull", "--dry-run", "-o", "json")), &r); err != nil || !r.Pull {
		t.Fatalf("%v, %+v", err, r)
	}
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	h.b.bucket.objects["web/rollouts/"+r.ID+".json"] = body
	if code, _, errs := h.b.run("rollout", "--app", "web", "--resume", r.ID, "--engine", "ssm"); code != 2 || !strings.Contains(errs, "give --engine pull") {
		t.Errorf("by another engine: code %d\n%s", code, errs)
	}
	// It died before the channel named its plan; whoever resumes it does that.
	h.graze(t, "")
	out := h.b.ok(t, "rollout", "--app", "web", "--resume", r.ID)
	if h.live(t) != v2 || !strings.Contains(out, "3 deployed, 0 failed") {
		t.Errorf("live %s, want %s and not %s\n%s", h.live(t), v2, v1, out)
	}
}

func TestARolloutThatAgentsCarryOutKeepsOthersOut(t *testing.T) {
	t.Parallel()
	h, _, v2 := newHall(t)
	h.graze(t, "")
	h.b.ok(t, "rollout", v2, "--app", "web", "--engine", "pull")
	key := "" // its last result is not there yet, and its operator is dead
	for k := range h.b.bucket.objects {
		if strings.HasSuffix(k, "i-3.done.json") {
			key = k
		}
	}
	delete(h.b.bucket.objects, key)
	id := strings.Split(key, "/")[3]
	state := "web/rollouts/" + id + ".json"
	h.b.bucket.objects[state] = []byte(strings.Replace(string(h.b.bucket.objects[state]), `"phase":"done"`, `"phase":"rolling"`, 1))
	code, _, errs := h.b.run("rollout", v2, "--app", "web")
	if code != 4 || !strings.Contains(errs, "agents carry out rollout "+id+" of ann@host") || !strings.Contains(errs, "--resume "+id) || len(h.went) != 0 {
		t.Errorf("code %d, went %v\n%s", code, h.went, errs)
	}
}

func TestWhatAgentsCannotDoIsRefused(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	for args, want := range map[string]string{
		"--engine pull --claim-within 59s":                 "--claim-within 59s: want 1m0s or more",
		"--engine pull --deadline -1s":                     "--deadline -1s",
		"--engine pull --target-group tg":                  "agents have no rights on load balancers",
		"--engine pull --gate true":                        "agents do not wait for a command of this machine",
		"--engine pull --wave 0":                           "a wave of no hosts",
		"--engine pull --launch-template-version 3":        "is for --engine refresh",
		"--claim-within 2m":                                "are for --engine pull",
		"--engine ssm --deadline 2h":                       "are for --engine pull",
		"--engine pull --host-timeout 0 --claim-within 2m": "a time limit of 0s for a host",
	} {
		code, _, errs := h.b.run(append([]string{"rollout", v2, "--app", "web"}, strings.Fields(args)...)...)
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, want %q\n%s", args, code, want, errs)
		}
	}
	if h.live(t) != v1 {
		t.Errorf("live %s", h.live(t))
	}
}

func TestWhatATagTakesNoHeedOfIsRefused(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	for args, want := range map[string]string{
		"--engine ssm --ssm-target Role=web":                      `"Role=web" is no target`,
		"--engine ssm --ssm-target=":                              `"" is no target`,
		"--ssm-target tag:Role=web":                               "is for --engine ssm",
		"--engine ssm --ssm-target tag:Role=web --hosts i-1":      "a tag takes no heed of --hosts",
		"--engine ssm --ssm-target tag:Role=web --limit 2":        "a tag takes no heed of --hosts",
		"--engine ssm --ssm-target tag:Role=web --zone a":         "a tag takes no heed of --hosts",
		"--engine ssm --ssm-target tag:Role=web --wave 2":         "SSM itself spreads the command",
		"--engine ssm --ssm-target tag:Role=web --per-zone":       "SSM itself spreads the command",
		"--engine ssm --ssm-target tag:Role=web --target-group t": "leave --target-group out",
	} {
		code, _, errs := h.b.run(append([]string{"rollout", v2, "--app", "web"}, strings.Fields(args)...)...)
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, want %q\n%s", args, code, want, errs)
		}
	}
	out := h.b.ok(t, "rollout", v2, "--app", "web", "--engine", "ssm", "--ssm-target", "tag:Role=web", "--dry-run")
	if !strings.Contains(out, "tag:Role=web          i-3") || h.live(t) != v1 {
		t.Errorf("the plan is\n%s", out)
	}
}
