package hypervisor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDecideNextStep(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		state  string
		actual Actual
		want   Verb
	}{
		{"a launch boots", "pending", Actual{}, Boot},
		{"moto says running at once", "running", Actual{}, Boot},
		{"booting is left alone", "running", Actual{Phase: Booting}, ""},
		{"running is what was asked", "running", Actual{Phase: Running}, ""},
		{"a stopped machine starts again", "running", Actual{Phase: Stopped}, Boot},
		{"start while still stopping waits", "running", Actual{Phase: Stopping}, ""},
		{"a failed launch is reported", "running", Actual{Phase: Stopped, Problem: "no such image"}, ReportNoLaunch},
		{"a shutdown from inside is told", "running", Actual{Phase: Exited}, ApplyShutdown},
		{"stop powers off", "stopped", Actual{Phase: Running}, PowerOff},
		{"stop waits for the boot", "stopped", Actual{Phase: Booting}, ""},
		{"stop is under way", "stopping", Actual{Phase: Stopping}, ""},
		{"stop meets a shutdown from inside", "stopped", Actual{Phase: Exited}, Keep},
		{"stopped stays", "stopped", Actual{Phase: Stopped}, ""},
		{"a failed start may be tried again", "stopped", Actual{Phase: Stopped, Problem: "disk full"}, Keep},
		{"stopped before it was seen", "stopped", Actual{}, Keep},
		{"terminate ends a running one", "terminated", Actual{Phase: Running}, Discard},
		{"terminate overtakes a stop", "shutting-down", Actual{Phase: Stopping}, Discard},
		{"terminate drops a stopped one", "terminated", Actual{Phase: Stopped}, Discard},
		{"terminate waits for the boot", "terminated", Actual{Phase: Booting}, ""},
		{"terminate is under way", "terminated", Actual{Phase: Terminating}, ""},
		{"terminated is done", "terminated", Actual{Phase: Gone}, ""},
		{"terminated before it was seen", "terminated", Actual{}, Bury},
		{"busy is left alone: stop", "stopped", Actual{Phase: Running, Busy: true}, ""},
		{"busy is left alone: terminate", "terminated", Actual{Phase: Running, Busy: true}, ""},
		{"an unheard-of state asks for nothing", "rebooting", Actual{Phase: Running}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			actual := map[string]Actual{"i-1": c.actual}
			var got Verb
			if a := Decide([]Wanted{{"i-1", c.state}}, actual); len(a) == 1 {
				got = a[0].Verb
				if a[0].Why == "" {
					t.Error("a decision without a reason")
				}
			}
			if got != c.want {
				t.Errorf("%s with %+v: got %q, want %q", c.state, c.actual, got, c.want)
			}
		})
	}
}

func TestDecideDropsWhatEC2Forgot(t *testing.T) {
	t.Parallel()
	got := Decide([]Wanted{{"i-new", "pending"}}, map[string]Actual{
		"i-old":  {Phase: Running},
		"i-gone": {Phase: Gone},
		"i-busy": {Phase: Running, Busy: true},
		"i-also": {Phase: Stopped},
	})
	want := []Action{
		{"i-new", Boot, "launched"},
		{"i-also", Discard, "EC2 no longer knows it"},
		{"i-old", Discard, "EC2 no longer knows it"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

func TestCollectSparesLayersThatAreBeingFilled(t *testing.T) {
	t.Parallel()
	i := newImages(t.TempDir(), nil)
	for _, name := range []string{"ami-old", "ami-new.partial", "ami-new.partial.part"} {
		if err := os.MkdirAll(filepath.Join(i.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.collect(nil); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(i.dir, "*"))
	if err != nil || len(left) != 2 {
		t.Errorf("left %v, %v; want what is being filled", left, err)
	}
}
