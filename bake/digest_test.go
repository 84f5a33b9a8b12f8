package bake

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

// CookbookDigest changes when a test says so.
func (c *fakeChef) CookbookDigest(_ context.Context, name, version string) (string, error) {
	return name + version + c.content, c.fail("CookbookDigest")
}

func (c *fakeChef) Environment(_ context.Context, name string) (chefrepo.Environment, error) {
	return chefrepo.Environment{Name: name, OverrideAttributes: map[string]any{"x": c.attribute}}, c.fail("Environment")
}

// changes are the ways in which the inputs of a bake can differ, by the part
// that has to show it.
func changes(t *testing.T) map[string]func(*fakes) {
	other := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	role := func(f *fakes, change func(*chefrepo.Role)) {
		r := f.chef.roles["web"]
		change(&r)
		f.chef.roles["web"] = r
	}
	return map[string]func(*fakes){
		"cookbooks: content": func(f *fakes) { f.chef.content = "changed" },
		"roles: attribute": func(f *fakes) {
			role(f, func(r *chefrepo.Role) { r.DefaultAttributes = map[string]any{"port": 81} })
		},
		"roles: run list":    func(f *fakes) { role(f, func(r *chefrepo.Role) { r.RunList = []string{"recipe[web::other]"} }) },
		"roles: environment": func(f *fakes) { f.in.Environment = "prod" },
		"agent: proxy":       func(f *fakes) { f.in.AgentEnv = map[string]string{"HTTPS_PROXY": "p"} },
		"agent: validator":   func(f *fakes) { f.in.Agent.Chef.ValidatorKey = "ssm:/w" },
		"chef: CA":           func(f *fakes) { f.in.ChefCAFile = other("ca.pem", "-----BEGIN CERTIFICATE-----\n") },
		"settings: volume":   func(f *fakes) { f.in.RootVolumeGB = 20 },
		"base: image":        func(f *fakes) { f.in.Base = "ami-base2" },
	}
}

// newDigestFakes is a world with two base images.
func newDigestFakes(t *testing.T) *fakes {
	f := newFakes(t)
	f.ec2.images = append(f.ec2.images, &thing{id: "ami-base2", name: "ubuntu2", state: "available", snapshot: "snap-base2", tags: map[string]string{}})
	return f
}

func TestEveryInputChangesTheDigestAndItsPart(t *testing.T) {
	t.Parallel()
	before := newDigestFakes(t).plan(t)
	for name, change := range changes(t) {
		f := newDigestFakes(t)
		change(f)
		after := f.plan(t)
		if after.Digest == before.Digest {
			t.Errorf("%s: the digest is the same", name)
		}
		want, _, _ := strings.Cut(name, ":")
		for i, p := range after.Recipe.Parts() {
			changed := p != before.Recipe.Parts()[i]
			if p.Name == want && !changed || changed && p.Name != want && !slices.Contains([]string{partAgent, partChef}, p.Name) {
				t.Errorf("%s: part %s changed: %v", name, p.Name, changed)
			}
		}
	}
	f := newDigestFakes(t)
	f.chef.attribute, f.in.Environment = "1", "prod"
	one := f.plan(t)
	f.chef.attribute = "2"
	if f.plan(t).Digest == one.Digest {
		t.Error("another attribute of the environment has the same digest")
	}
}

func TestEveryFieldOfTheRecipeCounts(t *testing.T) {
	t.Parallel()
	p := newFakes(t).plan(t)
	for i := range reflect.TypeFor[Recipe]().NumField() {
		r := p.Recipe
		field, name := reflect.ValueOf(&r).Elem().Field(i), reflect.TypeFor[Recipe]().Field(i).Name
		if name == "ChefPackage" {
			continue // its digest counts, not where it lay
		}
		field.Set(other(field.Interface()))
		if r.Digest() == p.Digest {
			t.Errorf("%s does not change the digest", name)
		}
		if slices.Equal(r.Parts(), p.Recipe.Parts()) {
			t.Errorf("%s changes no part: explain would call it the same", name)
		}
	}
	if tag := partsTag(p.Recipe.Parts()); len(tag) > ami.MaxTagValue || len(ami.ParseParts(tag)) != len(p.Recipe.Parts()) {
		t.Errorf("the tag has %d characters: %s", len(tag), tag)
	}
}

// other returns a value of v's type that is not v.
func other(v any) reflect.Value {
	out := reflect.New(reflect.TypeOf(v)).Elem()
	mark(out)
	return out
}

// mark puts something into the first place that takes it.
func mark(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		v.SetString("other")
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(4711)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		mark(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("other"), reflect.Zero(v.Type().Elem()))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return mark(v.Elem())
	case reflect.Struct:
		return slices.ContainsFunc(reflect.VisibleFields(v.Type()), func(f reflect.StructField) bool { return mark(v.FieldByIndex(f.Index)) })
	default:
		return false
	}
	return true
}

func TestTheSameInputsReuseTheImage(t *testing.T) {
	t.Parallel()
	f := newDigestFakes(t)
	f.in.ImageName = "fixed" // a name that a second image could not have
	first, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	p := f.plan(t)
	if !p.Empty() || !strings.Contains(p.Text(), first.ImageID) {
		t.Errorf("planned are %v:\n%s", p.Steps, p.Text())
	}
	calls := len(f.ec2.calls)
	again, err := f.Bake(t.Context(), p)
	if err != nil || again.ImageID != first.ImageID || !again.Reused || again.Result != "reused" || again.BakeID != first.BakeID {
		t.Errorf("%v, %+v", err, again)
	}
	if len(f.ec2.calls) != calls {
		t.Errorf("a reused image needs no calls: %v", f.ec2.calls[calls:])
	}
	f.in.Rebake = true
	refusedWithImages(t, f, `"fixed" is the name of `+first.ImageID)
	f.in.Rebake, f.chef.content = false, "changed"
	refusedWithImages(t, f, `"fixed" is the name of `+first.ImageID)
}

// refusedWithImages is refusedWith for a world that holds images already.
func refusedWithImages(t *testing.T, f *fakes, want string) {
	t.Helper()
	if _, err := f.Resolve(t.Context(), f.in); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
}

func TestImagesThatAreNotUsableAreNotReused(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	good := ami.Image{State: "available"}
	if !good.Usable(now) {
		t.Error("a finished image is not usable")
	}
	for what, spoil := range map[string]func(*ami.Image){
		"pending":    func(k *ami.Image) { k.State = "pending" },
		"unfinished": func(k *ami.Image) { k.Unfinished = true },
		"deprecated": func(k *ami.Image) { k.Deprecated = now.Add(-time.Hour) },
	} {
		k := good
		if spoil(&k); k.Usable(now) {
			t.Errorf("%s: usable", what)
		}
	}
}

func TestExplainNamesWhatChanged(t *testing.T) {
	t.Parallel()
	f := newDigestFakes(t)
	f.in.Rebake = true
	e, err := f.Explain(t.Context(), f.plan(t))
	if err != nil || e.Last != nil || !strings.Contains(e.Text(), "no image yet") {
		t.Fatalf("%v, %+v", err, e)
	}
	r, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	if e, err = f.Explain(t.Context(), f.plan(t)); err != nil || len(e.Changed) != 0 || !strings.Contains(e.Text(), "nothing changed") {
		t.Errorf("%v:\n%s", err, e.Text())
	}
	f.chef.content, f.in.Base = "changed", "ami-base2"
	e, err = f.Explain(t.Context(), f.plan(t))
	if err != nil || !slices.Equal(e.Changed, []string{partBase, partCookbooks}) || e.Last.ID != r.ImageID {
		t.Errorf("%v, changed %v:\n%s", err, e.Changed, e.Text())
	}
	for _, want := range []string{"changed base", "now ami-base2", "same    agent"} {
		if !strings.Contains(e.Text(), want) {
			t.Errorf("lacks %q:\n%s", want, e.Text())
		}
	}
}

func TestContentsThatCannotBeReadStopTheBake(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.chef.refuse = "CookbookDigest"
	refusedWith(t, f, fault.Chef, "reading cookbook web 1.2.3")
	f = newFakes(t)
	f.chef.refuse, f.in.Environment = "Environment", "prod"
	refusedWith(t, f, fault.Chef, "reading environment prod")
	f = newFakes(t)
	f.ec2.deny = func(action string, p url.Values) string {
		if action == "DescribeImages" && strings.HasPrefix(strings.Join(p["Filter.1.Name"], ""), "tag:") {
			return "UnauthorizedOperation"
		}
		return ""
	}
	if _, err := f.Resolve(t.Context(), f.in); fault.KindOf(err) != fault.AWS {
		t.Errorf("%v", err)
	}
}
