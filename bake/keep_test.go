package bake

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestAFailedBakeIsKeptWhenAsked(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.KeepOnFailure = true
	p := f.plan(t)
	f.ec2.refuse["CreateImage"] = "UnauthorizedOperation"
	r, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.AWS || r.Result != "failed" || len(r.Leftover) == 0 {
		t.Fatalf("%v, report %+v", err, r)
	}
	key := filepath.Join(f.StateDir, "bakes", p.BakeID+".key")
	info, serr := os.Stat(key)
	if serr != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key: %v %v", info, serr)
	}
	known, rerr := os.ReadFile(key + ".known_hosts")
	if rerr != nil || !strings.HasPrefix(string(known), "172.31.0.9 ssh-ed25519 ") && !strings.HasPrefix(string(known), "203.0.113.9 ssh-ed25519 ") {
		t.Errorf("the known host: %q %v", known, rerr)
	}
	said := strings.Join(f.reporter.infos, "\n")
	for _, want := range []string{"ssh -i " + key, "bake-ami abort " + p.BakeID, "destroys itself at"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
	bakes, err := readJournals(f.StateDir)
	if err != nil || !bakes[p.BakeID].Kept || bakes[p.BakeID].alive {
		t.Errorf("the journal: %+v, %v", bakes[p.BakeID], err)
	}
	if err := bakes[p.BakeID].forget(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(f.StateDir, "bakes", "*")); len(left) > 0 {
		t.Errorf("the key outlives its bake: %v", left)
	}
}

// Once the image can be used the builder is let go, and nobody can get into it.
func TestABuilderThatIsLetGoIsNotSaidToBeKept(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.KeepOnFailure = true
	f.ec2.refuse["DeleteTags"] = "UnauthorizedOperation"
	r, err := f.Bake(t.Context(), f.plan(t))
	said := strings.Join(f.reporter.infos, "\n")
	if err == nil || strings.Contains(said, "ssh -i") || strings.Contains(said, f.ec2.instances[0].id) || !strings.Contains(said, "kept, as asked: ") {
		t.Errorf("%v: it says\n%s", err, said)
	}
	for _, l := range r.Leftover {
		if l.Kind == KindInstance {
			t.Errorf("told as left: %+v", l)
		}
	}
}

func TestAnInterruptedBakeIsNotKept(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.KeepOnFailure = true
	p := f.plan(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.reporter.start = func(step string) {
		if step == "converge" {
			cancel()
		}
	}
	if _, err := f.Bake(ctx, p); err == nil {
		t.Fatal("the bake succeeded")
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if n := f.ec2.called("GetConsoleOutput"); n > 0 {
		t.Errorf("an interrupted bake spent time on the console")
	}
}
