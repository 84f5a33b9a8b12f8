package autoscale

import (
	"encoding/base64"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	zoneName = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d+(-[a-z]+-\d+)?[a-z]$`)
	// templateName: docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateLaunchTemplate.html
	templateName = regexp.MustCompile(`^[a-zA-Z0-9().\-/_]{3,128}$`)
	topicName    = regexp.MustCompile(`^arn:[^:]+:(sns|sqs):[^:]*:[^:]*:.+$`)
)

// checker gathers the first thing that is wrong in a file.
type checker struct {
	d   *decoder
	err error
}

func (c *checker) say(path, format string, args ...any) {
	if c.err == nil {
		c.err = c.d.wrong(path, format, args...)
	}
}

func (c *checker) oneOf(path string, p *string, allowed ...string) {
	if p != nil && !slices.Contains(allowed, *p) {
		c.say(path, "expected one of %s, got %q", strings.Join(allowed, ", "), *p)
	}
}

func (c *checker) needs(path string, set map[string]bool) {
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if !set[key] {
			c.say(path, "%s is needed", key)
		}
	}
}

// checkSpec refuses what AWS would refuse later, with a line to go to.
func checkSpec(d *decoder, s Spec) error {
	c := &checker{d: d}
	if len(s.Groups) == 0 {
		c.say("groups", "there are no groups")
	}
	for _, name := range s.Names() {
		at := "groups." + name
		if strings.ContainsAny(name, "|:") || len(name) > 200 || name == "" {
			c.say(at, "a group's name has 1 to 200 characters and neither | nor :")
		}
		c.group(at, name, s.Groups[name], s.Region)
		if half := name + BackstopSuffix; s.Groups[name].mode() == BackstopMode {
			if _, taken := s.Groups[half]; taken {
				c.say("groups."+half, "it is the name of the on-demand half of %s; choose another", name)
			}
		}
		root, _ := counterpart(reflect.TypeFor[Group]())
		c.words(at, reflect.ValueOf(s.Groups[name]), root)
	}
	return c.err
}

func (c *checker) group(at, name string, g Group, region string) {
	c.capacity(at, val(g.Capacity))
	c.mode(at, g)
	c.launch(at, g)
	if g.Network != nil {
		for i, z := range g.Network.Zones {
			if !zoneName.MatchString(z) || !strings.HasPrefix(z, region) {
				c.say(at+".network.zones."+strconv.Itoa(i), "%q is no zone of region %s", z, region)
			}
		}
	}
	if g.Network != nil && g.Network.Zones != nil && g.Network.ZoneIDs != nil {
		c.say(at+".network.zone_ids", "zones and zone_ids exclude each other")
	}
	if g.Balancing != nil {
		c.balancing(at+".load_balancing", *g.Balancing)
	}
	if r := g.Refresh; r != nil {
		if path, err := (RefreshOptions{}).Under(r).wrong(); err != nil {
			c.say(at+".refresh."+path, "%v", err)
		}
	}
	if p := g.WarmPool; p != nil && val(p.None) && *p != (WarmPool{None: p.None}) {
		c.say(at+".warm_pool.none", "there is either a warm pool or none")
	}
	for _, key := range slices.Sorted(maps.Keys(g.Policies)) {
		c.policy(at+".policies."+key, g.Policies[key])
	}
	c.alarms(at, name, g)
	c.sugars(at, g, region)
	for _, key := range slices.Sorted(maps.Keys(g.Schedules)) {
		c.schedule(at+".schedules."+key, g.Schedules[key])
	}
	for _, key := range slices.Sorted(maps.Keys(g.Hooks)) {
		p, h := at+".hooks."+key, g.Hooks[key]
		c.needs(p, map[string]bool{"on": h.On != nil})
		if t := h.Timeout; t != nil && (*t < 30 || *t > 7200) {
			c.say(p+".timeout", "expected 30 to 7200, got %d", *t)
		}
	}
	c.tags(at+".tags", g.Tags)
	for topic := range g.Notifications {
		if !topicName.MatchString(topic) {
			c.say(at+".notifications", "%q is no topic's ARN", topic)
		}
	}
}

func (c *checker) capacity(at string, v Capacity) {
	at += ".capacity"
	if v.Min != nil && *v.Min < 0 {
		c.say(at+".min", "min is negative")
	}
	if v.Min != nil && v.Max != nil && *v.Min > *v.Max {
		c.say(at+".min", "min %d is over max %d", *v.Min, *v.Max)
	}
	if v.Desired != nil && (v.Min != nil && v.Desired.N < *v.Min || v.Max != nil && v.Desired.N > *v.Max) {
		c.say(at+".desired", "desired %d is outside min %d and max %d", v.Desired.N, val(v.Min), val(v.Max))
	}
	if l := v.MaxLifetime; l != nil && *l != 0 && *l < 86400 {
		c.say(at+".max_lifetime", "expected 0, or at least 86400 (a day), got %d", *l)
	}
	if (v.MinHealthy == nil) != (v.MaxHealthy == nil) {
		c.say(at, "min_healthy and max_healthy go together")
	}
	if low, high := v.MinHealthy, v.MaxHealthy; low != nil && high != nil && (*low != -1 || *high != -1) && (*low < 0 || *low > 100 || *high < 100 || *high > 200 || *high-*low > 100) {
		c.say(at+".min_healthy", "expected 0 to 100, and 100 to 200 for max_healthy, which is at most 100 more; or -1 for both; got %d and %d", *low, *high)
	}
}

// tags refuses what AWS keeps for itself or has no room for.
func (c *checker) tags(at string, tags map[string]Tag) {
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		switch n := utf8.RuneCountInString(val(tags[key].Value)); {
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			c.say(at+"."+key, "keys that begin with aws: are AWS's own")
		case key == "" || utf8.RuneCountInString(key) > 128 || n > 256:
			c.say(at+"."+key, "a tag has a key of 1 to 128 characters and a value of at most 256")
		}
	}
}

func (c *checker) launch(at string, g Group) {
	if g.Launch != nil {
		c.requirements(at+".launch.requirements", g.Launch.Requirements)
		if g.Launch.Type != nil && g.Launch.Requirements != nil {
			c.say(at+".launch.requirements", "type and requirements exclude each other")
		}
		if t := g.Launch.Template; t != nil && !templateName.MatchString(*t) {
			c.say(at+".launch.template", "expected 3 to 128 letters, digits and ( ) . - / _, got %q", *t)
		}
		c.image(at+".launch.image", g.Launch.Image)
		c.userData(at+".launch.user_data", val(g.Launch.UserData))
	}
	if g.Mixed == nil {
		return
	}
	for i, t := range g.Mixed.Types {
		p := at + ".mixed.types." + strconv.Itoa(i)
		if first := g.Mixed.Types[0].Weight; (first == nil) != (t.Weight == nil) {
			c.say(p, "weights are given for every type or for none")
		}
		c.image(p+".image", t.Image)
		c.requirements(p+".requirements", t.Requirements)
		if t.Requirements != nil && t.Requirements.EncryptedTransit != nil {
			c.say(p+".requirements.encryption_in_transit", "AWS takes it in launch.requirements alone")
		}
		if (t.Type == nil) == (t.Requirements == nil) {
			c.say(p, "give a type or requirements, not both")
		}
	}
	if p := g.Mixed.OnDemandPercentage; p != nil && (*p < 0 || *p > 100) {
		c.say(at+".mixed.on_demand_percentage", "expected 0 to 100, got %d", *p)
	}
}

// mostUserData is the most that EC2 takes, before it is encoded
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html).
const mostUserData = 16 << 10

func (c *checker) userData(at, text string) {
	b, err := base64.StdEncoding.DecodeString(encoded(text))
	switch {
	case err != nil:
		c.say(at, "what follows %s cannot be decoded: %v", asBase64, err)
	case len(b) > mostUserData:
		c.say(at, "user data has %d bytes, and EC2 takes %d", len(b), mostUserData)
	}
}

// requirements refuses what AWS's own types demand.
func (c *checker) requirements(at string, r *Requirements) {
	if r != nil && (r.CPUs == nil || r.CPUs.Min == nil || r.Memory == nil || r.Memory.Min == nil) {
		c.say(at, "vcpus.min and memory_mib.min are needed; 0 asks for nothing")
	}
}

func (c *checker) balancing(at string, b Balancing) {
	for _, kind := range strings.Split(val(b.HealthCheck), ",") {
		if b.HealthCheck != nil && !slices.Contains([]string{"EC2", "ELB", "EBS", "VPC_LATTICE"}, strings.TrimSpace(kind)) {
			c.say(at+".health_check", "expected EC2, or some of ELB, EBS, VPC_LATTICE with commas between, got %q", *b.HealthCheck)
		}
	}
	for i, arn := range b.TrafficSources {
		if !strings.HasPrefix(arn, "arn:") || !strings.Contains(arn, ":vpc-lattice:") {
			c.say(at+".traffic_sources."+strconv.Itoa(i), "expected the ARN of a target group of VPC Lattice, got %q; others belong in target_groups or classic", arn)
		}
	}
}

func (c *checker) image(at string, ref *string) {
	for _, way := range []string{"ami-", byParameter, byRole, atLaunch} {
		if ref == nil || strings.HasPrefix(*ref, way) && *ref != way {
			return
		}
	}
	c.say(at, "expected ami-ID, ssm:/NAME or role:NAME, got %q", *ref)
}

func (c *checker) schedule(at string, s Schedule) {
	c.needs(at, map[string]bool{"cron, start or hours": s.Cron != nil || s.Start != nil || s.Hours != nil, "min, max or desired": s.Min != nil || s.Max != nil || s.Desired != nil})
	if s.Cron != nil {
		if _, err := parseCron(*s.Cron); err != nil {
			c.say(at+".cron", "%v", err)
		}
	}
	if s.TimeZone != nil {
		if _, err := time.LoadLocation(*s.TimeZone); err != nil {
			c.say(at+".time_zone", "%q is no time zone", *s.TimeZone)
		}
	}
	for key, p := range map[string]*string{"start": s.Start, "end": s.End} {
		if _, err := time.Parse(time.RFC3339, val(p)); p != nil && err != nil {
			c.say(at+"."+key, "expected a time like 2026-11-23T19:00:00Z, got %q", *p)
		}
	}
	if s.Min != nil && s.Max != nil && *s.Min > *s.Max {
		c.say(at+".min", "min %d is over max %d", *s.Min, *s.Max)
	}
}
