package bake

import (
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
)

func TestImageNamesAreFilledAndCheckedFirst(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.ImageName, f.in.Description = "{role} {date} {time} {arch} [{inputs}]", "{environment} on {base}"
	p := f.plan(t)
	if want := "web 2030-01-02 030405 x86_64 [" + short(p.Digest) + "]"; p.ImageName != want || p.Description != "_default on ami-base" {
		t.Errorf("name %q, description %q; want %q", p.ImageName, p.Description, want)
	}
	f.in.ImageName = "ubuntu" // the base's
	refusedWith(t, f, fault.Usage, `"ubuntu" is the name of ami-base`)
	for want, spoil := range map[string]func(*Inputs){
		"there is no {rol}":    func(in *Inputs) { in.ImageName = "{rol}-x" },
		"lonely brace":         func(in *Inputs) { in.ImageName = "web}" },
		"--description":        func(in *Inputs) { in.Description = "{x}" },
		"no name like \"we\"":  func(in *Inputs) { in.ImageName = "we" },
		`no name like "web:1"`: func(in *Inputs) { in.ImageName = "web:1" },
		"takes 255 characters": func(in *Inputs) { in.Description = strings.Repeat("d", 256) },
		"ten years":            func(in *Inputs) { in.DeprecateAfter = 4000 * 24 * time.Hour },
	} {
		f := newFakes(t)
		spoil(&f.in)
		refusedWith(t, f, fault.Usage, want)
	}
}

func TestAFinishedImageIsHardenedDeprecatedAndProtected(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.DeprecateAfter, f.in.Protect = 90*24*time.Hour, true
	var asked []string
	f.ec2.onForm = func(action string, get func(string) string) {
		switch action {
		case "ModifyImageAttribute":
			asked = append(asked, "imds "+get("ImdsSupport.Value"))
		case "EnableImageDeprecation":
			asked = append(asked, "deprecate "+get("DeprecateAt")[:10])
		case "EnableImageDeregistrationProtection", "DeleteTags":
			asked = append(asked, action)
		}
	}
	p := f.plan(t)
	if _, err := f.Bake(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	// The clock moves a little while the bake waits; not past midnight.
	if want := []string{"imds v2.0", "deprecate 2030-04-02", "DeleteTags", "EnableImageDeregistrationProtection"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	if got := f.ec2.images[1].params.Get("Description"); got != p.Description || got == "" {
		t.Errorf("described as %q", got)
	}
}

func TestAProtectionThatCannotBeHadLeavesNoImage(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Protect = true
	f.ec2.refuse["EnableImageDeregistrationProtection"] = "UnauthorizedOperation"
	_, err := f.Bake(t.Context(), f.plan(t))
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "EnableImageDeregistrationProtection") {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if f.ec2.called("DisableImageDeregistrationProtection") == 0 {
		t.Error("a protection whose reply was lost would keep the image from going")
	}
}

func TestAFinishedImageThatCannotBeUndoneCarriesItsExpiryAgain(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Protect = true
	for _, action := range []string{"EnableImageDeregistrationProtection", "DeregisterImage"} {
		f.ec2.refuse[action] = "UnauthorizedOperation"
	}
	p := f.plan(t)
	r, err := f.Bake(t.Context(), p)
	if err == nil || len(r.Leftover) != 1 || r.Leftover[0].Kind != KindImage {
		t.Fatalf("%v, left over %+v", err, r.Leftover)
	}
	want := p.ExpiresAt.UTC().Format(time.RFC3339)
	if i, s := f.ec2.images[1], f.ec2.snapshots[0]; i.tags[ami.TagExpires] != want || s.tags[ami.TagExpires] != want {
		t.Errorf("a sweep takes image %v and snapshot %v for finished", i.tags, s.tags)
	}
}

func TestAnImageOfAnotherBootModeIsRefused(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	p.Recipe.Base.BootMode = "uefi"
	_, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "boot mode") {
		t.Errorf("error %v", err)
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
