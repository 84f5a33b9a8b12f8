package bake

import (
	"context"
	"net/url"
	"testing"

	"bakehouse/internal/fault"
)

// EC2 knows a copy, and the snapshots behind it, only after a moment. What was
// asked for a moment before the bake is interrupted goes all the same.
func TestACopyThatEC2DoesNotKnowYetIsRemoved(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	p := f.plan(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	api := f.there["eu-west-1"]
	tries, looks := 0, 0
	api.onCall = func(action string) {
		switch action {
		case "CopyImage":
			cancel(fault.Newf(fault.Terminated, "", "SIGTERM"))
		case "DescribeSnapshots":
			looks++
		}
	}
	api.deny = func(action string, _ url.Values) string {
		if action != "DeregisterImage" {
			return ""
		}
		if tries++; tries < 3 {
			return "InvalidAMIID.NotFound"
		}
		return ""
	}
	api.hide = func(string) bool { return tries < 3 || looks < 3 }
	if _, err := f.Bake(ctx, p); fault.KindOf(err) != fault.Terminated {
		t.Errorf("error %v, want the signal", err)
	}
	api.hide = nil
	if left := f.leftIn(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
