package bake

import (
	"net/url"
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
