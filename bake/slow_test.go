package bake

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

// forgetful makes the fake EC2 slow: it says for a while after their creation
// that it does not know groups, instances, images and snapshots.
type forgetful struct {
	f     *fakes
	span  time.Duration
	since map[string]time.Time
	told  int // how often it did not know
}

func newForgetful(f *fakes, span time.Duration) *forgetful {
	g := &forgetful{f: f, span: span, since: map[string]time.Time{}}
	f.ec2.deny, f.ec2.hide = g.deny, g.young
	return g
}

func (g *forgetful) young(id string) bool {
	now := g.f.Clock.Now()
	if _, known := g.since[id]; !known && id != "ami-base" && id != "" {
		g.since[id] = now
	}
	at, known := g.since[id]
	return known && now.Sub(at) < g.span
}

// deny runs before the call: what is asked for is there already.
func (g *forgetful) deny(_ string, p url.Values) string {
	for key, code := range map[string]string{"GroupId": "InvalidGroup.NotFound", "SecurityGroupId.1": "InvalidGroup.NotFound",
		"InstanceId.1": "InvalidInstanceID.NotFound", "InstanceId": "InvalidInstanceID.NotFound", "ImageId": "InvalidAMIID.NotFound",
		"ResourceId.1": "InvalidAMIID.NotFound", "SnapshotId": "InvalidSnapshot.NotFound"} {
		if p.Get(key) != "" && g.young(p.Get(key)) {
			g.told++
			return code
		}
	}
	return ""
}

func TestABakeSurvivesIDsThatEC2DoesNotKnowYet(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	slow := newForgetful(f, 5*time.Second)
	r, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	if slow.told == 0 {
		t.Error("EC2 always knew")
	}
	if left := f.left(t); len(left) != 2 { // the image and its snapshot
		t.Errorf("left: %v", left)
	}
	if r.ImageID == "" || f.ec2.called("AuthorizeSecurityGroupIngress") < 2 {
		t.Errorf("image %q, calls %v", r.ImageID, f.ec2.calls)
	}
}

func TestALaunchWaitsUntilEC2KnowsTheNewGroup(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	refusals := 0
	f.ec2.deny = func(action string, _ url.Values) string {
		if action == "RunInstances" && refusals < 2 {
			refusals++
			return "InvalidGroup.NotFound"
		}
		return ""
	}
	if _, err := f.Bake(t.Context(), p); err != nil || f.ec2.called("RunInstances") != 3 {
		t.Errorf("%d launches, %v", f.ec2.called("RunInstances"), err)
	}
	f = newFakes(t)
	f.in.SecurityGroup = "sg-given" // one that the caller named is not there: no use in asking again
	p = f.plan(t)
	f.ec2.refuse["RunInstances"] = "InvalidGroup.NotFound"
	if _, err := f.Bake(t.Context(), p); fault.KindOf(err) != fault.AWS || f.ec2.called("RunInstances") != 1 {
		t.Errorf("%d launches, %v", f.ec2.called("RunInstances"), err)
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A bake that ends while EC2 does not know what was made must not take "not
// found" for "gone".
func TestUndoOutlastsIDsThatEC2DoesNotKnowYet(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"launch", "boot", "wait for image", "keep image"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			p := f.plan(t)
			newForgetful(f, 5*time.Second)
			ctx, cancel := context.WithCancelCause(t.Context())
			f.reporter.start = func(name string) {
				if name == step {
					cancel(errBoom)
				}
			}
			if _, err := f.Bake(ctx, p); !errors.Is(err, errBoom) {
				t.Errorf("the bake ended with %v", err)
			}
			if left := f.left(t); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestABakeWaitsForAnImageThatTakesTenMinutes(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	clock := f.Clock.(*stoppedClock)
	p := f.plan(t)
	var from, to time.Time // when the image was first and last looked at
	f.ec2.onCall = func(action string) {
		if action != "DescribeImages" || len(f.ec2.images) < 2 {
			return
		}
		if from.IsZero() {
			from = clock.Now()
		}
		if clock.Now().Sub(from) < 10*time.Minute {
			f.ec2.images[1].state = "pending" // an answer makes it available
		} else if to.IsZero() {
			to = clock.Now()
			f.ec2.images[1].state = "available"
		}
	}
	r, err := f.Bake(t.Context(), p)
	if err != nil || r.ImageID == "" {
		t.Fatalf("image %q, %v", r.ImageID, err)
	}
	if lag := to.Sub(from) - 10*time.Minute; lag < 0 || lag > imagePace(latest).Max {
		t.Errorf("the image was seen %v after it was ready", lag)
	}
	if looks := f.ec2.called("DescribeImages"); looks > 10*60/int(imagePace(latest).Max.Seconds())+25 {
		t.Errorf("%d looks at the image in ten minutes", looks)
	}
}

func TestATimeOutEndsAWaitForAnImage(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Timeout = 5 * time.Minute
	p := f.plan(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	began := f.Clock.Now()
	f.ec2.onCall = func(action string) {
		if action == "DescribeImages" && len(f.ec2.images) > 1 {
			f.ec2.images[1].state = "pending"
			if f.Clock.Now().Sub(began) > 5*time.Minute { // the bake's own deadline is on the wall clock
				cancel(bakeTooLong(f.in.Timeout))
			}
		}
	}
	_, err := f.Bake(ctx, p)
	if fault.KindOf(err) != fault.Timeout {
		t.Errorf("the bake ended with %v", err)
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// A bake that was told to end has the builder terminated before anything else:
// the undo of the image may take longer than it is given.
func TestAnInterruptedBakeTerminatesFirst(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	f.reporter.start = func(name string) {
		if name == "wait for image" {
			cancel(errBoom)
		}
	}
	if _, err := f.Bake(ctx, p); !errors.Is(err, errBoom) {
		t.Errorf("the bake ended with %v", err)
	}
	after := f.ec2.calls[slices.Index(f.ec2.calls, "CreateImage")+1:]
	if end := slices.Index(after, "TerminateInstances"); end < 0 || slices.ContainsFunc(after[:end], func(a string) bool { return a != "DescribeImages" }) {
		t.Errorf("calls after CreateImage: %v", after)
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
