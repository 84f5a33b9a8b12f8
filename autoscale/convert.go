package autoscale

import (
	"encoding/base64"
	"maps"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The functions here turn what AWS answers into the terms of a file, where
// the tags alone do not say how.

func num32(p *int) *int32 {
	if p == nil {
		return nil
	}
	return ptr(int32(*p))
}

// or is p, or a pointer to normal.
func or[T any](p *T, normal T) *T {
	if p == nil {
		return &normal
	}
	return p
}

// text is nil for the empty string of an enum that AWS left out.
func text[T ~string](v T) *string {
	if v == "" {
		return nil
	}
	return ptr(string(v))
}

func liveOf(g astypes.AutoScalingGroup) Live {
	l := Live{Desired: int(val(g.DesiredCapacity)), Config: val(g.LaunchConfigurationName), Status: val(g.Status),
		PolicyARNs: map[string]string{}, PolicyNames: map[string]string{}, alarms: map[string]cwtypes.MetricAlarm{}}
	fromAWS(g, &l.Group)
	l.Capacity, l.Network, l.Balancing, l.Protection = or(l.Capacity, Capacity{}), or(l.Network, Network{}), or(l.Balancing, Balancing{}), or(l.Protection, Protection{})
	l.Network.Subnets = strings.FieldsFunc(val(g.VPCZoneIdentifier), func(r rune) bool { return r == ',' || r == ' ' })
	b := l.Balancing
	b.TargetGroups, b.Classic = filled(b.TargetGroups), filled(b.Classic)
	b.TrafficSources = slices.DeleteFunc(filled(b.TrafficSources), func(id string) bool { // AWS lists the others there, too
		return slices.Contains(b.TargetGroups, id) || slices.Contains(b.Classic, id)
	})
	l.Mixed, l.WarmPool = or(l.Mixed, Mixed{None: ptr(true)}), warmPoolOf(g.WarmPoolConfiguration)
	l.Metrics, l.Suspended = []string{}, []string{}
	for _, m := range g.EnabledMetrics {
		l.Metrics = append(l.Metrics, val(m.Metric))
	}
	for _, p := range g.SuspendedProcesses {
		l.Suspended = append(l.Suspended, val(p.ProcessName))
	}
	l.Tags, l.Policies, l.Alarms = map[string]Tag{}, map[string]Policy{}, map[string]Alarm{}
	l.Schedules, l.Hooks, l.Notifications = map[string]Schedule{}, map[string]Hook{}, map[string][]string{}
	for _, t := range g.Tags {
		l.Tags[val(t.Key)] = Tag{or(t.Value, ""), or(t.PropagateAtLaunch, false)}
	}
	l.Owner, l.PartOf = val(l.Tags[OwnerTag].Value), l.Tags[PartTag].Value
	spec := g.LaunchTemplate
	if m := g.MixedInstancesPolicy; m != nil && m.LaunchTemplate != nil {
		spec = m.LaunchTemplate.LaunchTemplateSpecification
	}
	if spec != nil {
		l.Template, l.Version = val(spec.LaunchTemplateName), val(spec.Version)
	}
	for _, i := range g.Instances {
		n := Instance{ID: val(i.InstanceId), Zone: val(i.AvailabilityZone), State: string(i.LifecycleState), Health: val(i.HealthStatus)}
		if i.LaunchTemplate != nil {
			n.Version = val(i.LaunchTemplate.Version)
		}
		l.Instances = append(l.Instances, n)
	}
	return l
}

// filled makes a missing list an empty one.
func filled(s []string) []string { return append([]string{}, s...) }

// warmPoolOf reads a pool; one that AWS is deleting is none.
func warmPoolOf(c *astypes.WarmPoolConfiguration) *WarmPool {
	if c == nil || c.Status == astypes.WarmPoolStatusPendingDelete {
		return &WarmPool{None: ptr(true)}
	}
	p := &WarmPool{}
	fromAWS(*c, p)
	return p
}

// launchOf is one version of a launch template.
func launchOf(d *ec2types.ResponseLaunchTemplateData) Launch {
	l := Launch{SecurityGroups: []string{}}
	if d == nil {
		return l
	}
	fromAWS(*d, &l)
	l.SecurityGroups = append(filled(d.SecurityGroupIds), d.SecurityGroups...)
	if p := d.IamInstanceProfile; p != nil {
		if l.Profile = p.Name; p.Arn != nil {
			l.Profile = p.Arn
		}
	}
	l.UserData = decoded(d.UserData)
	return l
}

// launchData is what launchOf reads.
func launchData(l Launch) *ec2types.RequestLaunchTemplateData {
	d := &ec2types.RequestLaunchTemplateData{}
	said := l
	said.Tags = maps.Clone(l.Tags)
	maps.DeleteFunc(said.Tags, func(_ string, tags map[string]string) bool { return len(tags) == 0 })
	unsay(reflect.ValueOf(&said).Elem())
	toAWS(&said, d)
	for _, g := range l.SecurityGroups {
		if strings.HasPrefix(g, "sg-") {
			d.SecurityGroupIds = append(d.SecurityGroupIds, g)
		} else {
			d.SecurityGroups = append(d.SecurityGroups, g)
		}
	}
	if p := val(l.Profile); strings.HasPrefix(p, "arn:") {
		d.IamInstanceProfile = &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Arn: &p}
	} else if p != "" {
		d.IamInstanceProfile = &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: &p}
	}
	if val(l.UserData) != "" {
		d.UserData = ptr(encoded(*l.UserData))
	}
	if m := d.InstanceMarketOptions; m != nil && m.MarketType == "" {
		m.MarketType = ec2types.MarketTypeSpot
	}
	return d
}

// unsay drops empty texts of a section and of those below it: EC2 has no way
// to say "none" but not to say anything.
func unsay(v reflect.Value) {
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() != reflect.Pointer || f.IsNil() {
			continue
		}
		switch f.Elem().Kind() {
		case reflect.String:
			if f.Elem().Len() == 0 {
				f.SetZero()
			}
		case reflect.Struct:
			section := reflect.New(f.Type().Elem())
			section.Elem().Set(f.Elem())
			unsay(section.Elem())
			f.Set(section)
		}
	}
}

// asBase64 begins user data that is no text, such as what is compressed.
const asBase64 = "base64:"

// decoded is user data as the instance sees it, or as AWS has it after
// asBase64: what is no text has to survive a new version, too.
func decoded(p *string) *string {
	if p == nil {
		return nil
	}
	b, err := base64.StdEncoding.DecodeString(*p)
	if err != nil || !utf8.Valid(b) || strings.HasPrefix(string(b), asBase64) {
		return ptr(asBase64 + *p)
	}
	return ptr(string(b))
}

// encoded is what decoded reads.
func encoded(text string) string {
	if raw, is := strings.CutPrefix(text, asBase64); is {
		return raw
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}

func configOf(c astypes.LaunchConfiguration) Launch {
	l := Launch{}
	fromAWS(c, &l)
	l.SecurityGroups, l.Profile, l.UserData, l.RAMDisk, l.Monitoring = filled(c.SecurityGroups), c.IamInstanceProfile, decoded(c.UserData), c.RamdiskId, ptr(true)
	if c.InstanceMonitoring != nil {
		l.Monitoring = or(c.InstanceMonitoring.Enabled, true)
	}
	if c.SpotPrice != nil {
		l.Spot = &SpotOptions{MaxPrice: c.SpotPrice}
	}
	if c.PlacementTenancy != nil {
		l.Placement = &Placement{Tenancy: c.PlacementTenancy}
	}
	if c.AssociatePublicIpAddress != nil { // a template says so of an interface, which has the groups then
		l.Interfaces = []Interface{{Device: ptr(0), PublicIP: c.AssociatePublicIpAddress, Groups: l.SecurityGroups}}
		l.SecurityGroups = []string{}
	}
	return l
}

func (l Live) addPolicy(p astypes.ScalingPolicy) {
	name, group := val(p.PolicyName), val(p.AutoScalingGroupName)
	out := Policy{}
	fromAWS(p, &out)
	key, own := strings.CutPrefix(name, group+"|")
	if !own {
		out.Name = &name
	}
	l.PolicyARNs[name], l.PolicyNames[name] = val(p.PolicyARN), key
	l.Policies[key] = out
}

// comparisons are the operators, as a file and as CloudWatch writes them.
func comparisons() map[string]cwtypes.ComparisonOperator {
	return map[string]cwtypes.ComparisonOperator{">": cwtypes.ComparisonOperatorGreaterThanThreshold, "<": cwtypes.ComparisonOperatorLessThanThreshold,
		">=": cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold, "<=": cwtypes.ComparisonOperatorLessThanOrEqualToThreshold,
		string(bandBoth): bandBoth, string(bandLow): bandLow, string(bandHigh): bandHigh}
}

// The operators of an anomaly band have no signs.
const (
	bandBoth = cwtypes.ComparisonOperatorLessThanLowerOrGreaterThanUpperThreshold
	bandLow  = cwtypes.ComparisonOperatorLessThanLowerThreshold
	bandHigh = cwtypes.ComparisonOperatorGreaterThanUpperThreshold
)

func (l Live) addAlarm(group string, a cwtypes.MetricAlarm) {
	out := Alarm{}
	fromAWS(a, &out)
	if out.Dimensions == nil && out.Metric != nil {
		out.Dimensions = map[string]string{}
	}
	if out.Statistic = text(a.Statistic); a.ExtendedStatistic != nil {
		out.Statistic = a.ExtendedStatistic
	}
	for sign, op := range comparisons() {
		if op == a.ComparisonOperator {
			out.Comparison = &sign
		}
	}
	switch w := a.EvaluationWindow.(type) {
	case *cwtypes.EvaluationWindowMemberSlidingWindow:
		out.Window = ptr("sliding")
	case *cwtypes.EvaluationWindowMemberWallClockWindow:
		out.Window, out.WindowZone = ptr("wall-clock"), w.Value.Timezone
	}
	out.Actions = []string{}
	for _, action := range a.AlarmActions {
		if !isPolicy(action) { // policies have their own keys, and may be another group's
			out.Actions = append(out.Actions, action)
		}
		for _, name := range slices.Sorted(maps.Keys(l.PolicyARNs)) {
			if l.PolicyARNs[name] == action && out.Policy == nil {
				out.Policy = ptr(l.PolicyNames[name])
			}
		}
	}
	out.OKActions, out.NoData = filled(out.OKActions), filled(out.NoData)
	name := val(a.AlarmName)
	if name != AlarmName(group, out) {
		out.Name = &name
	}
	l.alarms[name] = a
	key := strings.ReplaceAll(strings.TrimPrefix(name, group+"|"), "|", "-")
	if _, taken := l.Alarms[key]; taken {
		key = name
	}
	l.Alarms[key] = out
}

func scheduleOf(a astypes.ScheduledUpdateGroupAction) Schedule {
	var s Schedule
	fromAWS(a, &s)
	s.TimeZone = or(s.TimeZone, "Etc/UTC")
	if a.Recurrence != nil { // of a recurring one it is the next firing, which moves
		s.Start = nil
	}
	return s
}

// transitions are the two moments of a hook.
func transitions() map[string]string {
	return map[string]string{"launching": "autoscaling:EC2_INSTANCE_LAUNCHING", "terminating": "autoscaling:EC2_INSTANCE_TERMINATING"}
}

func hookOf(h astypes.LifecycleHook) Hook {
	var out Hook
	fromAWS(h, &out)
	for on, transition := range transitions() {
		if transition == val(h.LifecycleTransition) {
			out.On = ptr(on)
		}
	}
	return out
}
