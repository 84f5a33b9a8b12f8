package asg

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/aws/smithy-go"
)

// choice is one way to launch an instance.
type choice struct {
	at       place
	kind     string // "" when only the template knows
	said     bool   // kind was asked for; the template's is left to it
	spot     bool
	weight   int
	weighted bool
	priority int // of the override: its place in the list
	ref      TemplateRef
	template Template // behind ref, as far as the service knows
	unknown  error    // why it does not
}

// take gives m what a choice says.
func (m *member) take(c choice) {
	m.at, m.kind, m.spot, m.weight, m.weighted = c.at, c.kind, c.spot, c.weight, c.weighted
}

func itoa(n int) string { return strconv.Itoa(n) }

func refOf(spec *node) TemplateRef {
	return TemplateRef{ID: spec.str("LaunchTemplateId"), Name: spec.str("LaunchTemplateName"), Version: spec.str("Version")}
}

// source is what a group launches from: its own fields, or the configuration
// that an instance refresh brings in.
func (g *group) source() *node {
	if r := g.refreshing(); r != nil && r.config() != nil {
		return r.config()
	}
	return g.node
}

// overrides are the types that a group may launch, as choices without a place.
func (s *Service) overrides(from *node) []choice {
	mixed := from.get("MixedInstancesPolicy")
	if name := from.str("LaunchConfigurationName"); name != "" {
		return []choice{{weight: 1, kind: s.configs[name].str("InstanceType"), said: true}}
	}
	if mixed == nil {
		return []choice{s.from(refOf(from.get("LaunchTemplate")), choice{weight: 1})}
	}
	spec := mixed.get("LaunchTemplate")
	all := []choice{}
	for i, o := range spec.all("Overrides") {
		c := choice{kind: o.str("InstanceType"), said: o.has("InstanceType"), weight: max(1, o.number("WeightedCapacity")), weighted: o.has("WeightedCapacity"), priority: i}
		ref := refOf(spec.get("LaunchTemplateSpecification"))
		if own := o.get("LaunchTemplateSpecification"); own != nil {
			ref = refOf(own)
		}
		all = append(all, s.from(ref, c))
	}
	if len(all) == 0 {
		all = append(all, s.from(refOf(spec.get("LaunchTemplateSpecification")), choice{weight: 1}))
	}
	return all
}

func (s *Service) from(ref TemplateRef, c choice) choice {
	c.ref = ref
	if c.template, c.unknown = s.templates.known(ref); c.kind == "" && c.unknown == nil {
		c.kind = c.template.Type
	}
	return c
}

// distribution answers a field of the instances distribution, or its default.
func (g *group) distribution(field, normal string) string {
	d := g.source().get("MixedInstancesPolicy").get("InstancesDistribution")
	if d.has(field) {
		return d.str(field)
	}
	return normal
}

// onDemand is how much of a capacity is bought on demand: the base, and the
// share of the rest, rounded up.
func (g *group) onDemand(capacity int) int {
	if g.source().get("MixedInstancesPolicy") == nil {
		return capacity
	}
	base, _ := strconv.Atoi(g.distribution("OnDemandBaseCapacity", "0"))
	percent, err := strconv.Atoi(g.distribution("OnDemandPercentageAboveBaseCapacity", "100"))
	if err != nil {
		percent = 100
	}
	base = min(base, capacity)
	return base + ((capacity-base)*percent+99)/100
}

// choices are all ways to launch the next instance, the best first: by
// purchase option, then place, then the allocation strategy's order of types.
func (s *Service) choices(g *group) []choice {
	spot := g.weigh(func(m *member) bool { return m.counts() && !m.spot }) >= g.onDemand(g.want())
	spot = spot && g.source().get("MixedInstancesPolicy") != nil
	var all []choice
	for _, p := range s.inOrder(g) {
		kinds := s.overrides(g.source())
		for i := range kinds {
			kinds[i].at, kinds[i].spot = p, spot
		}
		s.allocate(g, kinds, spot)
		all = append(all, kinds...)
	}
	return all
}

// allocate sorts the types of one place by the group's strategy.
func (s *Service) allocate(g *group, kinds []choice, spot bool) {
	strategy := g.distribution("OnDemandAllocationStrategy", "prioritized")
	if spot {
		strategy = g.distribution("SpotAllocationStrategy", "lowest-price")
	}
	price := func(c choice) float64 { return s.offer(c.pool()).Price / float64(c.weight) }
	free := func(c choice) int { return -s.free(c.pool()) }
	switch strategy {
	case "lowest-price":
		slices.SortStableFunc(kinds, func(a, b choice) int { return cmp.Compare(price(a), price(b)) })
		if pools, err := strconv.Atoi(g.distribution("SpotInstancePools", "2")); spot && err == nil && pools > 1 {
			cheap := kinds[:min(pools, len(kinds))] // take turns among the cheapest
			slices.SortStableFunc(cheap, func(a, b choice) int { return cmp.Compare(g.held(a), g.held(b)) })
		}
	case "capacity-optimized":
		slices.SortStableFunc(kinds, func(a, b choice) int { return cmp.Compare(free(a), free(b)) })
	case "price-capacity-optimized":
		byPrice, byRoom := ranks(kinds, price), ranks(kinds, func(c choice) float64 { return float64(free(c)) })
		slices.SortStableFunc(kinds, func(a, b choice) int {
			return cmp.Or(cmp.Compare(byPrice[a.priority]+byRoom[a.priority], byPrice[b.priority]+byRoom[b.priority]), cmp.Compare(g.held(a), g.held(b)))
		})
	}
}

// ranks numbers choices by a score, by priority; equals share a rank.
func ranks(all []choice, score func(choice) float64) map[int]int {
	out := map[int]int{}
	for _, c := range all {
		for _, o := range all {
			if score(o) < score(c) {
				out[c.priority]++
			}
		}
	}
	return out
}

// held counts the members of c's pool.
func (g *group) held(c choice) int {
	return g.weigh(func(m *member) bool {
		return m.counts() && m.at.zone == c.at.zone && m.kind == c.kind && m.spot == c.spot
	})
}

// onOffer keeps the choices whose pools have something at a price that is
// paid. With none the error is EC2's.
func (s *Service) onOffer(g *group, all []choice) ([]choice, error) {
	var kept []choice
	var err error
	most, bounded := strconv.ParseFloat(g.distribution("SpotMaxPrice", ""), 64)
	for _, c := range all {
		switch p := c.pool(); {
		case s.free(p) <= 0:
			err = cmp.Or(err, error(&smithy.GenericAPIError{Code: "InsufficientInstanceCapacity", Message: fmt.Sprintf("there is no capacity for %s in %s", c.kind, c.at.zone)}))
		case c.spot && bounded == nil && s.offer(p).Price > most:
			err = cmp.Or(err, error(&smithy.GenericAPIError{Code: "SpotMaxPriceTooLow", Message: fmt.Sprintf("the price of %s in %s is %v", c.kind, c.at.zone, s.offer(p).Price)}))
		default:
			kept = append(kept, c)
		}
	}
	return kept, err
}
