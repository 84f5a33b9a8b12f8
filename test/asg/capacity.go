package asg

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// cooling refuses while the group's cooldown runs.
func (s *Service) cooling(g *group) error {
	if s.now().Before(g.cooldown) {
		id := ""
		if len(g.activities) > 0 {
			id = g.activities[0].id
		}
		return &refusal{"ScalingActivityInProgress", fmt.Sprintf("Scaling activity %s is in progress and blocks this action", id), 400}
	}
	return nil
}

// cool starts a cooldown of so many seconds.
func (s *Service) cool(g *group, seconds int) {
	g.cooldown = s.now().Add(time.Duration(seconds) * time.Second)
}

// warmup is how long a new member does not count in the group's metrics: the
// default instance warm-up; 0 without one.
func (g *group) warmup() time.Duration {
	return time.Duration(max(0, g.number("DefaultInstanceWarmup"))) * time.Second
}

// subnets are those of VPCZoneIdentifier.
func (g *group) subnets() []string { return splitSubnets(g.str("VPCZoneIdentifier")) }

func splitSubnets(text string) []string {
	var out []string
	for s := range strings.SplitSeq(text, ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// zoneOf is the zone of a subnet; "" when there is no such subnet. Without a
// map of subnets they share the group's zones, or else the first three, by
// their last character.
func (s *Service) zoneOf(g *node, subnet string) string {
	if s.subnets != nil {
		return s.subnets[subnet]
	}
	zones := g.texts("AvailabilityZones")
	if len(zones) == 0 {
		zones = []string{"us-east-1a", "us-east-1b", "us-east-1c"}
	}
	return zones[int(subnet[len(subnet)-1])%len(zones)]
}

// locate checks zones and subnets, and fills in the zones of subnets, as AWS
// shows them. asked are the zones of the call itself.
func (s *Service) locate(g *node, asked []string) error {
	for _, z := range g.texts("AvailabilityZones") {
		if len(s.zones) > 0 && !slices.Contains(s.zones, z) {
			return invalid(fmt.Sprintf("Invalid availability zones: [%s]", z))
		}
	}
	zones := list()
	for _, subnet := range splitSubnets(g.str("VPCZoneIdentifier")) {
		zone := s.zoneOf(g, subnet)
		if zone == "" {
			return invalid(fmt.Sprintf("The subnet ID '%s' does not exist", subnet))
		}
		if len(asked) > 0 && s.subnets != nil && !slices.Contains(asked, zone) {
			return invalid("The availability zones of the specified subnets and the Auto Scaling group do not match")
		}
		if !slices.ContainsFunc(zones.items, func(n *node) bool { return n.text == zone }) {
			zones.items = append(zones.items, text(zone))
		}
	}
	if len(zones.items) > 0 && (s.subnets != nil || len(g.texts("AvailabilityZones")) == 0) {
		g.set("AvailabilityZones", zones)
	}
	return nil
}

// zonesByID names the zones of ids: here us-east-1a is use1-az1, and so on.
func zonesByID(ids []string) *node {
	zones := list()
	for _, id := range ids {
		zones.items = append(zones.items, text("us-east-1"+string('a'+id[len(id)-1]-'1')))
	}
	return zones
}
