// Package autoscale makes Auto Scaling groups match a file: Parse reads the
// file, Observe reads AWS in pages, Diff compares the two without touching
// anything, and Plan.Apply carries the changes out in an order in which every
// group stays valid when a call fails half-way.
//
// The file and the observation have the same type, Group. In a file a nil
// field is one that nobody manages: it is neither compared nor written. An
// empty list or map says "none".
//
// Each field says in its tags what it is called in the file (yaml), where it
// stands in AWS's own types (aws, see bridge.go), what it means (doc, which
// the schema and the documentation show), which words it takes (one) and
// what AWS means when it says nothing (normal).
package autoscale

// Group is one Auto Scaling group, as a file asks for it or as AWS has it.
type Group struct {
	Use           []string            `yaml:"use" aws:"-" doc:"templates of this file to stand on; a later one wins over an earlier one, and the group's own keys win over all"`
	PartOf        *string             `yaml:"part_of" aws:"-" doc:"the written group that this is one half of; a tag carries it"`
	Capacity      *Capacity           `yaml:"capacity" doc:"how many instances, and how they are replaced; times in seconds"`
	Launch        *Launch             `yaml:"launch" aws:"-" doc:"what an instance is made of: one version of a launch template"`
	Mixed         *Mixed              `yaml:"mixed" aws:"MixedInstancesPolicy" doc:"several instance types, on demand and spot; none takes the policy away"`
	Network       *Network            `yaml:"network" doc:"where instances run"`
	Balancing     *Balancing          `yaml:"load_balancing" doc:"who sends the group traffic and who judges its health"`
	Tags          map[string]Tag      `yaml:"tags" aws:"-" doc:"tags of the group, by key"`
	Policies      map[string]Policy   `yaml:"policies" aws:"-" doc:"scaling policies, by the name after GROUP|"`
	Alarms        map[string]Alarm    `yaml:"alarms" aws:"-" doc:"CloudWatch alarms that set off a policy, by any label"`
	Schedules     map[string]Schedule `yaml:"schedules" aws:"-" doc:"scheduled actions, by name"`
	Hooks         map[string]Hook     `yaml:"hooks" aws:"-" doc:"lifecycle hooks, by name"`
	WarmPool      *WarmPool           `yaml:"warm_pool" aws:"-" doc:"instances that are made ready before they are needed; none takes the pool away"`
	Refresh       *RefreshSettings    `yaml:"refresh" aws:"-" doc:"how autoscalectl refresh replaces instances; no part of the group in AWS"`
	Notifications map[string][]string `yaml:"notifications" aws:"-" one:"autoscaling:EC2_INSTANCE_LAUNCH|autoscaling:EC2_INSTANCE_LAUNCH_ERROR|autoscaling:EC2_INSTANCE_TERMINATE|autoscaling:EC2_INSTANCE_TERMINATE_ERROR|autoscaling:TEST_NOTIFICATION" doc:"events to send, by the topic's ARN"`
	Protection    *Protection         `yaml:"protection" doc:"what may not simply be ended"`
	ServiceRole   *string             `yaml:"service_role" aws:"ServiceLinkedRoleARN" doc:"ARN of the service-linked role that acts for the group"`
	Metrics       []string            `yaml:"metrics" aws:"-" one:"GroupMinSize|GroupMaxSize|GroupDesiredCapacity|GroupInServiceInstances|GroupPendingInstances|GroupStandbyInstances|GroupTerminatingInstances|GroupTotalInstances|GroupInServiceCapacity|GroupPendingCapacity|GroupStandbyCapacity|GroupTerminatingCapacity|GroupTotalCapacity|WarmPoolDesiredCapacity|WarmPoolWarmedCapacity|WarmPoolPendingCapacity|WarmPoolTerminatingCapacity|WarmPoolTotalCapacity|GroupAndWarmPoolDesiredCapacity|GroupAndWarmPoolTotalCapacity" doc:"group metrics collected each minute"`
	Suspended     []string            `yaml:"suspended" aws:"-" one:"Launch|Terminate|AddToLoadBalancer|AlarmNotification|AZRebalance|HealthCheck|InstanceRefresh|ReplaceUnhealthy|ScheduledActions" doc:"processes that are suspended"`
}

// Capacity says how many instances, and how they are replaced. Times are in
// seconds.
type Capacity struct {
	Mode         *string       `yaml:"mode" aws:"-" one:"on_demand|mixed|backstop" doc:"how spot is used: not, in one group above a base, or in a spot group with an on-demand group that makes up for what spot cannot give"`
	Min          *int          `yaml:"min" aws:"MinSize" doc:"fewest instances"`
	Max          *int          `yaml:"max" aws:"MaxSize" doc:"most instances"`
	Desired      *Desired      `yaml:"desired" aws:"-" doc:"initial:N for a new group only, or enforce:N at each apply; left alone when absent"`
	Units        *string       `yaml:"units" aws:"DesiredCapacityType" one:"units|vcpu|memory-mib" normal:"units" doc:"what capacity counts"`
	Cooldown     *int          `yaml:"cooldown" aws:"DefaultCooldown" doc:"seconds between activities of simple policies"`
	Warmup       *int          `yaml:"warmup" aws:"DefaultInstanceWarmup" normal:"-1" doc:"seconds until a new instance counts in metrics; -1 for none"`
	MaxLifetime  *int          `yaml:"max_lifetime" aws:"MaxInstanceLifetime" normal:"0" doc:"seconds until an instance is replaced, at least 86400; 0 for never"`
	Rebalance    *bool         `yaml:"rebalance" aws:"CapacityRebalance" normal:"false" doc:"replace spot instances that are at risk before they are taken"`
	MinHealthy   *int          `yaml:"min_healthy" aws:"InstanceMaintenancePolicy.MinHealthyPercentage" normal:"-1" doc:"percent of desired capacity kept in service during replacements, 0 to 100; -1 with max_healthy -1 for none"`
	MaxHealthy   *int          `yaml:"max_healthy" aws:"InstanceMaintenancePolicy.MaxHealthyPercentage" normal:"-1" doc:"percent of desired capacity reached at most during replacements, 100 to 200"`
	Reservations *Reservations `yaml:"reservations" aws:"CapacityReservationSpecification" doc:"capacity reservations that the group uses"`

	OnDemandBase *int      `yaml:"on_demand_base" aws:"-" doc:"units that are on demand always, of modes mixed and backstop"`
	Headroom     *int      `yaml:"headroom" aws:"-" doc:"percent of capacity beyond what demand asks for, 0 to 300"`
	Backstop     *Backstop `yaml:"backstop" aws:"-" doc:"how the on-demand group follows, of mode backstop"`
}

// Reservations are the capacity reservations of a group.
type Reservations struct {
	Preference *string  `yaml:"preference" aws:"CapacityReservationPreference" normal:"default" doc:"whether reservations are used, come first, or not at all"`
	IDs        []string `yaml:"ids" aws:"CapacityReservationTarget.CapacityReservationIds" doc:"ids of capacity reservations"`
	Groups     []string `yaml:"groups" aws:"CapacityReservationTarget.CapacityReservationResourceGroupArns" doc:"ARNs of resource groups of capacity reservations"`
}

// Network says where instances run.
type Network struct {
	Zones          []string    `yaml:"zones" aws:"AvailabilityZones" doc:"names of availability zones"`
	ZoneIDs        []string    `yaml:"zone_ids" aws:"AvailabilityZoneIds" doc:"ids of availability zones, such as use1-az1, in place of names"`
	Subnets        []string    `yaml:"subnets" aws:"-" doc:"ids of subnets"`
	PlacementGroup *string     `yaml:"placement_group" aws:"PlacementGroup" doc:"name of a placement group; '' for none"`
	Distribution   *string     `yaml:"distribution" aws:"AvailabilityZoneDistribution.CapacityDistributionStrategy" normal:"balanced-best-effort" doc:"what happens when launches in a zone fail: go to another zone, or only try again there"`
	ZonalShift     *ZonalShift `yaml:"zonal_shift" doc:"what happens when a zone is impaired"`
}

// ZonalShift says what happens when a zone is impaired.
type ZonalShift struct {
	Enabled        *bool   `yaml:"enabled" aws:"AvailabilityZoneImpairmentPolicy.ZonalShiftEnabled" normal:"false" doc:"follow zonal shifts of the load balancer"`
	Unhealthy      *string `yaml:"unhealthy" aws:"AvailabilityZoneImpairmentPolicy.ImpairedZoneHealthCheckBehavior" doc:"what happens to unhealthy instances of the impaired zone"`
	SkipValidation *bool   `yaml:"skip_validation" aws:"SkipZonalShiftValidation" compare:"never" doc:"accept a load balancer without cross-zone balancing; only sent along, as AWS does not keep it"`
}

// Balancing says who sends the group traffic and who judges its health.
type Balancing struct {
	TargetGroups   []string `yaml:"target_groups" aws:"TargetGroupARNs" doc:"ARNs of target groups"`
	Classic        []string `yaml:"classic" aws:"LoadBalancerNames" doc:"names of classic load balancers"`
	TrafficSources []string `yaml:"traffic_sources" aws:"TrafficSources[].Identifier" doc:"ARNs of other traffic sources, which are target groups of VPC Lattice"`
	HealthCheck    *string  `yaml:"health_check" aws:"HealthCheckType" doc:"EC2, or one or several of ELB, EBS and VPC_LATTICE with commas between"`
	Grace          *int     `yaml:"grace" aws:"HealthCheckGracePeriod" doc:"seconds after launch in which health does not count"`
}

// Protection says what may not simply be ended.
type Protection struct {
	ScaleIn     *bool    `yaml:"scale_in" aws:"NewInstancesProtectedFromScaleIn" normal:"false" doc:"protect new instances from scaling in"`
	Termination []string `yaml:"termination_policies" aws:"TerminationPolicies" normal:"Default" doc:"which instance goes first: policies by name or function ARN, in this order"`
	Deletion    *string  `yaml:"deletion" aws:"DeletionProtection" normal:"none" doc:"protection of the group from being deleted"`
	Abandoned   *string  `yaml:"abandoned" aws:"InstanceLifecyclePolicy.RetentionTriggers.TerminateHookAbandon" normal:"terminate" doc:"what becomes of an instance whose terminating hook ends with ABANDON"`
}

// WarmPool holds instances that are made ready before they are needed.
type WarmPool struct {
	None  *bool   `yaml:"none" aws:"-" normal:"false" doc:"true: the group has no warm pool"`
	Min   *int    `yaml:"min" aws:"MinSize" normal:"0" doc:"fewest instances in the pool"`
	Max   *int    `yaml:"max_prepared" aws:"MaxGroupPreparedCapacity" normal:"-1" doc:"most instances in group and pool together; -1 for the group's max"`
	State *string `yaml:"state" aws:"PoolState" normal:"Stopped" doc:"in which instances wait"`
	Reuse *bool   `yaml:"reuse" aws:"InstanceReusePolicy.ReuseOnScaleIn" normal:"false" doc:"instances return to the pool when the group scales in"`
}

// Tag is the value of one tag of the group.
type Tag struct {
	Value     *string `yaml:"value" doc:"value of the tag"`
	Propagate *bool   `yaml:"propagate" doc:"give it to instances at launch"`
}

// Schedule is a scheduled action.
type Schedule struct {
	Cron     *string `yaml:"cron" aws:"Recurrence" doc:"five fields: minute, hour, day of month, month, day of week"`
	TimeZone *string `yaml:"time_zone" aws:"TimeZone" doc:"IANA name such as Europe/Berlin; UTC when absent"`
	Start    *string `yaml:"start" aws:"StartTime" doc:"first time, such as 2026-11-23T19:00:00Z"`
	End      *string `yaml:"end" aws:"EndTime" doc:"last time, such as 2026-11-23T19:00:00Z"`
	Min      *int    `yaml:"min" aws:"MinSize" doc:"min to set"`
	Max      *int    `yaml:"max" aws:"MaxSize" doc:"max to set"`
	Desired  *int    `yaml:"desired" aws:"DesiredCapacity" doc:"desired capacity to set"`

	Hours *Hours `yaml:"hours" aws:"-" doc:"hours of days in place of cron; becomes two scheduled actions"`
}

// Hook is a lifecycle hook.
type Hook struct {
	On       *string `yaml:"on" aws:"-" one:"launching|terminating" doc:"the moment it holds an instance at"`
	Timeout  *int    `yaml:"timeout" aws:"HeartbeatTimeout" doc:"seconds without a heartbeat until the default result counts"`
	Default  *string `yaml:"default" aws:"DefaultResult" one:"CONTINUE|ABANDON" doc:"result when nobody answers in time"`
	Topic    *string `yaml:"topic" aws:"NotificationTargetARN" doc:"ARN of a topic or a queue that is told"`
	Role     *string `yaml:"role" aws:"RoleARN" doc:"ARN of the role that may tell it"`
	Metadata *string `yaml:"metadata" aws:"NotificationMetadata" doc:"text to send along"`
}
