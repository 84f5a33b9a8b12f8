package autoscale

import (
	"maps"
	"slices"
	"strings"
)

// file2013 is the format of the first tool of this name. Its launch
// configurations become launch templates; the rest means what it meant.
type file2013 struct {
	Region   *string               `yaml:"region" doc:"AWS region of all groups; us-west-1 when absent"`
	Groups   map[string]group2013  `yaml:"groups" doc:"the groups, by name"`
	Policies map[string]policy2013 `yaml:"policies" doc:"scaling policies that every group gets, by the name after GROUP|"`
	Topic    *string               `yaml:"notification_topic" doc:"ARN of a topic that hears of launches, terminations and their failures in all groups"`
	UserData *lines                `yaml:"user_data" doc:"of all instances: text, or a list of its lines"`
}

type group2013 struct {
	Min           *int                 `yaml:"min_size" doc:"fewest instances"`
	Max           *int                 `yaml:"max_size" doc:"most instances"`
	Capacity      *int                 `yaml:"capacity" doc:"instances of a new group"`
	Image         *string              `yaml:"ami" doc:"id of the image"`
	Zones         []string             `yaml:"zones" doc:"names of availability zones"`
	Key           *string              `yaml:"ssh_key" doc:"name of the SSH key"`
	SecurityGroup *string              `yaml:"security_group" doc:"name or id of the security group"`
	Type          *string              `yaml:"instance_type" doc:"instance type"`
	Tags          map[string]string    `yaml:"tags" doc:"tags of the group and of its instances"`
	Alarms        map[string]alarm2013 `yaml:"alarms" doc:"CloudWatch alarms that set off a policy, by any label"`
}

type policy2013 struct {
	Type       *string `yaml:"type" doc:"what an adjustment means: ChangeInCapacity, ExactCapacity or PercentChangeInCapacity"`
	Adjustment *int    `yaml:"adjustment" doc:"by how much"`
	Cooldown   *int    `yaml:"cooldown" doc:"seconds until the next activity"`
}

type alarm2013 struct {
	Namespace  *string  `yaml:"namespace" doc:"namespace of the metric"`
	Metric     *string  `yaml:"metric" doc:"name of the metric; its average over the group counts"`
	Comparison *string  `yaml:"comparison" doc:"> < >= or <="`
	Threshold  *float64 `yaml:"threshold" doc:"value to compare with"`
	Period     *int     `yaml:"period" doc:"seconds"`
	Periods    *int     `yaml:"evaluation_periods" doc:"periods that must breach; 1 when absent"`
	Policy     *string  `yaml:"policy" doc:"name of the policy that it sets off"`
}

// lines is text, or a list of lines.
type lines []string

func (l *lines) setScalar(text string) error {
	*l = lines{text}
	return nil
}

// defaultRegion is what the format of 2013 means by no region.
const defaultRegion = "us-west-1"

// launchEvents are the events that notification_topic stands for.
func launchEvents() []string {
	const p = "autoscaling:EC2_INSTANCE_"
	return []string{p + "LAUNCH", p + "LAUNCH_ERROR", p + "TERMINATE", p + "TERMINATE_ERROR"}
}

func (f file2013) spec(d *decoder) (Spec, error) {
	s := Spec{Version: 1, Region: defaultRegion, Groups: map[string]Group{}}
	if f.Region != nil {
		s.Region = *f.Region
	}
	if err := d.region(s.Region); err != nil {
		return Spec{}, err
	}
	d.old = slices.Collect(maps.Keys(f.Groups))
	for name, g := range f.Groups {
		at := "groups." + name
		if g.Min == nil || g.Max == nil {
			return Spec{}, d.wrong(at, "min_size and max_size are needed")
		}
		if g.Image == nil || g.Type == nil {
			return Spec{}, d.wrong(at, "ami and instance_type are needed")
		}
		out := Group{
			Capacity: &Capacity{Min: g.Min, Max: g.Max},
			// A launch configuration that says nothing has detailed monitoring
			// (API_InstanceMonitoring.html); a launch template has not.
			Launch:   &Launch{Image: g.Image, Type: g.Type, Key: g.Key, Monitoring: ptr(true)},
			Policies: f.policies(),
			Alarms:   g.alarms(),
		}
		if g.Capacity != nil {
			out.Capacity.Desired = &Desired{N: *g.Capacity}
		}
		if g.SecurityGroup != nil {
			out.Launch.SecurityGroups = []string{*g.SecurityGroup}
		}
		if f.UserData != nil {
			out.Launch.UserData = ptr(strings.Join(*f.UserData, "\n"))
		}
		if g.Zones != nil {
			out.Network = &Network{Zones: g.Zones}
		}
		if f.Topic != nil {
			out.Notifications = map[string][]string{*f.Topic: launchEvents()}
		}
		out.Tags = g.tags()
		s.Groups[name] = out
	}
	return s, nil
}

// words2013 are the keys of 2013 by those of today, below a group; one that
// begins with / stands at the top of the file.
func words2013() map[string]string {
	return map[string]string{"capacity.min": "min_size", "capacity.max": "max_size", "capacity.desired": "capacity",
		"launch.image": "ami", "launch.type": "instance_type", "launch.key": "ssh_key", "launch.security_groups": "security_group",
		"launch.user_data": "/user_data", "network.zones": "zones", "policies": "/policies", "notifications": "/notification_topic"}
}

// written is the path by which a value of today's path stands in the file.
func (d *decoder) written(path string) string {
	for _, group := range d.old {
		below, ours := strings.CutPrefix(path, "groups."+group+".")
		if !ours {
			continue
		}
		for today, then := range words2013() {
			rest, ok := strings.CutPrefix(below, today)
			if !ok || rest != "" && rest[0] != '.' {
				continue
			}
			if top, ok := strings.CutPrefix(then, "/"); ok {
				return top + rest
			}
			return "groups." + group + "." + then + rest
		}
	}
	return path
}

// policies gives every group every policy of the file, as names in AWS carry
// the group's.
func (f file2013) policies() map[string]Policy {
	if f.Policies == nil {
		return nil
	}
	out := map[string]Policy{}
	for name, p := range f.Policies {
		out[name] = Policy{Type: p.Type, Adjustment: p.Adjustment, Cooldown: p.Cooldown}
	}
	return out
}

func (g group2013) tags() map[string]Tag {
	if g.Tags == nil {
		return nil
	}
	out := map[string]Tag{}
	for k, v := range g.Tags {
		out[k] = Tag{ptr(v), ptr(true)}
	}
	return out
}

func (g group2013) alarms() map[string]Alarm {
	if g.Alarms == nil {
		return nil
	}
	out := map[string]Alarm{}
	for label, a := range g.Alarms {
		periods := a.Periods
		if periods == nil {
			periods = ptr(1)
		}
		out[label] = Alarm{Namespace: a.Namespace, Metric: a.Metric, Statistic: ptr("Average"), Comparison: a.Comparison,
			Threshold: a.Threshold, Period: a.Period, Periods: periods, Policy: a.Policy}
	}
	return out
}
