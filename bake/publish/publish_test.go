package publish

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
)

// published plans and applies.
func published(t *testing.T, p Publisher, w Wishes) (Plan, error) {
	t.Helper()
	plan, err := p.Plan(t.Context(), w, target())
	if err != nil {
		t.Fatal(err)
	}
	return p.Apply(t.Context(), plan)
}

func TestPublishingWritesAllThereIsAndTwiceIsOnce(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	home, away := fakes["home"], fakes["away"]
	home.parameters["/ami/web/current"] = &parameter{Value: "ami-old", Type: "String", DataType: "aws:ec2:image", version: 4, tags: map[string]string{}}
	plan, err := published(t, p, everything())
	if err != nil {
		t.Fatal(err)
	}
	if c := plan.Changes[0]; c.Was != "ami-old" || c.Now != "ami-new" || c.Version != 5 || c.Result != Done {
		t.Errorf("the first change is reported as %+v", c)
	}
	if home.parameters["/ami/web/current"].Value != "ami-new" || away.parameters["/ami/web/current"].Value != "ami-copy" || away.parameters["/ami/web/next"].DataType != "aws:ec2:image" {
		t.Errorf("parameters: %+v %+v", home.parameters, away.parameters)
	}
	for name, par := range home.parameters {
		if par.tags[ami.TagRole] != "web" || par.tags[ami.TagBakeID] != "B5" {
			t.Errorf("%s has the tags %v", name, par.tags)
		}
	}
	if !slices.Equal(home.versions, []string{"ami-first", "ami-old", "ami-new"}) || home.defaultOne != 3 || !slices.Contains(home.writes, "CreateLaunchTemplateVersion from 2") {
		t.Errorf("template: %v, default %d, %v", home.versions, home.defaultOne, home.writes)
	}
	if len(home.deprecated) != 2 || home.deprecated["ami-old"] != "2026-11-23T13:00:00Z" || home.deprecated["ami-newer"] != "" {
		t.Errorf("deprecated: %v", home.deprecated)
	}
	home.writes, away.writes = nil, nil
	again, err := published(t, p, everything())
	if err != nil || len(home.writes)+len(away.writes) > 0 || !again.Empty() {
		t.Errorf("publishing again: %v, wrote %v %v\n%s", err, home.writes, away.writes, again.Text())
	}
}

func TestWhatIsOldIsTouchedLast(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	if _, err := published(t, p, everything()); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, w := range fakes["home"].writes {
		word, _, _ := strings.Cut(w, " ")
		order = append(order, word)
	}
	want := []string{"PutParameter", "PutParameter", "CreateLaunchTemplateVersion", "ModifyLaunchTemplate", "EnableImageDeprecation", "EnableImageDeprecation"}
	if !slices.Equal(order, want) {
		t.Errorf("wrote %v", order)
	}
}

func TestAFailureSaysWhatIsDoneAndTheNextRunFinishes(t *testing.T) {
	t.Parallel()
	for action, done := range map[string]string{"PutParameter": "done: nothing", "CreateLaunchTemplateVersion": "done: parameter /ami/web/current (home)",
		"ModifyLaunchTemplate": "not done: launch template web (home), predecessor", "EnableImageDeprecation": "launch template web (home); not done: predecessor ami-old"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			fakes, p := newWorld(t)
			fakes["home"].refuse[action] = "UnauthorizedOperation"
			plan, err := published(t, p, everything())
			if fault.KindOf(err) != fault.Unpublished || !strings.Contains(err.Error(), done) || !strings.Contains(fault.NextOf(err), action) || plan.Empty() {
				t.Fatalf("%v (%s), want %q", err, fault.NextOf(err), done)
			}
			if action != "EnableImageDeprecation" && len(fakes["home"].deprecated) > 0 {
				t.Errorf("an earlier image was deprecated before the new one was published")
			}
			delete(fakes["home"].refuse, action)
			if plan, err = published(t, p, everything()); err != nil || !plan.Empty() || fakes["home"].defaultOne != len(fakes["home"].versions) || len(fakes["home"].versions) != 3 {
				t.Errorf("the second run: %v, versions %v\n%s", err, fakes["home"].versions, plan.Text())
			}
		})
	}
}

func TestAParameterThatAppearsMeanwhileIsOverwritten(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	plan, err := p.Plan(t.Context(), Wishes{Parameters: []string{"/x"}}, target())
	if err != nil {
		t.Fatal(err)
	}
	fakes["home"].parameters["/x"] = &parameter{Value: "ami-else", Type: "String", DataType: "aws:ec2:image", version: 1, tags: map[string]string{}}
	if _, err = p.Apply(t.Context(), plan); err != nil || fakes["home"].parameters["/x"].Value != "ami-new" || fakes["home"].parameters["/x"].tags[ami.TagRole] != "web" {
		t.Errorf("%v: %+v", err, fakes["home"].parameters["/x"])
	}
}

func TestAValueIsWaitedForUntilItShows(t *testing.T) {
	t.Parallel()
	old := func() *parameter {
		return &parameter{Value: "ami-old", Type: "String", DataType: "aws:ec2:image", version: 1, tags: map[string]string{}}
	}
	fakes, p := newWorld(t)
	fakes["home"].parameters["/x"], fakes["home"].slow = old(), 4
	if _, err := published(t, p, Wishes{Parameters: []string{"/x"}}); err != nil {
		t.Errorf("a value that shows late: %v", err)
	}
	fakes, p = newWorld(t)
	fakes["home"].parameters["/x"], fakes["home"].slow = old(), 1000
	if _, err := published(t, p, Wishes{Parameters: []string{"/x"}}); fault.KindOf(err) != fault.Unpublished || !strings.Contains(err.Error(), "does not show it") {
		t.Errorf("a value that SSM drops: %v", err)
	}
}

func TestATextParameterStaysOne(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	fakes["home"].parameters["/x"] = &parameter{Value: "ami-old", Type: "String", DataType: "text", version: 1, tags: map[string]string{}}
	if _, err := published(t, p, Wishes{Parameters: []string{"/x"}}); err != nil || fakes["home"].parameters["/x"].DataType != "text" {
		t.Errorf("%v: %+v", err, fakes["home"].parameters["/x"])
	}
}

func TestWishesThatCannotBeMetAreRefusedBeforeAnyChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		w       Wishes
		prepare func(*fakeAWS)
		want    string
	}{
		"no such template": {Wishes{LaunchTemplate: "db"}, func(*fakeAWS) {}, "no launch template db"},
		"no such id":       {Wishes{LaunchTemplate: "lt-00000000"}, func(*fakeAWS) {}, "no launch template lt-00000000"},
		"a secret": {Wishes{Parameters: []string{"/x"}}, func(f *fakeAWS) {
			f.parameters["/x"] = &parameter{Value: "s", Type: "SecureString", DataType: "text"}
		}, "SecureString"},
	} {
		fakes, p := newWorld(t)
		c.prepare(fakes["home"])
		_, err := p.Plan(t.Context(), c.w, target())
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), c.want) || len(fakes["home"].writes) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWishesAreCheckedWithoutAskingAnybody(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]Wishes{
		"no name of an SSM":   {Parameters: []string{"/a b"}},
		"begins with /":       {Parameters: []string{"a/b"}},
		"AWS's own":           {Parameters: []string{"/aws/x"}},
		"given twice":         {Parameters: []string{"/x", "/x"}},
		"neither id nor name": {LaunchTemplate: "a b"},
		"no launch template":  {MakeDefault: true},
	} {
		if err := w.Check(); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) || fault.NextOf(err) == "" {
			t.Errorf("%+v: %v, want %q", w, err, want)
		}
	}
	if err := everything().Check(); err != nil {
		t.Error(err)
	}
}

func TestPredecessorsAreTheRolesEarlierImagesOfTheSameKind(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	of := ami.Image{ID: "ami-new", Role: "web", BakeID: "B5", Arch: "x86_64", Environment: "prod"}
	old := func(change func(*ami.Image)) ami.Image {
		k := ami.Image{ID: "ami-x", Role: "web", BakeID: "B1", Arch: "x86_64", Environment: "prod", State: "available"}
		change(&k)
		return k
	}
	for name, c := range map[string]struct {
		k    ami.Image
		want string // result and part of the reason; empty: not even named
	}{
		"earlier":              {old(func(*ami.Image) {}), "planned earlier image"},
		"the image":            {old(func(k *ami.Image) { k.ID = "ami-new" }), ""},
		"its copy":             {old(func(k *ami.Image) { k.BakeID = "B5" }), ""},
		"another role":         {old(func(k *ami.Image) { k.Role = "db" }), ""},
		"newer":                {old(func(k *ami.Image) { k.BakeID = "B6" }), "unchanged newer"},
		"another architecture": {old(func(k *ami.Image) { k.Arch = "arm64" }), "unchanged architecture"},
		"another environment":  {old(func(k *ami.Image) { k.Environment = "" }), "unchanged environment"},
		"unfinished":           {old(func(k *ami.Image) { k.Unfinished = true }), "unchanged sweep"},
		"deprecated before":    {old(func(k *ami.Image) { k.Deprecated = at.Add(-time.Hour) }), "unchanged is deprecated"},
		"deprecated too late":  {old(func(k *ami.Image) { k.Deprecated = at.Add(time.Hour) }), "planned deprecated at 2026-12-01"},
	} {
		got := Predecessors([]ami.Image{c.k}, of, Place{"home", "ami-new"}, at)
		if c.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		result, why, _ := strings.Cut(c.want, " ")
		if len(got) != 1 || got[0].Result != result || !strings.Contains(got[0].Reason, why) {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}

func TestAnInterruptedRunStopsBetweenChanges(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	plan, err := p.Plan(t.Context(), everything(), target())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("terminated"))
	plan, err = p.Apply(ctx, plan)
	if fault.KindOf(err) != fault.Unpublished || !strings.Contains(err.Error(), "terminated") || len(fakes["home"].writes) > 0 || plan.Changes[0].Result != NotTried {
		t.Errorf("%v, wrote %v", err, fakes["home"].writes)
	}
}
