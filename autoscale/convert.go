package autoscale

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// The functions here turn what AWS answers into the terms of a file. A field
// that AWS leaves out gets the value that AWS means by that, so that a file
// that spells it out shows no difference.

func num(p *int32) *int {
	if p == nil {
		return nil
	}
	return ptr(int(*p))
}

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
	l := Live{Desired: int(val(g.DesiredCapacity)), Config: val(g.LaunchConfigurationName), Status: val(g.Status), mixed: g.MixedInstancesPolicy,
		PolicyARNs: map[string]string{}, PolicyNames: map[string]string{}}
	l.Capacity = &Capacity{Min: num(g.MinSize), Max: num(g.MaxSize), Units: or(g.DesiredCapacityType, "units"), Cooldown: num(g.DefaultCooldown),
		Warmup: or(num(g.DefaultInstanceWarmup), -1), MaxLifetime: or(num(g.MaxInstanceLifetime), 0), Rebalance: or(g.CapacityRebalance, false)}
	if m := g.InstanceMaintenancePolicy; m != nil {
		l.Capacity.MinHealthy, l.Capacity.MaxHealthy = num(m.MinHealthyPercentage), num(m.MaxHealthyPercentage)
	}
	subnets := strings.FieldsFunc(val(g.VPCZoneIdentifier), func(r rune) bool { return r == ',' || r == ' ' })
	l.Network = &Network{Zones: filled(g.AvailabilityZones), Subnets: filled(subnets), PlacementGroup: g.PlacementGroup}
	l.Balancing = &Balancing{TargetGroups: filled(g.TargetGroupARNs), Classic: filled(g.LoadBalancerNames), HealthCheck: g.HealthCheckType, Grace: num(g.HealthCheckGracePeriod)}
	l.Protection = &Protection{ScaleIn: or(g.NewInstancesProtectedFromScaleIn, false), Termination: filled(g.TerminationPolicies), Deletion: or(text(g.DeletionProtection), "none")}
	if len(l.Protection.Termination) == 0 {
		l.Protection.Termination = []string{"Default"}
	}
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
	if m := g.MixedInstancesPolicy; m != nil {
		l.Mixed = mixedOf(*m)
		if m.LaunchTemplate != nil {
			spec = m.LaunchTemplate.LaunchTemplateSpecification
		}
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

func mixedOf(m astypes.MixedInstancesPolicy) *Mixed {
	out := &Mixed{Types: []string{}}
	if d := m.InstancesDistribution; d != nil {
		*out = Mixed{OnDemandBase: or(num(d.OnDemandBaseCapacity), 0), OnDemandPercentage: or(num(d.OnDemandPercentageAboveBaseCapacity), 100),
			OnDemandStrategy: d.OnDemandAllocationStrategy, SpotStrategy: d.SpotAllocationStrategy, SpotPools: num(d.SpotInstancePools),
			SpotMaxPrice: d.SpotMaxPrice, Types: []string{}}
	}
	if m.LaunchTemplate != nil {
		for _, o := range m.LaunchTemplate.Overrides {
			t := val(o.InstanceType)
			if w := val(o.WeightedCapacity); w != "" {
				t += "=" + w
			}
			out.Types = append(out.Types, t)
		}
	}
	return out
}

func launchOf(d *ec2types.ResponseLaunchTemplateData) Launch {
	l := Launch{SecurityGroups: []string{}, Monitoring: ptr(false), EBSOptimized: ptr(false)}
	if d == nil {
		return l
	}
	l.Image, l.Type, l.Key, l.EBSOptimized = d.ImageId, text(d.InstanceType), d.KeyName, or(d.EbsOptimized, false)
	l.SecurityGroups = append(filled(d.SecurityGroupIds), d.SecurityGroups...)
	if p := d.IamInstanceProfile; p != nil {
		if l.Profile = p.Name; p.Arn != nil {
			l.Profile = p.Arn
		}
	}
	if d.Monitoring != nil {
		l.Monitoring = or(d.Monitoring.Enabled, false)
	}
	if m := d.MetadataOptions; m != nil {
		l.Tokens, l.HopLimit = text(m.HttpTokens), num(m.HttpPutResponseHopLimit)
	}
	if m := d.InstanceMarketOptions; m != nil && m.SpotOptions != nil {
		l.SpotPrice = m.SpotOptions.MaxPrice
	}
	l.UserData = decoded(d.UserData)
	return l
}

// decoded is user data as the instance sees it; nil when it is no text, which
// leaves it alone.
func decoded(p *string) *string {
	b, err := base64.StdEncoding.DecodeString(val(p))
	if p == nil || err != nil || !utf8.Valid(b) {
		return nil
	}
	return ptr(string(b))
}

func configOf(c astypes.LaunchConfiguration) Launch {
	l := Launch{Image: c.ImageId, Type: c.InstanceType, Key: c.KeyName, SecurityGroups: filled(c.SecurityGroups), Profile: c.IamInstanceProfile,
		UserData: decoded(c.UserData), EBSOptimized: or(c.EbsOptimized, false), SpotPrice: c.SpotPrice, Monitoring: ptr(true)}
	if c.InstanceMonitoring != nil {
		l.Monitoring = or(c.InstanceMonitoring.Enabled, true)
	}
	if m := c.MetadataOptions; m != nil {
		l.Tokens, l.HopLimit = text(m.HttpTokens), num(m.HttpPutResponseHopLimit)
	}
	return l
}

func (l Live) addPolicy(p astypes.ScalingPolicy) {
	name, group := val(p.PolicyName), val(p.AutoScalingGroupName)
	out := Policy{Type: p.AdjustmentType, Adjustment: num(p.ScalingAdjustment), Cooldown: num(p.Cooldown), Aggregate: p.MetricAggregationType,
		Magnitude: num(p.MinAdjustmentMagnitude), Warmup: num(p.EstimatedInstanceWarmup), Enabled: or(p.Enabled, true)}
	key, own := strings.CutPrefix(name, group+"|")
	if !own {
		out.Name = &name
	}
	for _, s := range p.StepAdjustments {
		out.Steps = append(out.Steps, Step{s.MetricIntervalLowerBound, s.MetricIntervalUpperBound, num(s.ScalingAdjustment)})
	}
	if p.TargetTrackingConfiguration != nil {
		out.Track = trackOf(*p.TargetTrackingConfiguration)
	}
	l.PolicyARNs[name], l.PolicyNames[name] = val(p.PolicyARN), key
	if val(p.PolicyType) != "PredictiveScaling" { // not in the file yet: left alone
		l.Policies[key] = out
	}
}

func trackOf(c astypes.TargetTrackingConfiguration) *Track {
	t := &Track{Target: c.TargetValue, DisableScaleIn: or(c.DisableScaleIn, false)}
	if p := c.PredefinedMetricSpecification; p != nil {
		t.Predefined, t.Label = text(p.PredefinedMetricType), p.ResourceLabel
	}
	m := c.CustomizedMetricSpecification
	if m == nil {
		return t
	}
	t.Namespace, t.Metric, t.Statistic, t.Unit, t.Period = m.Namespace, m.MetricName, text(m.Statistic), m.Unit, num(m.Period)
	if len(m.Dimensions) > 0 {
		t.Dimensions = dimensionsOf(m.Dimensions)
	}
	for _, q := range m.Metrics {
		out := Query{ID: q.Id, Expression: q.Expression, Label: q.Label, Return: or(q.ReturnData, true), Period: num(q.Period)}
		if s := q.MetricStat; s != nil {
			out.Statistic, out.Unit, out.Period = s.Stat, s.Unit, num(s.Period)
			if s.Metric != nil {
				out.Namespace, out.Metric, out.Dimensions = s.Metric.Namespace, s.Metric.MetricName, dimensionsOf(s.Metric.Dimensions)
			}
		}
		t.Queries = append(t.Queries, out)
	}
	return t
}

func dimensionsOf(all []astypes.MetricDimension) map[string]string {
	out := map[string]string{}
	for _, d := range all {
		out[val(d.Name)] = val(d.Value)
	}
	return out
}

// comparisons are the operators, as a file and as CloudWatch writes them.
func comparisons() map[string]cwtypes.ComparisonOperator {
	return map[string]cwtypes.ComparisonOperator{">": cwtypes.ComparisonOperatorGreaterThanThreshold, "<": cwtypes.ComparisonOperatorLessThanThreshold,
		">=": cwtypes.ComparisonOperatorGreaterThanOrEqualToThreshold, "<=": cwtypes.ComparisonOperatorLessThanOrEqualToThreshold}
}

func (l Live) addAlarm(group string, a cwtypes.MetricAlarm) {
	out := Alarm{Namespace: a.Namespace, Metric: a.MetricName, Statistic: text(a.Statistic), Dimensions: map[string]string{}, Threshold: a.Threshold,
		Period: num(a.Period), Periods: num(a.EvaluationPeriods), Datapoints: num(a.DatapointsToAlarm), Missing: or(a.TreatMissingData, "missing"), Unit: text(a.Unit)}
	for _, d := range a.Dimensions {
		out.Dimensions[val(d.Name)] = val(d.Value)
	}
	if len(a.Metrics) > 0 {
		out.Queries, out.Dimensions = watchedOf(a.Metrics), nil
	}
	out.Comparison = text(a.ComparisonOperator)
	for sign, op := range comparisons() {
		if op == a.ComparisonOperator {
			out.Comparison = &sign
		}
	}
	for name, arn := range l.PolicyARNs {
		if slices.Contains(a.AlarmActions, arn) {
			out.Policy = ptr(l.PolicyNames[name])
		}
	}
	name := val(a.AlarmName)
	if name != AlarmName(group, out) {
		out.Name = &name
	}
	l.Alarms[strings.ReplaceAll(strings.TrimPrefix(name, group+"|"), "|", "-")] = out
}

// watchedOf are the queries of an alarm on metric math.
func watchedOf(all []cwtypes.MetricDataQuery) []Query {
	var out []Query
	for _, q := range all {
		one := Query{ID: q.Id, Expression: q.Expression, Label: q.Label, Return: or(q.ReturnData, true), Period: num(q.Period)}
		if s := q.MetricStat; s != nil {
			one.Statistic, one.Unit, one.Period, one.Dimensions = s.Stat, text(s.Unit), num(s.Period), map[string]string{}
			if s.Metric != nil {
				one.Namespace, one.Metric = s.Metric.Namespace, s.Metric.MetricName
				for _, d := range s.Metric.Dimensions {
					one.Dimensions[val(d.Name)] = val(d.Value)
				}
			}
		}
		out = append(out, one)
	}
	return out
}

func scheduleOf(a astypes.ScheduledUpdateGroupAction) Schedule {
	s := Schedule{Cron: a.Recurrence, TimeZone: or(a.TimeZone, "Etc/UTC"), Min: num(a.MinSize), Max: num(a.MaxSize), Desired: num(a.DesiredCapacity)}
	if a.StartTime != nil && a.Recurrence == nil { // of a recurring one it is the next firing, which moves
		s.Start = ptr(a.StartTime.UTC().Format(time.RFC3339))
	}
	if a.EndTime != nil {
		s.End = ptr(a.EndTime.UTC().Format(time.RFC3339))
	}
	return s
}

// transitions are the two moments of a hook.
func transitions() map[string]string {
	return map[string]string{"launching": "autoscaling:EC2_INSTANCE_LAUNCHING", "terminating": "autoscaling:EC2_INSTANCE_TERMINATING"}
}

func hookOf(h astypes.LifecycleHook) Hook {
	out := Hook{Timeout: num(h.HeartbeatTimeout), Default: h.DefaultResult, Topic: h.NotificationTargetARN, Role: h.RoleARN, Metadata: h.NotificationMetadata}
	for on, transition := range transitions() {
		if transition == val(h.LifecycleTransition) {
			out.On = ptr(on)
		}
	}
	return out
}
