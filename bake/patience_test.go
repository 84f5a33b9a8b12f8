package bake

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

// storm has EC2 answer every look at the bake's own image with a code for some
// time from the first such look on.
func (f *fakes) storm(code string, lasts time.Duration) {
	var from time.Time
	f.ec2.deny = func(action string, _ url.Values) string {
		if action != "DescribeImages" || len(f.ec2.images) < 2 {
			return ""
		}
		if from.IsZero() {
			from = f.Clock.Now()
		}
		if f.Clock.Now().Sub(from) < lasts {
			return code
		}
		return ""
	}
}

// TestAWaitForAnImageOutlastsAStorm: no look is answered for minutes, after all
// that the SDK tries (which is nothing here); EC2 makes the image meanwhile.
func TestAWaitForAnImageOutlastsAStorm(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"RequestLimitExceeded", "InternalError"} {
		f := newFakes(t)
		p := f.plan(t)
		f.storm(code, 3*time.Minute)
		r, err := f.Bake(t.Context(), p)
		if err != nil || r.ImageID == "" {
			t.Errorf("%s for three minutes: image %q, %v", code, r.ImageID, err)
		}
	}
}

func TestAWaitForAnImageWithoutAnyAnswerEnds(t *testing.T) {
	t.Parallel()
	for code, most := range map[string]time.Duration{"RequestLimitExceeded": 6 * time.Minute, "UnauthorizedOperation": 10 * time.Second} {
		f := newFakes(t)
		p := f.plan(t)
		began := f.Clock.Now()
		f.storm(code, 7*time.Minute) // the undo looks at the image, too, until it ends
		_, err := f.Bake(t.Context(), p)
		if took := f.Clock.Now().Sub(began); fault.KindOf(err) != fault.AWS || took > most {
			t.Errorf("%s: after %v: %v", code, took, err)
		}
		if left := f.left(t); len(left) > 0 {
			t.Errorf("%s: left %v", code, left)
		}
	}
}

func TestAWaitForACopyOutlastsAStorm(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	p := f.plan(t)
	there, began := f.there["eu-west-1"], f.Clock.Now()
	there.deny = func(action string, _ url.Values) string {
		if action == "DescribeImages" && len(there.images) > 0 && f.Clock.Now().Sub(began) < 3*time.Minute {
			return "RequestLimitExceeded"
		}
		return ""
	}
	if r, err := f.Bake(t.Context(), p); err != nil || len(r.Copies) != 1 || r.Copies[0].ImageID == "" {
		t.Errorf("copies %+v, %v", r.Copies, err)
	}
}

func TestTheFirstLookComesAsSoonAsThePlaceIsQuick(t *testing.T) {
	t.Parallel()
	for booted, want := range map[time.Duration]time.Duration{0: 2 * time.Second, 100 * time.Millisecond: 500 * time.Millisecond,
		1600 * time.Millisecond: 800 * time.Millisecond, 4 * time.Second: 2 * time.Second, time.Minute: 2 * time.Second} {
		clock := &stoppedClock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
		s := &Session{World: World{Clock: clock}, booted: booted, ending: clock.now}
		if got := s.soon(); got != want {
			t.Errorf("after a boot of %v the first look comes after %v, want %v", booted, got, want)
		}
		clock.now = clock.now.Add(300 * time.Millisecond)
		if got := s.due(); got != want-300*time.Millisecond {
			t.Errorf("0.3 s after the order there are %v left of %v", got, want)
		}
		clock.now = clock.now.Add(time.Minute)
		if got := s.due(); got != 0 {
			t.Errorf("a minute after the order there are %v left", got)
		}
	}
}

// TestAProverEndsWhileTheBakeGoesOn: its end takes EC2 half a minute, for which
// nobody waits before the image is kept; its node goes once it has ended.
func TestAProverEndsWhileTheBakeGoesOn(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	p := f.plan(t)
	r, err := f.Bake(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Index(f.ec2.calls, "DeleteTags")
	launched := slices.Index(f.ec2.calls, "CreateImage") + slices.Index(f.ec2.calls[slices.Index(f.ec2.calls, "CreateImage"):], "RunInstances")
	proof := f.ec2.calls[launched:kept]
	if want := []string{"RunInstances", "CreateTags", "TerminateInstances"}; !slices.Equal(proof, want) {
		t.Errorf("from the prover's launch until the image is kept: %v, want %v", proof, want)
	}
	if f.ec2.instances[1].state != "terminated" || f.ec2.called("TerminateInstances") != 2 {
		t.Errorf("the prover is %s after %v", f.ec2.instances[1].state, f.ec2.calls)
	}
	if left := f.left(t); !slices.Equal(left, []string{r.ImageID, r.Snapshots[0]}) {
		t.Errorf("left: %v", left)
	}
}
