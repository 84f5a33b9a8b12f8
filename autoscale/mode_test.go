package autoscale

import (
	"slices"
	"strings"
	"testing"

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const backstopFile = `version: 2
region: us-east-1
owner: shop
groups:
  web:
    capacity: {mode: backstop, min: 2, max: 12, desired: initial:4, on_demand_base: 2}
    launch: {image: ami-1, type: t3.small}
    mixed: {types: [t3.small, t3a.small], on_demand_strategy: lowest-price}
    network: {zones: [us-east-1a, us-east-1b]}
    tags: {Team: shop}
    policies: {cpu: {track: {target: 50, predefined: ASGAverageCPUUtilization}}}
    schedules: {day: {cron: '0 8 * * *', min: 6}}
`

func TestABackstopIsTwoGroupsOfOneShape(t *testing.T) {
	t.Parallel()
	s := Expand(mustParse(t, backstopFile))
	if got := s.Names(); !slices.Equal(got, []string{"web", "web-backstop"}) {
		t.Fatalf("groups %v", got)
	}
	spot, demand := s.Groups["web"], s.Groups["web-backstop"]
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"spot sizes", []int{*spot.Capacity.Min, *spot.Capacity.Max, spot.Capacity.Desired.N}, []int{0, 10, 2}},
		{"backstop sizes", []int{*demand.Capacity.Min, *demand.Capacity.Max, demand.Capacity.Desired.N}, []int{2, 12, 2}},
		{"spot purchase", []int{*spot.Mixed.OnDemandBase, *spot.Mixed.OnDemandPercentage}, []int{0, 0}},
		{"backstop purchase", []int{*demand.Mixed.OnDemandBase, *demand.Mixed.OnDemandPercentage}, []int{0, 100}},
		{"spot strategy", []string{*spot.Mixed.SpotStrategy, *demand.Mixed.OnDemandStrategy}, []string{"price-capacity-optimized", "lowest-price"}},
		{"types", spot.Mixed.Types, demand.Mixed.Types},
		{"network", spot.Network, demand.Network},
		{"launch", spot.Launch, demand.Launch},
		{"parts", []string{*spot.PartOf, *demand.PartOf}, []string{"web", "web"}},
		{"rebalance", *spot.Capacity.Rebalance, true},
		{"scheduled min", *spot.Schedules["day"].Min, 4},
		{"backstop schedules", len(demand.Schedules), 0},
		{"demand policies", len(spot.Policies), 1},
	} {
		if d := cmp.Diff(c.want, c.got); d != "" {
			t.Errorf("%s: %s", c.what, d)
		}
	}
	if d := cmp.Diff(s, Expand(s)); d != "" {
		t.Errorf("a second expansion changes something:\n%s", d)
	}
	up := demand.Alarms["shortfall"]
	if got := AlarmName("web-backstop", up); got != "web-backstop|up|shortfall" {
		t.Errorf("the alarm is called %s", got)
	}
	b, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s.Groups, mustParse(t, string(b)).Groups); d != "" {
		t.Errorf("written out and read again it is something else:\n%s\n%s", d, b)
	}
}

func TestABackstopIsAppliedOnceAndBelongsToItsFile(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(backstopFile)
	s := mustParse(t, backstopFile)
	o := c.observe(s)
	for _, name := range []string{"web", "web-backstop"} {
		if l := o.Groups[name]; val(l.PartOf) != "web" || l.Owner != "shop" {
			t.Errorf("%s is part of %q, owner %q", name, val(l.PartOf), l.Owner)
		}
	}
	p, foreign, err := Prune(t.Context(), c.w, s, PruneOptions{MaxShare: 1})
	if err != nil || !p.Empty() || len(foreign) != 0 {
		t.Errorf("prune would take %s, lists %v, %v", summary(p), foreign, err)
	}
}

func TestABackstopStandsBeforeItsGroupMovesToSpot(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(strings.Replace(backstopFile, "mode: backstop, min: 2, max: 12, desired: initial:4, on_demand_base: 2", "min: 2, max: 12, desired: initial:4", 1))
	s := mustParse(t, backstopFile)
	p, o := c.plan(s)
	at := func(group string) int {
		return slices.IndexFunc(p.Changes, func(c Change) bool { return c.Group == group })
	}
	if at("web-backstop") > at("web") {
		t.Errorf("the order is %s", summary(p))
	}
	c.aws.Fail("PutScalingPolicy", "AccessDenied")
	outcomes, err := p.Apply(t.Context(), c.w, o, silent{})
	if err == nil || slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Change.Group == "web" && !o.Skipped }) {
		t.Errorf("the group moves to spot although its backstop does not stand: %v", err)
	}
	c.apply(backstopFile)
}

func TestAHalfThatIsLeftIsSaid(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(backstopFile)
	plain := mustParse(t, strings.Replace(backstopFile, "mode: backstop", "mode: mixed", 1))
	p, _ := c.plan(plain)
	if !strings.Contains(warnings(p.Warnings), "web: capacity.mode: web-backstop is left from mode backstop") {
		t.Errorf("warnings: %s", warnings(p.Warnings))
	}
	gone, _, err := Prune(t.Context(), c.w, plain, PruneOptions{MaxShare: 1})
	if err != nil || len(gone.Changes) != 3 || gone.Changes[0].Group != "web-backstop" || gone.Changes[2].Kind != DeleteGroup {
		t.Fatalf("prune takes %s, %v", summary(gone), err)
	}
	if _, err := gone.Apply(t.Context(), c.w, Observed{}, silent{}); err != nil {
		t.Fatal(err)
	}
	if p, _ := c.plan(plain); strings.Contains(warnings(p.Warnings), "is left") {
		t.Errorf("still there: %s", warnings(p.Warnings))
	}
}

func TestStatusOfAWrittenGroupIsThatOfBothHalves(t *testing.T) {
	t.Parallel()
	spot, demand := live("web", 2, "InService Healthy 2"), live("web-backstop", 1, "InService Healthy 2")
	for _, g := range []*astypes.AutoScalingGroup{&spot, &demand} {
		g.Tags = []astypes.TagDescription{{Key: ptr(PartTag), Value: ptr("web")}}
	}
	b := &board{groups: []astypes.AutoScalingGroup{spot, demand, live("other", 1)}}
	all := b.read(t, "web")
	if len(all) != 2 || all["web-backstop"].PartOf != "web" || b.calls["groups"] != 2 {
		t.Errorf("%d groups in %d reads: %+v", len(all), b.calls["groups"], all)
	}
	b.groups = b.groups[:1]
	if all := b.read(t, "web"); all["web-backstop"].Well() {
		t.Error("a half that is gone is no trouble")
	}
}

// act is what a step policy does about value, as Auto Scaling documents it:
// bounds are relative to the threshold; above it the lower one belongs to the
// step, below it the upper one. ok is false when no step fits.
func act(p Policy, a Alarm, value float64) (capacity int, ok bool) {
	diff := value - *a.Threshold
	for _, s := range p.Steps {
		low, high := s.From == nil || diff >= *s.From, s.To == nil || diff < *s.To
		if strings.HasPrefix(*a.Comparison, "<") {
			low, high = s.From == nil || diff > *s.From, s.To == nil || diff <= *s.To
		}
		if low && high {
			return *s.Adjustment, true
		}
	}
	return 0, false
}

func TestABackstopCoversEveryShortfallAndThenRests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := follower{spot: "web", base: rapid.IntRange(0, 50).Draw(t, "base"), reach: rapid.IntRange(1, 3000).Draw(t, "reach"), b: Backstop{}.settled()}
		up, down := f.up(), f.down()
		if len(up.Steps) > maxSteps || len(down.Steps) > maxSteps {
			t.Fatalf("%d and %d steps, AWS takes %d", len(up.Steps), len(down.Steps), maxSteps)
		}
		short := rapid.IntRange(0, f.reach).Draw(t, "short")
		standing := rapid.IntRange(f.base, f.base+f.reach).Draw(t, "standing")
		excess := func() bool { return float64(short)*f.widest()+float64(f.base) < float64(standing) }
		if f.base+short > standing {
			got, ok := act(up, f.shortfall(), float64(short))
			if !ok || got < f.base+short || got > f.base+f.reach {
				t.Fatalf("a shortfall of %d above base %d sets %d (%t)", short, f.base, got, ok)
			}
			if standing = got; excess() {
				t.Fatalf("what up has set for a shortfall of %d above base %d, %d, counts as too much", short, f.base, got)
			}
			return
		}
		if !excess() {
			return
		}
		got, ok := act(down, f.excess(), float64(short))
		if !ok || got < f.base+short || got >= standing {
			t.Fatalf("with %d standing and %d short above base %d, shrinking sets %d (%t)", standing, short, f.base, got, ok)
		}
	})
}

func TestHeadroomGoesWhereTheSizeComesFrom(t *testing.T) {
	t.Parallel()
	head := "version: 2\nregion: us-east-1\ngroups: {web: {capacity: {min: 4, max: 10, desired: initial:8, headroom: 25}, "
	fixed := Expand(mustParse(t, head+"schedules: {day: {cron: '0 8 * * *', min: 6, max: 9}}}}")).Groups["web"]
	if got := []int{*fixed.Capacity.Min, *fixed.Capacity.Max, fixed.Capacity.Desired.N, *fixed.Schedules["day"].Min, *fixed.Schedules["day"].Max}; !slices.Equal(got, []int{5, 10, 10, 8, 9}) {
		t.Errorf("sizes of a group without tracking policies: %v", got)
	}
	tracked := Expand(mustParse(t, head+"policies: {cpu: {track: {target: 50, predefined: ASGAverageCPUUtilization}}, up: {type: ExactCapacity, adjustment: 5}}}}")).Groups["web"]
	predicted := Expand(mustParse(t, head+"policies: {day: {predict: {target: 50, pair: ASGCPUUtilization}}}}}")).Groups["web"]
	if *predicted.Policies["day"].Predict.Target != 40 || *predicted.Capacity.Min != 4 {
		t.Errorf("a predicting group: target %v", *predicted.Policies["day"].Predict.Target)
	}
	if *tracked.Policies["cpu"].Track.Target != 40 || *tracked.Capacity.Min != 4 || tracked.Capacity.Desired.N != 8 {
		t.Errorf("a tracking group: target %v, min %d", *tracked.Policies["cpu"].Track.Target, *tracked.Capacity.Min)
	}
}

func TestAWarmPoolIsTheOnDemandHalfs(t *testing.T) {
	t.Parallel()
	s := expanded(t, web("capacity: {mode: backstop, min: 1, max: 4}, launch: {image: ami-1, type: t3.small}, warm_pool: {min: 1}"))
	if !val(s.Groups["web"].WarmPool.None) || *s.Groups["web-backstop"].WarmPool.Min != 1 {
		t.Errorf("warm pools %+v and %+v", s.Groups["web"].WarmPool, s.Groups["web-backstop"].WarmPool)
	}
}

func TestModesThatAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"capacity: {mode: spot}":                                                           "expected one of on_demand, mixed, backstop",
		"capacity: {mode: backstop}":                                                       "max (mode backstop) is needed",
		"capacity: {mode: backstop, min: 0, max: 2, on_demand_base: 2}":                    "needs a max over on_demand_base",
		"capacity: {on_demand_base: 1}":                                                    "it belongs to mode mixed or backstop",
		"capacity: {mode: mixed, max: 2, on_demand_base: 3}":                               "expected 0 to max, got 3",
		"capacity: {mode: mixed, backstop: {}}":                                            "it belongs to mode backstop",
		"capacity: {mode: mixed}, mixed: none":                                             "mixed: none takes it away",
		"capacity: {mode: mixed}, warm_pool: {min: 1}":                                     "a warm pool cannot hold spot instances",
		"capacity: {headroom: -1}":                                                         "expected 0 to 300 percent",
		"capacity: {mode: mixed}, mixed: {on_demand_base: 1}":                              "the base is capacity.on_demand_base",
		"capacity: {mode: on_demand}, mixed: {on_demand_percentage: 5}":                    "decides mixed.on_demand_percentage",
		"capacity: {mode: mixed}, launch: {spot: {max_price: '1'}}":                        "mixed.spot_max_price is the limit",
		"capacity: {mode: backstop, min: 0, max: 2, backstop: {period: 90}}":               "autoscale.yaml:3:70: groups.web.capacity.backstop.period: expected a multiple of 60",
		"capacity: {mode: backstop, min: 0, max: 2, backstop: {share: 0}}":                 "expected 1 to 100 percent",
		"capacity: {mode: backstop, min: 0, max: 2, backstop: {down_after: 99999}}":        "a day in all at most",
		"capacity: {mode: backstop, min: 0, max: 2}}, web-backstop: {metrics: []":          "it is the name of the on-demand half of web",
		"policies: {p: {track: {target: 1, queries: [{id: M, namespace: n, metric: m}]}}}": `id "M": expected a lower-case letter`,
		"policies: {p: {type: ExactCapacity, adjustment: 1}}, alarms: {a: {queries: [{id: m, namespace: n, metric: m}], period: 60, comparison: '>', threshold: 1, policy: p}}": "stand in each query",
	} {
		_, err := Parse("autoscale.yaml", []byte("version: 2\nregion: us-east-1\ngroups: {web: {"+text+"}}\n"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}
