package autoscale

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// call is a structure of AWS and the section of the file that it is made of.
type call struct{ sdk, section reflect.Type }

func sdkCalls() []call {
	none := reflect.TypeFor[struct{}]()
	return []call{
		{reflect.TypeFor[as.CreateAutoScalingGroupInput](), reflect.TypeFor[Group]()},
		{reflect.TypeFor[as.UpdateAutoScalingGroupInput](), reflect.TypeFor[Group]()},
		{reflect.TypeFor[ec2types.RequestLaunchTemplateData](), reflect.TypeFor[Launch]()},
		{reflect.TypeFor[ec2.CreateLaunchTemplateInput](), none},
		{reflect.TypeFor[ec2.CreateLaunchTemplateVersionInput](), none},
		{reflect.TypeFor[as.StartInstanceRefreshInput](), none},
		{reflect.TypeFor[as.PutWarmPoolInput](), reflect.TypeFor[WarmPool]()},
		{reflect.TypeFor[astypes.RefreshPreferences](), reflect.TypeFor[RefreshSettings]()},
		{reflect.TypeFor[as.PutScalingPolicyInput](), reflect.TypeFor[Policy]()},
		{reflect.TypeFor[cloudwatch.PutMetricAlarmInput](), reflect.TypeFor[Alarm]()},
		{reflect.TypeFor[as.PutScheduledUpdateGroupActionInput](), reflect.TypeFor[Schedule]()},
		{reflect.TypeFor[as.PutLifecycleHookInput](), reflect.TypeFor[Hook]()},
		{reflect.TypeFor[astypes.LifecycleHookSpecification](), reflect.TypeFor[Hook]()},
		{reflect.TypeFor[as.PutNotificationConfigurationInput](), none},
		{reflect.TypeFor[as.AttachTrafficSourcesInput](), none},
		{reflect.TypeFor[as.AttachLoadBalancerTargetGroupsInput](), none},
		{reflect.TypeFor[as.AttachLoadBalancersInput](), none},
		{reflect.TypeFor[as.EnableMetricsCollectionInput](), none},
		{reflect.TypeFor[as.SuspendProcessesInput](), none},
		{reflect.TypeFor[astypes.Tag](), none},
	}
}

// byHand are members that code writes, by the beginning of their path; and
// what of the file they are made of. * stands for any call.
func byHand() map[string]string {
	return map[string]string{
		"*.AutoScalingGroupName":                      "the key under groups",
		"CreateAutoScalingGroupInput.DesiredCapacity": "capacity.desired",
		"UpdateAutoScalingGroupInput.DesiredCapacity": "capacity.desired",
		"*.VPCZoneIdentifier":                         "network.subnets",
		"*.LaunchTemplate.LaunchTemplateName":         "launch.template",
		"*.LaunchTemplate.Version":                    "the version that launch decides on",
		"*.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateName": "launch.template",
		"*.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.Version":            "the version that launch decides on",
		"CreateAutoScalingGroupInput.LifecycleHookSpecificationList":                           "hooks",
		"CreateAutoScalingGroupInput.Tags":                                                     "tags",
		"CreateAutoScalingGroupInput.TrafficSources[].Type":                                    "load_balancing.traffic_sources, which are all of one type",
		"RequestLaunchTemplateData.SecurityGroupIds":                                           "launch.security_groups",
		"RequestLaunchTemplateData.SecurityGroups":                                             "launch.security_groups",
		"RequestLaunchTemplateData.IamInstanceProfile":                                         "launch.profile",
		"RequestLaunchTemplateData.UserData":                                                   "launch.user_data",
		"PutScalingPolicyInput.PolicyName":                                                     "the key under policies, or name",
		"PutScalingPolicyInput.PolicyType":                                                     "which of the policy's fields are given",
		"PutMetricAlarmInput.AlarmName":                                                        "policy and metric, or name",
		"PutMetricAlarmInput.AlarmActions":                                                     "policy and actions; the policies of others are kept",
		"PutMetricAlarmInput.Tags":                                                             "tags",
		"PutMetricAlarmInput.Statistic":                                                        "statistic",
		"PutMetricAlarmInput.ExtendedStatistic":                                                "statistic",
		"PutMetricAlarmInput.ComparisonOperator":                                               "comparison",
		"PutMetricAlarmInput.EvaluationWindow":                                                 "window and window_time_zone",
		"PutScheduledUpdateGroupActionInput.ScheduledActionName":                               "the key under schedules",
		"*.LifecycleHookName":                                                                  "the key under hooks",
		"*.LifecycleTransition":                                                                "on",
		"*.LaunchTemplateData":                                                                 "launch, whose own call above has its members",
		"*.LaunchTemplateName":                                                                 "launch.template",
		"*.VersionDescription":                                                                 "by which a version is known as made here",
		"CreateLaunchTemplateVersionInput.SourceVersion":                                       "the version in use, so that what the file leaves out is kept",
		"StartInstanceRefreshInput.Preferences":                                                "refresh, whose own call below has its members",
		"StartInstanceRefreshInput.DesiredConfiguration":                                       "launch and mixed",
		"PutNotificationConfigurationInput":                                                    "notifications",
		"AttachTrafficSourcesInput":                                                            "load_balancing.traffic_sources",
		"AttachLoadBalancerTargetGroupsInput":                                                  "load_balancing.target_groups",
		"AttachLoadBalancersInput":                                                             "load_balancing.classic",
		"EnableMetricsCollectionInput":                                                         "metrics; one minute is the only granularity",
		"SuspendProcessesInput":                                                                "suspended",
		"Tag":                                                                                  "tags",
	}
}

// leftOut are members that no file can give, and why.
func leftOut() map[string]string {
	const identified = "a launch template is known by its name in a file"
	return map[string]string{
		"*.Context":                              "reserved by AWS",
		"CreateAutoScalingGroupInput.InstanceId": "takes a machine that exists as its template; launch says what to launch",
		"*.LaunchConfigurationName":              "AWS closed launch configurations; groups move to launch templates",
		"*.ClientToken":                          "of one call, and of nothing that stays",
		"*.DryRun":                               "of one call, and of nothing that stays",
		"CreateLaunchTemplateInput.TagSpecifications":                                                    "tags of the template itself: it may be several groups', and which of them would decide? Left alone",
		"CreateLaunchTemplateVersionInput.ResolveAlias":                                                  "how an answer is written, and of nothing that stays",
		"CreateLaunchTemplateVersionInput.LaunchTemplateId":                                              identified,
		"StartInstanceRefreshInput.Strategy":                                                             "always Rolling: ReplaceRootVolume keeps the instances, so that they would not get what else a version changes",
		"*.Operator":                                                                                     "for services that run groups for others: such a group refuses every other caller, this tool included",
		"*.LaunchTemplate.LaunchTemplateId":                                                              identified,
		"*.MixedInstancesPolicy.LaunchTemplate.LaunchTemplateSpecification.LaunchTemplateId":             identified,
		"*.MixedInstancesPolicy.LaunchTemplate.Overrides[].LaunchTemplateSpecification.LaunchTemplateId": identified,
		"RequestLaunchTemplateData.ElasticGpuSpecifications":                                             "AWS has ended the service",
		"RequestLaunchTemplateData.ElasticInferenceAccelerators":                                         "AWS has ended the service",
		"RequestLaunchTemplateData.InstanceMarketOptions.SpotOptions.BlockDurationMinutes":               "deprecated by AWS",
		"RequestLaunchTemplateData.Placement.SpreadDomain":                                               "reserved by AWS",
		"PutScalingPolicyInput.MinAdjustmentStep":                                                        "deprecated by AWS; min_magnitude is its successor",
		"PutMetricAlarmInput.EvaluationCriteria":                                                         "PromQL has a state for each series; a policy needs one, and the metrics of a group are none of PromQL. Kept as it is",
		"PutMetricAlarmInput.EvaluationInterval":                                                         "belongs to PromQL. Kept as it is",
		"PutScheduledUpdateGroupActionInput.Time":                                                        "deprecated by AWS; start is its successor",
	}
}

// sdkMembers lists the plain members of a structure of AWS, [] behind lists.
func sdkMembers(t reflect.Type, path string, into *[]string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice && bare(t).Kind() == reflect.Struct {
			path += "[]"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		*into = append(*into, path)
		return
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			sdkMembers(f.Type, path+"."+f.Name, into)
		}
	}
}

// tagged lists the members that the tags of section, and of those below it,
// name in sdk.
func tagged(section, sdk reflect.Type, path string, into map[string]bool) {
	for i := range section.NumField() {
		f := section.Field(i)
		tag := f.Tag.Get("aws")
		inner := bare(f.Type)
		switch {
		case tag == "-" || tag == "" && inner.Kind() != reflect.Struct:
		case tag == "":
			tagged(inner, sdk, path, into)
		default:
			for _, way := range strings.Split(tag, "|") {
				follow(f, sdk, path, way, into)
			}
		}
	}
}

// follow goes from sdk along way, and on below it.
func follow(f reflect.StructField, sdk reflect.Type, path, way string, into map[string]bool) {
	var last reflect.Type
	for _, segment := range strings.Split(way, ".") {
		name, _, _ := strings.Cut(segment, "[")
		member, ok := sdk.FieldByName(name)
		if !ok {
			return
		}
		path += "." + name
		if last, sdk = member.Type, bare(member.Type); last.Kind() == reflect.Slice && sdk.Kind() == reflect.Struct {
			path += "[]"
		}
	}
	inner := bare(f.Type)
	if f.Type.Kind() == reflect.Map {
		name, rest := keyed(sdk, f.Tag.Get("key"))
		into[path+"."+name] = true
		if inner.Kind() != reflect.Struct {
			var below []string
			member, _ := sdk.FieldByName(rest)
			sdkMembers(member.Type, path+"."+rest, &below)
			for _, p := range below {
				into[p] = true
			}
		}
	}
	switch {
	case inner.Kind() == reflect.Struct:
		tagged(inner, sdk, path, into)
	case f.Type.Kind() != reflect.Map:
		into[path] = true
	}
}

// listedUnder finds the entry of table that path falls under.
func listedUnder(table map[string]string, path string) string {
	for _, entry := range slices.Sorted(maps.Keys(table)) {
		of, rest, _ := strings.Cut(path, ".")
		want := strings.Replace(entry, "*", of, 1)
		if got := of + "." + rest; got == want || strings.HasPrefix(got, want+".") || strings.HasPrefix(got, want+"[") {
			return entry
		}
	}
	return ""
}

// TestEveryMemberOfTheSDKIsInTheFileOrLeftOutForAReason fails when a newer SDK
// has a member that is neither: then it belongs in a type of the file, or in
// leftOut.
func TestEveryMemberOfTheSDKIsInTheFileOrLeftOutForAReason(t *testing.T) {
	t.Parallel()
	hand, out := byHand(), leftOut()
	used := map[string]bool{}
	for _, c := range sdkCalls() {
		var all []string
		sdkMembers(c.sdk, c.sdk.Name(), &all)
		known := map[string]bool{}
		tagged(c.section, c.sdk, c.sdk.Name(), known)
		for _, path := range all {
			h, o := listedUnder(hand, path), listedUnder(out, path)
			used[h], used[o] = true, true
			switch {
			case h == "" && o == "" && !known[path]:
				t.Errorf("%s is new: put it into the file's types, or into leftOut with a reason", path)
			case o != "" && known[path]:
				t.Errorf("%s is in the file, and left out (%s)", path, out[o])
			}
			delete(known, path)
		}
		for path := range known {
			t.Errorf("a tag of the file names %s, which the SDK does not have", path)
		}
	}
	for entry := range maps.All(hand) {
		if !used[entry] {
			t.Errorf("byHand lists %s, which the SDK does not have", entry)
		}
	}
	for entry, why := range out {
		if !used[entry] || why == "" {
			t.Errorf("leftOut lists %s, which the SDK does not have", entry)
		}
	}
}
