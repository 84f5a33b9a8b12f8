package bake

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// newProving is a world whose bakes prove their images. The prover answers as
// status says; scripts may fail by a part of their text.
func newProving(t *testing.T, status string, failing ...string) *fakes {
	t.Helper()
	f := newFakes(t)
	f.in.Prove = ProveInputs{InstanceProfile: "web", Channel: "marker",
		Checks: Checks{Commands: []string{"nginx -t"}, Files: []string{"/srv/it's"}, Ports: []string{"80"}, URLs: []string{"http://127.0.0.1/"}}}
	f.machine.on = func(_ context.Context, script string, out io.Writer) (bool, error) {
		switch {
		case slices.ContainsFunc(failing, func(part string) bool { return strings.Contains(script, part) }):
			return true, &host.ExitError{Code: 1}
		case strings.Contains(script, "status --json"):
			io.WriteString(out, status)
			return true, nil
		case strings.Contains(script, "own_id"):
			io.WriteString(out, "VERIFIED\n")
			return true, nil
		}
		return false, nil
	}
	return f
}

const (
	up   = `{"state":"complete"}`
	down = `{"state":"failed","why":"health check: 404","stages":[{"stage":"start","state":"failed"}]}`
)

func TestAProvenImageIsMarkedAndItsProverGone(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	r, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	if left := f.left(t); !slices.Equal(left, []string{r.ImageID, r.Snapshots[0]}) {
		t.Errorf("left are %v", left)
	}
	if f.ec2.images[1].tags[ami.TagProof] != ami.Proven || len(f.ec2.instances) != 2 {
		t.Errorf("image carries %v, %d instances ran", f.ec2.images[1].tags, len(f.ec2.instances))
	}
	run := f.ec2.instances[1].params
	for key, want := range map[string]string{"ImageId": r.ImageID, "IamInstanceProfile.Name": "web", "MetadataOptions.InstanceMetadataTags": "enabled",
		"MetadataOptions.HttpTokens": "required", "InstanceInitiatedShutdownBehavior": "terminate"} {
		if got := run.Get(key); got != want {
			t.Errorf("the prover's %s is %q, want %q", key, got, want)
		}
	}
	if tags := f.ec2.instances[1].tags; tags[TagChannel] != "marker" || tags[ami.TagExpires] == "" || tags[ami.TagBakeID] == "" {
		t.Errorf("the prover carries %v", tags)
	}
	if r.Proof == nil || r.Proof.Result != ami.Proven || len(r.Proof.Checks) != 5 || r.Proof.InstanceID != f.ec2.instances[1].id {
		t.Errorf("proof %+v", r.Proof)
	}
	if p := f.plan(t); p.Reuse == nil {
		t.Error("a proven image is not reused")
	}
}

// The image is proven, and that the prover cannot be removed is told.
func TestAProvenImageStaysWhenItsProverCannotBeRemoved(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	p := f.plan(t)
	f.ec2.deny = func(action string, q url.Values) string {
		if action == "TerminateInstances" && len(f.ec2.instances) == 2 && q.Get("InstanceId.1") == f.ec2.instances[1].id {
			return "UnauthorizedOperation"
		}
		return ""
	}
	r, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.Leftover || r.ImageID == "" || r.Proof.Result != ami.Proven {
		t.Errorf("%v, image %q, proof %+v", err, r.ImageID, r.Proof)
	}
	var kinds []string
	for _, l := range r.Leftover {
		kinds = append(kinds, string(l.Kind))
	}
	if n := f.ec2.called("DeleteSecurityGroup"); n > 2 {
		t.Errorf("the group that the prover holds was asked for %d times", n)
	}
	// Its node and client are told, too: a running instance could register again.
	if slices.Sort(kinds); len(kinds) < 3 || !slices.Contains(kinds, string(KindInstance)) || !slices.Contains(kinds, string(KindChefNode)) {
		t.Errorf("told as left: %v", kinds)
	}
}

func TestAnUnprovenImageIsNotReusedByABakeThatProves(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	f.in.Prove = ProveInputs{Skip: true}
	if _, err := f.Bake(t.Context(), f.plan(t)); err != nil {
		t.Fatal(err)
	}
	if f.plan(t).Reuse == nil {
		t.Error("--no-prove does not take it")
	}
	f.in.Prove = ProveInputs{InstanceProfile: "web"}
	if f.plan(t).Reuse != nil {
		t.Error("it passes for a proven one")
	}
}

func TestAFailedProofTakesTheImageAwayAndKeepsTheLogs(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]*fakes{"start failed: health check: 404": newProving(t, down),
		"2 of 4 checks failed: command nginx -t": newProving(t, up, "nginx -t", "PORT_HEX=0050"), "port 80": newProving(t, up, "PORT_HEX=0050"),
		"looking for traces of the builder": newProving(t, up, "own_id")} {
		r, err := f.Bake(t.Context(), f.plan(t))
		if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: kind %v: %v", name, fault.KindOf(err), err)
		}
		if left := f.left(t); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
		if r.Proof == nil || r.Proof.Result != ami.ProofFailed || !strings.Contains(err.Error(), r.Proof.Logs) || r.ImageID != "" || r.Unproven != "" {
			t.Errorf("%s: report %+v", name, r)
			continue
		}
		for _, file := range []string{"instance.log", "console.log"} {
			if _, err := os.Stat(filepath.Join(r.Proof.Logs, file)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestKeepUnprovenKeepsAMarkedImage(t *testing.T) {
	t.Parallel()
	f := newProving(t, down)
	f.in.Prove.KeepUnproven = true
	r, err := f.Bake(t.Context(), f.plan(t))
	if fault.KindOf(err) != fault.Check || r.Unproven == "" || r.ImageID != "" {
		t.Fatalf("%v, report %+v", err, r)
	}
	if left := f.left(t); !slices.Equal(left, []string{r.Unproven, r.Snapshots[0]}) {
		t.Errorf("left are %v", left)
	}
	if tags := f.ec2.images[1].tags; tags[ami.TagProof] != ami.ProofFailed || tags[ami.TagExpires] != "" {
		t.Errorf("the image carries %v", tags)
	}
	if f.plan(t).Reuse != nil {
		t.Error("an image that failed its proof is reused")
	}
}

func TestAProofThatEndsEarlyLeavesNothing(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	f.reporter.start = func(step string) {
		if step == "prove" {
			cancel(errSignalled)
		}
	}
	if _, err := f.Bake(ctx, f.plan(t)); !errors.Is(err, errSignalled) {
		t.Errorf("error %v does not name the signal", err)
	}
	refused := newProving(t, up)
	refused.ec2.deny = func(action string, p url.Values) string {
		if action == "RunInstances" && strings.HasSuffix(p["ClientToken"][0], "-prove") {
			return "UnauthorizedOperation"
		}
		return ""
	}
	if _, err := refused.Bake(t.Context(), refused.plan(t)); fault.KindOf(err) != fault.AWS {
		t.Errorf("an instance that may not be launched proves nothing: %v", err)
	}
	for _, f := range []*fakes{f, refused} {
		if left := f.left(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestProofsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*fakes){
		"no instance profile": func(f *fakes) { f.in.Prove.InstanceProfile = "" },
		"too short":           func(f *fakes) { f.in.Prove.Timeout = time.Second },
		"could not prove to broker https://broker.test": func(f *fakes) {
			f.in.Prove.InstanceProfile, f.in.Agent.Chef.ValidatorKey, f.in.Agent.Chef.BrokerURL = "", "", "https://broker.test"
		},
		"no proof to keep":     func(f *fakes) { f.in.Prove = ProveInputs{Skip: true, KeepUnproven: true} },
		`port "http"`:          func(f *fakes) { f.in.Prove.Checks.Ports = []string{"http"} },
		`file "etc/x"`:         func(f *fakes) { f.in.Prove.Checks.Files = []string{"etc/x"} },
		"no client to sign as": func(f *fakes) { f.Chef = nil },
	} {
		f := newProving(t, up)
		spoil(f)
		refusedWith(t, f, fault.Usage, want)
	}
}
