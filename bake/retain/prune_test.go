package retain

import (
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

// all removes every image of role web but the newest, if nobody uses it.
func all() Policy { return Policy{Roles: []string{"web"}, Keep: 1} }

func TestEveryKindOfUserKeepsItsImage(t *testing.T) {
	t.Parallel()
	group := func(body string) string {
		return "<member><AutoScalingGroupName>asg</AutoScalingGroupName>" + body + "</member>"
	}
	template := func(id, version string) string {
		return "<LaunchTemplateId>" + id + "</LaunchTemplateId><Version>" + version + "</Version>"
	}
	for name, c := range map[string]struct {
		use  func(f *fakeAWS)
		want string
	}{
		"instance":  {func(f *fakeAWS) { f.instances["i-1"] = "ami-3" }, "instance i-1"},
		"template":  {func(f *fakeAWS) { f.versions["lt-1 7"] = "ami-3" }, "launch template lt-1 version 7"},
		"parameter": {func(f *fakeAWS) { f.parameters["/ami/web"] = "ami-3" }, "SSM parameter /ami/web (version 3)"},
		"recipe":    {func(f *fakeAWS) { f.told["ami-3"] = "arn:recipe" }, "imagebuilder:ImageRecipe arn:recipe"},
		"share":     {func(f *fakeAWS) { f.shared["ami-3"] = "111122223333" }, "share with 111122223333"},
		"template by parameter": {func(f *fakeAWS) { f.versions["lt-1 7"], f.parameters["/resolved"] = "resolve:ssm:/resolved", "ami-3" },
			"SSM parameter /resolved"},
		"group at an old version": {func(f *fakeAWS) {
			f.versions["lt-1 1"], f.versions["lt-1 2"] = "ami-3", "ami-1"
			f.groups = []string{group("<LaunchTemplate>" + template("lt-1", "1") + "</LaunchTemplate>")}
		}, "Auto Scaling group asg by launch template lt-1 version 1"},
		"override of a mixed group": {func(f *fakeAWS) {
			f.versions["lt-2 1"] = "ami-3"
			f.groups = []string{group("<MixedInstancesPolicy><LaunchTemplate><Overrides><member><LaunchTemplateSpecification>" + template("lt-2", "1") +
				"</LaunchTemplateSpecification></member></Overrides></LaunchTemplate></MixedInstancesPolicy>")}
		}, "Auto Scaling group asg"},
		"image of an override": {func(f *fakeAWS) {
			f.groups = []string{group("<MixedInstancesPolicy><LaunchTemplate><Overrides><member><ImageId>ami-3</ImageId></member></Overrides></LaunchTemplate></MixedInstancesPolicy>")}
		}, "Auto Scaling group asg"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, p := newFake(t)
			c.use(f)
			plan, err := p.Plan(t.Context(), []string{"r"}, all())
			if err != nil {
				t.Fatal(err)
			}
			v := plan.Verdicts[2]
			if v.ID != "ami-3" || v.Remove || !strings.Contains(v.Reason, c.want) || plan.Count() != 3 {
				t.Errorf("%s: remove %v (%s), %d go in all; want it kept for %q, and 3", v.ID, v.Remove, v.Reason, plan.Count(), c.want)
			}
		})
	}
}

func TestALaunchConfigurationIsAUseToo(t *testing.T) {
	t.Parallel()
	f, p := newFake(t)
	f.groups = []string{"<member><AutoScalingGroupName>asg</AutoScalingGroupName><LaunchConfigurationName>old</LaunchConfigurationName></member>"}
	plan, err := p.Plan(t.Context(), []string{"r"}, all())
	if err != nil || plan.Verdicts[4].Remove {
		t.Errorf("%v: %s", err, plan.Text())
	}
}

func TestAGroupWhoseTemplateIsGoneHindersNothing(t *testing.T) {
	t.Parallel()
	f, p := newFake(t)
	f.groups = []string{"<member><AutoScalingGroupName>asg</AutoScalingGroupName><LaunchTemplate><LaunchTemplateId>lt-9</LaunchTemplateId><Version>4</Version></LaunchTemplate></member>"}
	if plan, err := p.Plan(t.Context(), []string{"r"}, all()); err != nil || plan.Count() != 4 {
		t.Errorf("%v: %s", err, plan.Text())
	}
}

func TestOneWhoCannotBeAskedRefusesItAll(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"DescribeImages", "DescribeInstances", "DescribeLaunchTemplateVersions", "DescribeAutoScalingGroups",
		"DescribeParameters", "DescribeImageReferences", "DescribeImageAttribute"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			f, p := newFake(t)
			f.refuse[action] = "UnauthorizedOperation"
			_, err := p.Plan(t.Context(), []string{"r"}, all())
			if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), action) {
				t.Errorf("planning: %v (%s)", err, fault.NextOf(err))
			}
			// The same when it stops answering between plan and removal.
			f, p = newFake(t)
			plan, err := p.Plan(t.Context(), []string{"r"}, all())
			if err != nil {
				t.Fatal(err)
			}
			f.refuse[action] = "UnauthorizedOperation"
			if done, err := p.Apply(t.Context(), plan); err == nil || len(f.images) != 5 || f.called("DeregisterImage") > 0 {
				t.Errorf("applying: %v, %v, left %v", err, done, f.images)
			}
		})
	}
}

func TestPruningRemovesImagesWithTheirSnapshots(t *testing.T) {
	t.Parallel()
	f, p := newFake(t)
	plan, err := p.Plan(t.Context(), []string{"r"}, Policy{Roles: []string{"web"}, Keep: 1, OlderThan: 3 * day})
	if err != nil || plan.Count() != 3 || !strings.Contains(plan.Text(), "remove  ami-5") {
		t.Fatalf("%v\n%s", err, plan.Text())
	}
	if f.called("DeregisterImage") > 0 {
		t.Fatal("planning removed something")
	}
	done, err := p.Apply(t.Context(), plan)
	if err != nil || len(done) != 3 || done[0].Result != Gone || !slices.Equal(f.images, []string{"ami-1", "ami-2"}) || !slices.Equal(f.snapshots, []string{"snap-ami-1", "snap-ami-2"}) {
		t.Errorf("%v: %+v, left %v %v", err, done, f.images, f.snapshots)
	}
}

func TestAnImageThatIsUsedSinceThePlanStays(t *testing.T) {
	t.Parallel()
	f, p := newFake(t)
	plan, err := p.Plan(t.Context(), []string{"r"}, all())
	if err != nil {
		t.Fatal(err)
	}
	f.instances["i-new"] = "ami-4"
	done, err := p.Apply(t.Context(), plan)
	if err != nil || !slices.Equal(f.images, []string{"ami-1", "ami-4"}) {
		t.Fatalf("%v, left %v", err, f.images)
	}
	if i := slices.IndexFunc(done, func(r Removed) bool { return r.ImageID == "ami-4" }); done[i].Result != Skipped || !strings.Contains(done[i].Reason, "i-new") {
		t.Errorf("it says %+v", done[i])
	}
}

func TestWhatCannotBeRemovedIsListedAndHindersNothingElse(t *testing.T) {
	t.Parallel()
	f, p := newFake(t)
	plan, err := p.Plan(t.Context(), []string{"r"}, all())
	if err != nil {
		t.Fatal(err)
	}
	f.refuse["DeleteSnapshot"] = "UnauthorizedOperation"
	_, err = p.Apply(t.Context(), plan)
	if fault.KindOf(err) != fault.Leftover || !strings.Contains(err.Error(), "aws ec2 delete-snapshot --region r --snapshot-id snap-ami-5") || len(f.images) != 1 {
		t.Errorf("%v, left %v", err, f.images)
	}
	f, p = newFake(t)
	if plan, err = p.Plan(t.Context(), []string{"r"}, all()); err != nil {
		t.Fatal(err)
	}
	f.refuse["DeregisterImage"] = "OperationNotPermitted"
	done, err := p.Apply(t.Context(), plan)
	if fault.KindOf(err) != fault.AWS || f.called("DeregisterImage") != 4 || f.called("DeleteSnapshot") > 0 || done[0].Result != Failed {
		t.Errorf("%v: %+v", err, done)
	}
}
