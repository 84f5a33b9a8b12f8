package bake

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

// twoRoles are inputs for the roles web and db.
func twoRoles(f *fakes) []Inputs {
	f.chef.roles["db"] = chefrepo.Role{Name: "db", RunList: []string{"recipe[db]"}}
	db := f.in
	db.Role = "db"
	return []Inputs{f.in, db}
}

func TestAReusedImageIsNoFailure(t *testing.T) {
	t.Parallel()
	for result, want := range map[string]string{"done": "done", "reused": "done", "failed": "failed", "refused": "failed", "unpublished": "failed"} {
		if r := AllOf([]Report{{Result: "done"}, {Result: result}}); r.Result != want || len(r.Bakes) != 2 {
			t.Errorf("%s makes the run %s, want %s", result, r.Result, want)
		}
	}
}

func TestSeveralRolesMakeSeveralImages(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	plans, err := f.ResolveAll(t.Context(), twoRoles(f))
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.BakeAll(t.Context(), plans)
	if err != nil || r.Result != "done" || r.Bakes[0].Role != "web" || r.Bakes[1].Role != "db" {
		t.Fatalf("%v: %+v", err, r)
	}
	if a, b := r.Bakes[0].ImageID, r.Bakes[1].ImageID; a == "" || b == "" || a == b {
		t.Errorf("images %q and %q", a, b)
	}
	if left := f.left(t); len(left) != 4 {
		t.Errorf("left are %v, want two images with their snapshots", left)
	}
	for _, step := range []string{"web: converge", "db: converge"} {
		if !slices.Contains(f.reporter.steps, step) {
			t.Errorf("no step %q was reported: %v", step, f.reporter.steps)
		}
	}
	if b, err := r.JSON(); err != nil || !strings.Contains(string(b), `"bakes": [`) {
		t.Errorf("%v %s", err, b)
	}
}

func TestOneRoleIsReusedBesideOneThatIsBaked(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	first, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	plans, err := f.ResolveAll(t.Context(), twoRoles(f))
	if err != nil || plans[0].Reuse == nil || plans[1].Reuse != nil {
		t.Fatalf("%v: reuse %v and %v", err, plans[0].Reuse, plans[1].Reuse)
	}
	r, err := f.BakeAll(t.Context(), plans)
	if err != nil || r.Result != "done" || !r.Bakes[0].Reused || r.Bakes[0].Result != "reused" || r.Bakes[0].ImageID != first.ImageID {
		t.Fatalf("%v: %+v", err, r)
	}
	if web, db := r.Bakes[0], r.Bakes[1]; db.Result != "done" || db.Reused || db.ImageID == "" || db.ImageID == web.ImageID {
		t.Errorf("the other role: %+v", db)
	}
	if n := f.ec2.called("CreateImage"); n != 2 {
		t.Errorf("%d images were made, want one of each role", n)
	}
}

func TestOneRoleFailsAloneAndIsNamed(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	plans, err := f.ResolveAll(t.Context(), twoRoles(f))
	if err != nil {
		t.Fatal(err)
	}
	plans[1].Launch.Placements = []Placement{{MarketOnDemand, "x9.none", "", ""}}
	f.ec2.deny = func(action string, p url.Values) string {
		if p.Get("InstanceType") == "x9.none" {
			return "InvalidParameterValue"
		}
		return ""
	}
	r, err := f.BakeAll(t.Context(), plans)
	if fault.KindOf(err) != fault.AWS || !strings.HasPrefix(err.Error(), "role db: ") {
		t.Errorf("%v of kind %v", err, fault.KindOf(err))
	}
	if r.Result != "failed" || r.Bakes[0].ImageID == "" || r.Bakes[1].Result != "failed" {
		t.Errorf("%+v", r)
	}
	if left := f.left(t); len(left) != 2 {
		t.Errorf("left are %v, want the image and snapshot of web", left)
	}
}

func TestARoleThatCannotBeBakedStopsThemAll(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	ins := twoRoles(f)
	ins[1].Role = "nosuch"
	_, err := f.ResolveAll(t.Context(), ins)
	if fault.KindOf(err) != fault.Chef || fault.NextOf(err) == "" || !strings.Contains(err.Error(), "role nosuch: ") || strings.Contains(err.Error(), "role web: ") {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
}

func TestErrorsOfSeveralRolesKeepTheGravestKind(t *testing.T) {
	t.Parallel()
	chef, leftover := fault.Newf(fault.Chef, "mend it", "a"), fault.Newf(fault.Leftover, "remove it", "b")
	err := together([]string{"web", "db", "x"}, []error{chef, leftover, nil})
	if fault.KindOf(err) != fault.Leftover || fault.NextOf(err) != "remove it" || err.Error() != "role web: a; role db: b" {
		t.Errorf("%v of kind %v, next %q", err, fault.KindOf(err), fault.NextOf(err))
	}
	late := fault.Newf(fault.Unpublished, "publish it", "c")
	err = together([]string{"web", "db"}, []error{late, chef})
	if fault.KindOf(err) != fault.Chef || fault.NextOf(err) != "mend it" || err.Error() != "role web: c; role db: a" {
		t.Errorf("an image that is not published hides one that was not made: %v of kind %v", err, fault.KindOf(err))
	}
	if err := together([]string{"web", "db"}, []error{late, nil}); fault.KindOf(err) != fault.Unpublished {
		t.Errorf("%v of kind %v", err, fault.KindOf(err))
	}
	if err := together([]string{"web"}, []error{nil}); err != nil {
		t.Errorf("no errors give %v", err)
	}
	if err := together([]string{"web"}, []error{context.Canceled}); fault.KindOf(err) != fault.Internal {
		t.Errorf("an error without a kind got one: %v", fault.KindOf(err))
	}
}
