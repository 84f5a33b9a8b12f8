package retain

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
)

func date() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

const day = 24 * time.Hour

// image is a good image of role web that is so many days old.
func image(id string, days int) ami.Image {
	return ami.Image{ID: id, Role: "web", BakeID: "bake-" + id, State: "available", Arch: "x86_64", Created: date().Add(-time.Duration(days) * day), Tags: map[string]string{}}
}

func TestWhatNobodyNeedsGoesAndEachVerdictSaysWhy(t *testing.T) {
	t.Parallel()
	with := func(k ami.Image, change func(*ami.Image)) ami.Image { change(&k); return k }
	arm := func(k *ami.Image) { k.Arch = "arm64" }
	images := []ami.Image{
		image("new", 1), image("second", 40), image("old", 50), image("used", 60), image("shared", 61),
		with(image("protected", 70), func(k *ami.Image) { k.Protected = true }),
		with(image("unfinished", 80), func(k *ami.Image) { k.Unfinished = true }),
		with(image("pending", 80), func(k *ami.Image) { k.State = "pending" }),
		with(image("failed", 35), func(k *ami.Image) { k.Tags = map[string]string{ami.TagProof: ami.ProofFailed} }),
		with(image("failed-young", 3), func(k *ami.Image) { k.Tags = map[string]string{ami.TagProof: ami.ProofFailed} }),
		with(image("other", 90), func(k *ami.Image) { k.Role = "db" }),
		with(image("undated", 90), func(k *ami.Image) { k.Created = time.Time{} }),
		with(image("arm", 95), arm), with(image("arm-older", 96), arm), with(image("arm-oldest", 97), arm),
		with(image("prod", 200), func(k *ami.Image) { k.Environment = "prod" }),
	}
	refs := []Reference{{"used", KindInstance, "i-1"}, {"used", KindTemplate, "web version 3"}, {"shared", KindShare, "with 111122223333"}, {"elsewhere", KindInstance, "i-2"}}
	want := map[string]string{
		"new": "keep newest 2", "second": "keep newest 2", "old": "remove 2 newer", "used": "keep instance i-1, launch template web version 3",
		"shared": "keep share with 111122223333", "protected": "keep protected", "unfinished": "keep sweep", "pending": "keep pending",
		"failed": "remove failed its proof", "failed-young": "keep only 3d old", "other": "keep role db", "undated": "keep not known",
		"arm": "keep newest 2", "arm-older": "keep newest 2", "arm-oldest": "remove 2 newer", "prod": "keep newest 2",
	}
	policy := Policy{Roles: []string{"web"}, Keep: 2, OlderThan: 30 * day}
	for _, v := range Decide(images, refs, policy, date()) {
		verb, why, _ := strings.Cut(want[v.ID], " ")
		if v.Remove != (verb == "remove") || !strings.Contains(v.Reason, why) {
			t.Errorf("%s: remove %v (%s), want %s", v.ID, v.Remove, v.Reason, want[v.ID])
		}
	}
	policy.DespiteShares = true
	for _, v := range Decide(images, refs, policy, date()) {
		if v.ID == "shared" && !v.Remove {
			t.Errorf("despite shares: %s", v.Reason)
		}
	}
}

func TestAPolicyThatSelectsNothingOrAllIsRefused(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]Policy{
		"whose images":       {Keep: 5},
		"which images stay":  {Roles: []string{"web"}},
		"--keep -1":          {Roles: []string{"web"}, Keep: -1},
		"older-than":         {Roles: []string{"web"}, Keep: 1, OlderThan: -time.Hour},
		"--template-version": {Roles: []string{"web"}, Keep: 1, Templates: -1},
	} {
		if err := p.Check(); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) || fault.NextOf(err) == "" {
			t.Errorf("%+v: %v, want one that names %q", p, err, want)
		}
	}
	if err := (Policy{Roles: []string{"web"}, OlderThan: time.Hour}).Check(); err != nil {
		t.Error(err)
	}
}

// drawImage makes any image.
func drawImage(t *rapid.T, n int) ami.Image {
	k := image(fmt.Sprintf("ami-%d", n), rapid.IntRange(-1, 100).Draw(t, "age"))
	k.Role = rapid.SampledFrom([]string{"web", "db", ""}).Draw(t, "role")
	k.Arch = rapid.SampledFrom([]string{"x86_64", "arm64"}).Draw(t, "arch")
	k.Environment = rapid.SampledFrom([]string{"", "prod"}).Draw(t, "environment")
	k.State = rapid.SampledFrom([]string{"available", "available", "pending", "failed"}).Draw(t, "state")
	k.Protected, k.Unfinished = rapid.Bool().Draw(t, "protected"), rapid.Bool().Draw(t, "unfinished")
	if rapid.Bool().Draw(t, "failed proof") {
		k.Tags[ami.TagProof] = ami.ProofFailed
	}
	return k
}

func TestPruningNeverTakesWhatMustStay(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var images []ami.Image
		var refs []Reference
		used := map[string]bool{}
		for n := range rapid.IntRange(0, 25).Draw(t, "images") {
			k := drawImage(t, n)
			images = append(images, k)
			if rapid.Bool().Draw(t, "used") {
				used[k.ID] = true
				refs = append(refs, Reference{k.ID, rapid.SampledFrom([]string{KindInstance, KindGroup, KindReference, KindShare}).Draw(t, "kind"), "x"})
			}
		}
		p := Policy{Roles: []string{"web"}, Keep: rapid.IntRange(0, 6).Draw(t, "keep"), OlderThan: time.Duration(rapid.IntRange(0, 60).Draw(t, "days")) * day}
		verdicts := Decide(images, refs, p, date())
		if len(verdicts) != len(images) {
			t.Fatalf("%d verdicts on %d images", len(verdicts), len(images))
		}
		for i, v := range verdicts {
			k := images[i]
			if v.ID != k.ID || v.Reason == "" {
				t.Fatalf("verdict %d is on %s, without order or reason: %+v", i, k.ID, v)
			}
			if v.Remove && (used[k.ID] || k.Protected || k.Unfinished || k.State != "available" || k.Role != "web" || date().Sub(k.Created) < p.OlderThan || newest(images, k) < p.Keep) {
				t.Fatalf("%+v would be removed: %s", k, v.Reason)
			}
		}
	})
}

// newest counts, in another way than the code does, the images of a kind that
// are younger than k; one that does not count as stock is beyond all of them.
func newest(images []ami.Image, k ami.Image) int {
	good := func(i ami.Image) bool { return i.Finished() && i.Tags[ami.TagProof] != ami.ProofFailed }
	if !good(k) {
		return 1 << 20
	}
	younger := 0
	for _, i := range images {
		same := i.Role == k.Role && i.Arch == k.Arch && i.Environment == k.Environment
		if good(i) && same && (i.Created.After(k.Created) || i.Created.Equal(k.Created) && i.BakeID > k.BakeID) {
			younger++
		}
	}
	return younger
}

func TestNamesOfManyUsersAreCutShort(t *testing.T) {
	t.Parallel()
	var refs []Reference
	for i := range 9 {
		refs = append(refs, Reference{"a", KindInstance, fmt.Sprint("i-", i)})
	}
	if got := names(slices.Concat(refs, refs)); got != "instance i-0, instance i-1, instance i-2, 6 more" {
		t.Errorf("names are %q", got)
	}
}
