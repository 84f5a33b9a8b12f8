package autoscale

import (
	"strings"
	"testing"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"github.com/google/go-cmp/cmp"
)

// written imports groups and returns the file, the Spec in it and the notes.
func (c *cloud) written(names ...string) (text string, s Spec, notes string) {
	c.t.Helper()
	got, all, err := ImportNotes(c.t.Context(), c.w, "us-east-1", names)
	if err != nil {
		c.t.Fatal(err)
	}
	b, err := Encode(got)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b), mustParse(c.t, string(b)), strings.Join(all, "\n")
}

func TestABackstopIsImportedUnderOneName(t *testing.T) {
	t.Parallel()
	group := func(from, to string) string {
		if !strings.Contains(backstopFile, from) {
			t.Fatalf("the file has no %q", from)
		}
		return strings.Replace(backstopFile, from, to, 1)
	}
	for what, file := range map[string]string{
		"as it is":              backstopFile,
		"a base of none":        group("min: 2, max: 12, desired: initial:4, on_demand_base: 2", "min: 0, max: 12"),
		"no mixed policy":       group("    mixed: {types: [t3.small, t3a.small], on_demand_strategy: lowest-price}\n", ""),
		"weights":               group("[t3.small, t3a.small]", "[t3.small=1, t3.large=2]"),
		"another way to follow": group("on_demand_base: 2}", "on_demand_base: 2, rebalance: false, backstop: {period: 120, up_after: 1, down_after: 5, share: 50, count_starting: false}}"),
		"a share of few":        group("on_demand_base: 2}", "on_demand_base: 2, backstop: {share: 33}}"),
		"many units":            group("max: 12", "max: 200"),
		"headroom":              group("on_demand_base: 2}", "on_demand_base: 2, headroom: 25}"),
		"a queue":               group("cpu: {track: {target: 50, predefined: ASGAverageCPUUtilization}}", "jobs: {queue: {name: jobs, latency: 60, seconds_per_message: 2}}"),
		"metrics":               group("    tags:", "    metrics: [GroupMinSize, GroupInServiceCapacity]\n    tags:"),
		"a template's name":     group("{image: ami-1,", "{template: shop, image: ami-1,"),
		"much else": group("    tags:", "    hooks: {drain: {on: terminating, timeout: 60}}\n    warm_pool: {min: 1}\n    suspended: [AZRebalance]\n"+
			"    notifications: {'arn:aws:sns:us-east-1:123456789012:ops': ['autoscaling:EC2_INSTANCE_LAUNCH']}\n    protection: {scale_in: true}\n    tags:"),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t)
			c.apply(file)
			for _, ask := range [][]string{{"web"}, {"web-backstop"}, {"web", "web-backstop"}} {
				text, s, notes := c.written(ask...)
				if d := cmp.Diff([]string{"web"}, s.Names()); d != "" || s.Groups["web"].mode() != BackstopMode {
					t.Fatalf("import %v writes\n%s\n%s", ask, text, notes)
				}
				if p, _ := c.plan(s); !p.Empty() {
					t.Errorf("import %v, then a plan: %s\nof\n%s", ask, summary(p), text)
				}
				if told := strings.Contains(notes, "web-backstop: it is the on-demand half of web; both are written as web, with mode backstop"); told != (len(ask) == 1 && ask[0] != "web") {
					t.Errorf("import %v says %q", ask, notes)
				}
			}
		})
	}
}

func TestAnImportedBackstopSaysWhatTheFileSaid(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const file = `{mode: backstop, min: 2, max: 12, on_demand_base: 2, backstop: {period: 120, up_after: 1, down_after: 5, share: 50, count_starting: false}}`
	c.apply(strings.Replace(backstopFile, "{mode: backstop, min: 2, max: 12, desired: initial:4, on_demand_base: 2}", file, 1))
	_, s, _ := c.written("web")
	g := s.Groups["web"]
	want := mustParse(t, strings.Replace(backstopFile, "{mode: backstop, min: 2, max: 12, desired: initial:4, on_demand_base: 2}", file, 1)).Groups["web"]
	if d := cmp.Diff(want.Capacity.Backstop, g.Capacity.Backstop); d != "" || g.Metrics != nil || g.PartOf != nil {
		t.Errorf("it follows otherwise, or has metrics %v, part_of %v:\n%s", g.Metrics, g.PartOf, d)
	}
}

func TestAHalfAloneIsImportedAsWhatItIs(t *testing.T) {
	t.Parallel()
	delete := func(c *cloud, group string) {
		c.t.Helper()
		if _, err := c.as.DeleteAutoScalingGroup(c.t.Context(), &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &group, ForceDelete: ptr(true)}); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, one := range []struct{ gone, left, want string }{
		{"web", "web-backstop", "web-backstop: it is the on-demand half of a group with mode backstop, and its spot half web does not exist in us-east-1: written as a group of its own, without the mode"},
		{"web-backstop", "web", "web: it is the spot half of a group with mode backstop, and its on-demand half web-backstop does not exist in us-east-1: written as a group of its own, without the mode"},
	} {
		c := newCloud(t)
		c.apply(backstopFile)
		delete(c, one.gone)
		c.minutes(3, nil)
		text, s, notes := c.written(one.left)
		if g := s.Groups[one.left]; notes != one.want || len(s.Groups) != 1 || g.mode() != "" || g.PartOf != nil {
			t.Errorf("it says %q and writes\n%s", notes, text)
		}
		if p, _ := c.plan(s); !p.Empty() {
			t.Errorf("a plan of the half alone: %s", summary(p))
		}
	}
}

func TestHalvesThatDoNotFitAreImportedAsTwo(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(backstopFile)
	if _, err := c.as.UpdateAutoScalingGroup(t.Context(), &as.UpdateAutoScalingGroupInput{AutoScalingGroupName: ptr("web-backstop"), DefaultCooldown: ptr(int32(77))}); err != nil {
		t.Fatal(err)
	}
	text, s, notes := c.written("web")
	if d := cmp.Diff([]string{"web", "web-backstop"}, s.Names()); d != "" || val(s.Groups["web"].PartOf) != "web" {
		t.Errorf("it writes\n%s", text)
	}
	if want := "web: it and web-backstop are written as two groups with part_of: as one group with mode backstop, a plan would change capacity.cooldown of web-backstop"; notes != want {
		t.Errorf("it says %q, want %q", notes, want)
	}
	if p, _ := c.plan(s); !p.Empty() {
		t.Errorf("a plan of the two: %s", summary(p))
	}
}

func TestAGroupThatOnlyHasTheNameOfAHalfIsNone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(strings.Replace(base, "  web:", "  web-backstop:", 1))
	c.apply(base)
	if _, s, notes := c.written("web-backstop"); len(s.Groups) != 1 || notes != "" {
		t.Errorf("groups %v, notes %q", s.Names(), notes)
	}
	if _, err := c.as.CreateOrUpdateTags(t.Context(), &as.CreateOrUpdateTagsInput{Tags: tagsOf("web", map[string]Tag{PartTag: {ptr("web"), ptr(false)}})}); err != nil {
		t.Fatal(err)
	}
	if _, s, notes := c.written("web"); len(s.Groups) != 1 || !strings.Contains(notes, "its on-demand half web-backstop does not carry the tag bakehouse:autoscale-group") {
		t.Errorf("groups %v, notes %q", s.Names(), notes)
	}
}
