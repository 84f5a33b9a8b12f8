// Package autoscale makes Auto Scaling groups match a file: Parse reads the
// file, Observe reads AWS in pages, Diff compares the two without touching
// anything, and Plan.Apply carries the changes out in an order in which every
// group stays valid when a call fails half-way.
//
// The file and the observation have the same type, Group. In a file a nil
// field is one that nobody manages: it is neither compared nor written. An
// empty list or map says "none".
package autoscale

// Group is one Auto Scaling group, as a file asks for it or as AWS has it.
type Group struct {
	PartOf        *string             `yaml:"part_of"` // the written group that this is one half of; a tag carries it
	Capacity      *Capacity           `yaml:"capacity"`
	Launch        *Launch             `yaml:"launch"`
	Mixed         *Mixed              `yaml:"mixed"`
	Network       *Network            `yaml:"network"`
	Balancing     *Balancing          `yaml:"load_balancing"`
	Tags          map[string]Tag      `yaml:"tags"`
	Policies      map[string]Policy   `yaml:"policies"` // by the name after `<group>|`
	Alarms        map[string]Alarm    `yaml:"alarms"`   // by any label
	Schedules     map[string]Schedule `yaml:"schedules"`
	Hooks         map[string]Hook     `yaml:"hooks"`
	Notifications map[string][]string `yaml:"notifications"` // topic ARN to events
	Protection    *Protection         `yaml:"protection"`
	Metrics       []string            `yaml:"metrics"`   // group metrics collected each minute
	Suspended     []string            `yaml:"suspended"` // processes
}

// Capacity says how many instances, and how they are replaced. Times are in
// seconds.
type Capacity struct {
	Mode        *string  `yaml:"mode"` // on_demand, mixed or backstop; see Expand
	Min         *int     `yaml:"min"`
	Max         *int     `yaml:"max"`
	Desired     *Desired `yaml:"desired"`
	Units       *string  `yaml:"units"` // units, vcpu or memory-mib
	Cooldown    *int     `yaml:"cooldown"`
	Warmup      *int     `yaml:"warmup"`
	MaxLifetime *int     `yaml:"max_lifetime"`
	Rebalance   *bool    `yaml:"rebalance"`
	MinHealthy  *int     `yaml:"min_healthy"` // percent, of the maintenance policy
	MaxHealthy  *int     `yaml:"max_healthy"` // percent, of the maintenance policy

	OnDemandBase *int      `yaml:"on_demand_base"` // units that are on demand always, of modes mixed and backstop
	Headroom     *int      `yaml:"headroom"`       // percent of capacity beyond what demand asks for
	Backstop     *Backstop `yaml:"backstop"`       // of mode backstop
}

// Launch is what an instance is made of: one version of a launch template.
type Launch struct {
	Template       *string  `yaml:"template"` // its name; made from the group's when absent
	Image          *string  `yaml:"image"`
	Type           *string  `yaml:"type"`
	Key            *string  `yaml:"key"`
	SecurityGroups []string `yaml:"security_groups"` // ids, or names in the default VPC
	Profile        *string  `yaml:"profile"`         // instance profile, name or ARN
	UserData       *string  `yaml:"user_data"`       // as the instance sees it, not encoded
	Monitoring     *bool    `yaml:"monitoring"`
	EBSOptimized   *bool    `yaml:"ebs_optimized"`
	Tokens         *string  `yaml:"tokens"`    // required or optional: IMDSv2
	HopLimit       *int     `yaml:"hop_limit"` // of IMDS replies
	SpotPrice      *string  `yaml:"spot_price"`
}

// Mixed is a mixed instances policy.
type Mixed struct {
	OnDemandBase       *int     `yaml:"on_demand_base"`
	OnDemandPercentage *int     `yaml:"on_demand_percentage"` // above the base
	OnDemandStrategy   *string  `yaml:"on_demand_strategy"`
	SpotStrategy       *string  `yaml:"spot_strategy"`
	SpotPools          *int     `yaml:"spot_pools"`
	SpotMaxPrice       *string  `yaml:"spot_max_price"`
	Types              []string `yaml:"types"` // TYPE or TYPE=WEIGHT, best first
}

// Network says where instances run.
type Network struct {
	Zones          []string `yaml:"zones"`
	Subnets        []string `yaml:"subnets"`
	PlacementGroup *string  `yaml:"placement_group"`
}

// Balancing says who sends the group traffic and who judges its health.
type Balancing struct {
	TargetGroups []string `yaml:"target_groups"` // ARNs
	Classic      []string `yaml:"classic"`       // names
	HealthCheck  *string  `yaml:"health_check"`  // EC2 or ELB
	Grace        *int     `yaml:"grace"`         // seconds
}

// Protection says what may not simply be ended.
type Protection struct {
	ScaleIn     *bool    `yaml:"scale_in"` // of new instances
	Termination []string `yaml:"termination_policies"`
	Deletion    *string  `yaml:"deletion"` // none, prevent-force-deletion or prevent-all-deletion
}

// Tag is the value of one tag of the group.
type Tag struct {
	Value     *string `yaml:"value"`
	Propagate *bool   `yaml:"propagate"` // to instances at launch
}

// Policy is a scaling policy: simple, step or target tracking by its fields.
type Policy struct {
	Name       *string `yaml:"name"`       // in AWS, when it is not `<group>|<policy>`
	Type       *string `yaml:"type"`       // of adjustment
	Adjustment *int    `yaml:"adjustment"` // simple scaling
	Cooldown   *int    `yaml:"cooldown"`   // seconds, simple scaling
	Steps      []Step  `yaml:"steps"`      // step scaling
	Aggregate  *string `yaml:"aggregate"`  // Average, Minimum or Maximum of the steps' metric
	Magnitude  *int    `yaml:"min_magnitude"`
	Warmup     *int    `yaml:"warmup"` // seconds, step scaling and target tracking
	Enabled    *bool   `yaml:"enabled"`
	Track      *Track  `yaml:"track"` // target tracking

	Queue    *Queue    `yaml:"queue" aws:"-" doc:"keep the time that messages wait in an SQS queue acceptable; becomes target tracking"`
	Requests *Requests `yaml:"requests_per_target" aws:"-" doc:"keep the requests per instance of a target group at a number; becomes target tracking"`
	Latency  *Latency  `yaml:"latency" aws:"-" doc:"add instances when a load balancer's targets answer slowly; becomes two step policies"`
}

// Step is one interval of a step policy; bounds are relative to the alarm's
// threshold, and a nil bound is infinite.
type Step struct {
	From       *float64 `yaml:"from"`
	To         *float64 `yaml:"to"`
	Adjustment *int     `yaml:"adjustment"`
}

// Track is a target tracking configuration on a predefined metric, one metric
// of CloudWatch, or an expression over several.
type Track struct {
	Target         *float64          `yaml:"target"`
	Predefined     *string           `yaml:"predefined"`
	Label          *string           `yaml:"label"` // resource label of ALBRequestCountPerTarget
	Namespace      *string           `yaml:"namespace"`
	Metric         *string           `yaml:"metric"`
	Dimensions     map[string]string `yaml:"dimensions"`
	Statistic      *string           `yaml:"statistic"`
	Unit           *string           `yaml:"unit"`
	Period         *int              `yaml:"period"` // seconds: 10, 30 or 60
	Queries        []Query           `yaml:"queries"`
	DisableScaleIn *bool             `yaml:"disable_scale_in"`
}

// Query is one line of metric math: a metric, or an expression.
type Query struct {
	ID         *string           `yaml:"id"`
	Expression *string           `yaml:"expression"`
	Namespace  *string           `yaml:"namespace"`
	Metric     *string           `yaml:"metric"`
	Dimensions map[string]string `yaml:"dimensions"`
	Statistic  *string           `yaml:"statistic"`
	Unit       *string           `yaml:"unit"`
	Period     *int              `yaml:"period"`
	Label      *string           `yaml:"label"`
	Return     *bool             `yaml:"return"`
}

// Alarm is a CloudWatch alarm that sets off a policy of its group: on one
// metric, or on an expression over several. With queries, metric, namespace,
// statistic, dimensions, unit and period are theirs.
type Alarm struct {
	Name       *string           `yaml:"name"` // in AWS, when it is not `<group>|<policy>|<metric>`, or with queries the id of the one that returns
	Namespace  *string           `yaml:"namespace"`
	Metric     *string           `yaml:"metric"`
	Statistic  *string           `yaml:"statistic"`
	Dimensions map[string]string `yaml:"dimensions"` // the group when absent
	Comparison *string           `yaml:"comparison"` // > < >= <=
	Threshold  *float64          `yaml:"threshold"`
	Period     *int              `yaml:"period"` // seconds
	Periods    *int              `yaml:"evaluation_periods"`
	Datapoints *int              `yaml:"datapoints"`
	Missing    *string           `yaml:"missing"` // breaching, notBreaching, ignore or missing
	Unit       *string           `yaml:"unit"`
	Queries    []Query           `yaml:"queries"`
	Policy     *string           `yaml:"policy"`
}

// Schedule is a scheduled action.
type Schedule struct {
	Cron     *string `yaml:"cron"`      // five fields
	TimeZone *string `yaml:"time_zone"` // IANA name; UTC when absent
	Start    *string `yaml:"start"`     // RFC 3339
	End      *string `yaml:"end"`       // RFC 3339
	Min      *int    `yaml:"min"`
	Max      *int    `yaml:"max"`
	Desired  *int    `yaml:"desired"`

	Hours *Hours `yaml:"hours" aws:"-" doc:"hours of days in place of cron; becomes two scheduled actions"`
}

// Hook is a lifecycle hook.
type Hook struct {
	On       *string `yaml:"on"` // launching or terminating
	Timeout  *int    `yaml:"timeout"`
	Default  *string `yaml:"default"` // CONTINUE or ABANDON
	Topic    *string `yaml:"topic"`   // ARN of a topic or a queue
	Role     *string `yaml:"role"`    // ARN
	Metadata *string `yaml:"metadata"`
}
