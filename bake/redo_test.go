package bake

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/internal/fault"
)

// bakedOnce bakes plainly and returns the image's id; what is asked next is
// asked of an image that exists.
func (f *regionFakes) bakedOnce(t *testing.T) string {
	t.Helper()
	wishes := f.in.Distribute
	f.in.Distribute = distribute.Wishes{}
	r, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	f.in.Distribute = wishes
	return r.ImageID
}

func TestAReusedImageGetsTheCopiesAndSharesItLacks(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	id := f.bakedOnce(t)
	f.in.Distribute.Share.Accounts = []string{"444455556666"}
	p := f.plan(t)
	if p.Reuse == nil || p.Redo == nil || p.Redo.Empty() || p.Empty() || !strings.Contains(p.Text(), "copy   eu-west-1") {
		t.Fatalf("the plan is:\n%s", p.Text())
	}
	r, err := f.Bake(t.Context(), p)
	if err != nil || r.ImageID != id || !r.Reused || len(r.Copies) != 1 || r.Copies[0].Existing || len(r.Shared) != 2 {
		t.Fatalf("error %v, report %+v %+v", err, r.Copies, r.Shared)
	}
	copied := f.there["eu-west-1"].images[0]
	if copied.tags[ami.TagExpires] != "" || copied.id != r.Copies[0].ImageID {
		t.Errorf("the copy carries %v", copied.tags)
	}
	r, err = f.Bake(t.Context(), f.plan(t))
	if err != nil || !r.Copies[0].Existing || r.Copies[0].ImageID != copied.id || f.there["eu-west-1"].called("CopyImage") != 1 || f.ec2.called("RunInstances") != 1 {
		t.Errorf("again: %v, %+v", err, r.Copies)
	}
	if journals, _ := filepath.Glob(filepath.Join(f.StateDir, "bakes", "*")); len(journals) > 0 {
		t.Errorf("left behind: %v", journals)
	}
}

func TestARedoKeepsWhatWorkedAndRemovesWhatFailed(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1", "us-west-2")
	id := f.bakedOnce(t)
	f.there["us-west-2"].refuse["DeleteTags"] = "UnauthorizedOperation"
	plan, err := f.PlanRedo(t.Context(), "us-east-1", id, f.in.Distribute)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Redo(t.Context(), plan)
	if fault.KindOf(err) != fault.AWS || out.Copies[0].ImageID == "" || out.Copies[1].ImageID != "" || out.Copies[1].Error == "" {
		t.Errorf("error %v, copies %+v", err, out.Copies)
	}
	if len(f.there["us-west-2"].owned()) > 0 || len(f.there["eu-west-1"].owned()) != 2 {
		t.Errorf("left are %v", f.leftIn(t))
	}
	delete(f.there["us-west-2"].refuse, "DeleteTags")
	if plan, err = f.PlanRedo(t.Context(), "us-east-1", id, f.in.Distribute); err != nil || plan.Copies[0].ImageID == "" || plan.Copies[1].ImageID != "" {
		t.Fatalf("planned again: %v, %+v", err, plan.Copies)
	}
	if out, err = f.Redo(t.Context(), plan); err != nil || !out.Copies[0].Existing || out.Copies[1].ImageID == "" {
		t.Errorf("again: %v, %+v", err, out.Copies)
	}
}

func TestARedoIsRefusedForImagesThatAreNotToBeSpread(t *testing.T) {
	t.Parallel()
	for says, spoil := range map[string]func(*regionFakes, *thing) string{
		"no such image there": func(*regionFakes, *thing) string { return "ami-nobody" },
		"no bake made it":     func(*regionFakes, *thing) string { return "ami-base" },
		"has not finished": func(_ *regionFakes, i *thing) string {
			i.tags[ami.TagExpires] = "2030-01-02T05:04:05Z"
			return i.id
		},
		"failed its proof": func(_ *regionFakes, i *thing) string { i.tags[ami.TagProof] = ami.ProofFailed; return i.id },
		"an unfinished copy, ami-half, is in eu-west-1 already": func(f *regionFakes, i *thing) string {
			f.there["eu-west-1"].images = []*thing{{id: "ami-half", name: i.name, state: "pending", tags: map[string]string{ami.TagBakeID: i.tags[ami.TagBakeID], ami.TagExpires: "x"}}}
			return i.id
		},
		"is the name of ami-other in eu-west-1 already": func(f *regionFakes, i *thing) string {
			f.there["eu-west-1"].images = []*thing{{id: "ami-other", name: i.name, state: "available"}}
			return i.id
		},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			f := newRegionFakes(t, "eu-west-1")
			f.bakedOnce(t)
			id := spoil(f, f.ec2.images[1])
			_, err := f.PlanRedo(t.Context(), "us-east-1", id, f.in.Distribute)
			if fault.KindOf(err) != fault.Usage || !strings.Contains(fmt.Sprint(err), says) || fault.NextOf(err) == "" {
				t.Errorf("error %v, next %q", err, fault.NextOf(err))
			}
		})
	}
}

func TestARedoWaitsForNobodysJournal(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	id := f.bakedOnce(t)
	plan, err := f.PlanRedo(t.Context(), "us-east-1", id, f.in.Distribute)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.StateDir, "bakes", plan.Image.BakeID+".json")
	if err := os.WriteFile(path, []byte(`{"bake_id":"`+plan.Image.BakeID+`","pid":1,"resources":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = f.Redo(t.Context(), plan)
	if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.NextOf(err), "bake-ami abort "+plan.Image.BakeID) || f.there["eu-west-1"].called("CopyImage") > 0 {
		t.Errorf("error %v, next %q", err, fault.NextOf(err))
	}
}
