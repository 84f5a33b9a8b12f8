package autoscale

import "strings"

// file2013 is the format of the first tool of this name. Its launch
// configurations become launch templates; the rest means what it meant.
type file2013 struct {
	Region   *string               `yaml:"region"`
	Groups   map[string]group2013  `yaml:"groups"`
	Policies map[string]policy2013 `yaml:"policies"`
	Topic    *string               `yaml:"notification_topic"`
	UserData *lines                `yaml:"user_data"`
}

type group2013 struct {
	Min           *int                 `yaml:"min_size"`
	Max           *int                 `yaml:"max_size"`
	Capacity      *int                 `yaml:"capacity"`
	Image         *string              `yaml:"ami"`
	Zones         []string             `yaml:"zones"`
	Key           *string              `yaml:"ssh_key"`
	SecurityGroup *string              `yaml:"security_group"`
	Type          *string              `yaml:"instance_type"`
	Tags          map[string]string    `yaml:"tags"`
	Alarms        map[string]alarm2013 `yaml:"alarms"`
}

type policy2013 struct {
	Type       *string `yaml:"type"`
	Adjustment *int    `yaml:"adjustment"`
	Cooldown   *int    `yaml:"cooldown"`
}

type alarm2013 struct {
	Namespace  *string  `yaml:"namespace"`
	Metric     *string  `yaml:"metric"`
	Comparison *string  `yaml:"comparison"`
	Threshold  *float64 `yaml:"threshold"`
	Period     *int     `yaml:"period"`
	Periods    *int     `yaml:"evaluation_periods"`
	Policy     *string  `yaml:"policy"`
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
