package asg_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
)

// filler fills every member of an SDK structure, those that a later SDK brings
// included: with a value of its own by name or type, or with one made up.
type filler struct {
	n      int64 // for numbers
	text   string
	by     map[string]any       // by the member's name
	byType map[reflect.Type]any // or by its type
}

func (f *filler) fill(v reflect.Value, name string) {
	if own, ok := f.by[name]; ok && reflect.TypeOf(own) == v.Type() {
		v.Set(reflect.ValueOf(own))
		return
	}
	if own, ok := f.byType[v.Type()]; ok {
		v.Set(reflect.ValueOf(own))
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), name)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				f.fill(v.Field(i), v.Type().Field(i).Name)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		f.fill(v.Index(0), name)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.String:
		v.SetString(f.text + name)
		if values := v.MethodByName("Values"); values.IsValid() { // an enumeration
			v.Set(values.Call(nil)[0].Index(0))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(f.n)
	case reflect.Float64:
		v.SetFloat(float64(f.n) + 0.5)
	}
}

// shown checks that every member of sent is in described, under its name. A
// member that is not described must be excused with a reason; an excuse that
// nothing needs is an error, too.
func shown(t *testing.T, sent, described any, excused map[string]string) {
	t.Helper()
	in, out := reflect.ValueOf(sent).Elem(), reflect.ValueOf(described)
	for i := range in.NumField() {
		field := in.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		got := out.FieldByName(field.Name)
		if excused[field.Name] != "" {
			continue
		}
		if !got.IsValid() {
			t.Errorf("%T.%s is not described, nor is it said why", sent, field.Name)
			continue
		}
		if in.Field(i).IsZero() {
			continue
		}
		if a, b := plain(t, in.Field(i)), plain(t, got); a != b && !within(in.Field(i), got) {
			t.Errorf("%T.%s: sent %s, described %s", sent, field.Name, a, b)
		}
	}
}

// within reports whether a list holds another: a group's views of its traffic
// sources have each other's entries as well.
func within(sent, got reflect.Value) bool {
	if sent.Kind() != reflect.Slice || got.Kind() != reflect.Slice {
		return false
	}
	for i := range sent.Len() {
		if !slices.ContainsFunc(slices.Collect(seq(got)), func(o any) bool { return reflect.DeepEqual(o, sent.Index(i).Interface()) }) {
			return false
		}
	}
	return true
}

func seq(v reflect.Value) func(func(any) bool) {
	return func(yield func(any) bool) {
		for i := range v.Len() {
			if !yield(v.Index(i).Interface()) {
				return
			}
		}
	}
}

// plain is a value as JSON, an empty list like none.
func plain(t *testing.T, v reflect.Value) string {
	t.Helper()
	b, err := json.Marshal(v.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("[]", "null", "{}", "null").Replace(string(b))
}

// groupFiller makes groups that are valid.
func (c client) groupFiller(n int64, text string) *filler {
	spec := &types.LaunchTemplateSpecification{LaunchTemplateName: &c.name, Version: aws.String("1")}
	if g, err := c.describe(); err == nil && g.LaunchTemplate != nil {
		spec = g.LaunchTemplate
	} else if err == nil && g.MixedInstancesPolicy != nil {
		spec = g.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification
	}
	return &filler{n: n, text: text, by: map[string]any{
		"AutoScalingGroupName": &c.name, "MaxInstanceLifetime": aws.Int32(int32(86400 + n)), "MaxHealthyPercentage": aws.Int32(int32(100 + n)),
		"MinHealthyPercentage": aws.Int32(int32(90 + n)), "TerminationPolicies": []string{"OldestInstance"}, "AvailabilityZones": []string{"us-east-1a"}, "HeartbeatTimeout": aws.Int32(60),
		"LifecycleTransition": aws.String(onLaunch), "DefaultResult": aws.String("CONTINUE"), "LifecycleHookName": aws.String("ready"),
	}, byType: map[reflect.Type]any{reflect.TypeFor[*types.LaunchTemplateSpecification](): spec}}
}

func TestEveryFieldOfAGroupComesBack(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"LaunchTemplate", "MixedInstancesPolicy"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			p := newPlant(t)
			excused := map[string]string{"LifecycleHookSpecificationList": "DescribeLifecycleHooks lists hooks", "SkipZonalShiftValidation": "it is about the call",
				"InstanceId": "this service makes no launch configuration of an instance", "LaunchConfigurationName": "one way to launch excludes the others", "Tags": "the shape differs: compared below"}
			p.must(p.group())
			f := p.groupFiller(7, "sent ")
			_, err := p.as.DeleteAutoScalingGroup(p.ctx, &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: &p.name})
			p.must(err)
			in := &as.CreateAutoScalingGroupInput{}
			f.fill(reflect.ValueOf(in).Elem(), "")
			in.InstanceId, in.LaunchConfigurationName = nil, nil
			if way == "LaunchTemplate" {
				in.MixedInstancesPolicy = nil
			} else {
				in.LaunchTemplate = nil
			}
			_, err = p.as.CreateAutoScalingGroup(p.ctx, in)
			p.must(err)
			g, err := p.describe()
			p.must(err)
			shown(t, in, g, excused)
			if len(g.Tags) != 1 || *g.Tags[0].Key != *in.Tags[0].Key || *g.Tags[0].Value != *in.Tags[0].Value || *g.Tags[0].ResourceId != p.name {
				t.Errorf("the tags are %+v", g.Tags)
			}
			hooks, err := p.as.DescribeLifecycleHooks(p.ctx, &as.DescribeLifecycleHooksInput{AutoScalingGroupName: &p.name})
			p.must(err)
			shown(t, &in.LifecycleHookSpecificationList[0], hooks.LifecycleHooks[0], nil)

			update := &as.UpdateAutoScalingGroupInput{}
			f = p.groupFiller(8, "changed ")
			f.by["DeletionProtection"] = types.DeletionProtectionPreventAllDeletion
			f.fill(reflect.ValueOf(update).Elem(), "")
			if update.LaunchConfigurationName = nil; way == "LaunchTemplate" {
				update.MixedInstancesPolicy = nil
			} else {
				update.LaunchTemplate = nil
			}
			_, err = p.as.UpdateAutoScalingGroup(p.ctx, update)
			p.must(err)
			g, err = p.describe()
			p.must(err)
			shown(t, update, g, excused)
		})
	}
}

func TestEveryFieldOfAPolicyComesBack(t *testing.T) {
	t.Parallel()
	own := map[string][]string{"SimpleScaling": {"ScalingAdjustment", "AdjustmentType", "Cooldown", "MinAdjustmentMagnitude", "MinAdjustmentStep"}, "StepScaling": {"StepAdjustments", "AdjustmentType", "EstimatedInstanceWarmup", "MetricAggregationType", "MinAdjustmentMagnitude"},
		"TargetTrackingScaling": {"TargetTrackingConfiguration", "EstimatedInstanceWarmup"}, "PredictiveScaling": {"PredictiveScalingConfiguration"}}
	all := []string{"AutoScalingGroupName", "PolicyName", "PolicyType", "Enabled"}
	for kind, fields := range own {
		all = append(all, fields...)
		for _, metric := range []string{"PredefinedMetricSpecification", "CustomizedMetricSpecification"} {
			p := newPlant(t)
			p.must(p.group())
			in := &as.PutScalingPolicyInput{}
			f := p.groupFiller(7, "sent ")
			f.by["PolicyType"], f.by["AdjustmentType"], f.by["MetricIntervalUpperBound"] = &kind, aws.String("ChangeInCapacity"), aws.Float64(100)
			f.by["PredefinedMetricType"], f.by["Period"], f.by["Expression"] = types.MetricTypeASGAverageCPUUtilization, aws.Int32(60), aws.String("1 + 1")
			f.fill(reflect.ValueOf(in).Elem(), "")
			v := reflect.ValueOf(in).Elem()
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; v.Type().Field(i).IsExported() && !slices.Contains(append(fields, "AutoScalingGroupName", "PolicyName", "PolicyType", "Enabled"), name) {
					v.Field(i).SetZero()
				}
			}
			if c := in.TargetTrackingConfiguration; c != nil && metric == "PredefinedMetricSpecification" {
				c.CustomizedMetricSpecification = nil
			} else if c != nil {
				c.PredefinedMetricSpecification = nil
			}
			_, err := p.as.PutScalingPolicy(p.ctx, in)
			p.must(err)
			out, err := p.as.DescribePolicies(p.ctx, &as.DescribePoliciesInput{AutoScalingGroupName: &p.name})
			p.must(err)
			shown(t, in, out.ScalingPolicies[0], nil)
		}
	}
	for field := range reflect.TypeFor[as.PutScalingPolicyInput]().Fields() {
		if field.IsExported() && !slices.Contains(all, field.Name) {
			t.Errorf("no type of policy is tested with %s", field.Name)
		}
	}
}

func TestEveryFieldOfAScheduleAndAHookComesBack(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.must(p.group())
	f := p.groupFiller(7, "sent ")
	f.by["Recurrence"], f.by["TimeZone"], f.by["EndTime"] = aws.String("0 8 * * *"), aws.String("Etc/UTC"), aws.Time(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
	in := &as.PutScheduledUpdateGroupActionInput{}
	f.fill(reflect.ValueOf(in).Elem(), "")
	_, err := p.as.PutScheduledUpdateGroupAction(p.ctx, in)
	p.must(err)
	out, err := p.as.DescribeScheduledActions(p.ctx, &as.DescribeScheduledActionsInput{AutoScalingGroupName: &p.name})
	p.must(err)
	shown(t, in, out.ScheduledUpdateGroupActions[0], nil)

	hook := &as.PutLifecycleHookInput{}
	f.fill(reflect.ValueOf(hook).Elem(), "")
	_, err = p.as.PutLifecycleHook(p.ctx, hook)
	p.must(err)
	hooks, err := p.as.DescribeLifecycleHooks(p.ctx, &as.DescribeLifecycleHooksInput{AutoScalingGroupName: &p.name})
	p.must(err)
	shown(t, hook, hooks.LifecycleHooks[0], nil)
}

func TestEveryFieldOfAnAlarmComesBack(t *testing.T) {
	t.Parallel()
	for _, maths := range []bool{false, true} {
		p := newPlant(t)
		in := &cloudwatch.PutMetricAlarmInput{}
		f := &filler{n: 7, text: "sent ", by: map[string]any{"Period": aws.Int32(60), "AlarmName": &p.name, "DatapointsToAlarm": aws.Int32(3), "Expression": aws.String("1 + 1"), "ReturnData": aws.Bool(true)}}
		f.fill(reflect.ValueOf(in).Elem(), "")
		if maths {
			in.MetricName = nil
		} else {
			in.Metrics = nil
		}
		_, err := p.cw.PutMetricAlarm(p.ctx, in)
		p.must(err)
		out, err := p.cw.DescribeAlarms(p.ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{p.name}})
		if err != nil || len(out.MetricAlarms) != 1 {
			t.Fatalf("%v, %v", out, err)
		}
		shown(t, in, out.MetricAlarms[0], map[string]string{"Tags": "ListTagsForResource lists tags"})
		tags, err := p.cw.ListTagsForResource(p.ctx, &cloudwatch.ListTagsForResourceInput{ResourceARN: out.MetricAlarms[0].AlarmArn})
		if err != nil || fmt.Sprint(*tags.Tags[0].Key) != *in.Tags[0].Key {
			t.Errorf("the tags are %+v, %v", tags, err)
		}
	}
}
