package autoscale

// Policy is a scaling policy: simple, step, target tracking or predictive by
// its fields.
type Policy struct {
	Name       *string  `yaml:"name" aws:"-" doc:"name in AWS, when it is not GROUP|POLICY"`
	Type       *string  `yaml:"type" aws:"AdjustmentType" one:"ChangeInCapacity|ExactCapacity|PercentChangeInCapacity" doc:"what an adjustment means, of simple and step policies"`
	Adjustment *int     `yaml:"adjustment" aws:"ScalingAdjustment" doc:"by how much, of a simple policy"`
	Cooldown   *int     `yaml:"cooldown" aws:"Cooldown" doc:"seconds until the next activity, of a simple policy"`
	Steps      []Step   `yaml:"steps" aws:"StepAdjustments" doc:"adjustments by how far the alarm's threshold is passed, of a step policy"`
	Aggregate  *string  `yaml:"aggregate" aws:"MetricAggregationType" one:"Average|Minimum|Maximum" normal:"Average" doc:"of the metric of a step policy"`
	Magnitude  *int     `yaml:"min_magnitude" aws:"MinAdjustmentMagnitude" doc:"least number of instances of an adjustment in percent"`
	Warmup     *int     `yaml:"warmup" aws:"EstimatedInstanceWarmup" doc:"seconds until a new instance counts, of step and target tracking policies"`
	Enabled    *bool    `yaml:"enabled" aws:"Enabled" normal:"true" doc:"whether the policy acts"`
	Track      *Track   `yaml:"track" aws:"TargetTrackingConfiguration" doc:"target tracking: keep a metric at a value"`
	Predict    *Predict `yaml:"predict" aws:"PredictiveScalingConfiguration" doc:"predictive scaling: be ready for the load of past days and weeks"`

	Queue    *Queue    `yaml:"queue" aws:"-" doc:"keep the time that messages wait in an SQS queue acceptable; becomes target tracking"`
	Requests *Requests `yaml:"requests_per_target" aws:"-" doc:"keep the requests per instance of a target group at a number; becomes target tracking"`
	Latency  *Latency  `yaml:"latency" aws:"-" doc:"add instances when a load balancer's targets answer slowly; becomes two step policies"`
}

// Step is one interval of a step policy; bounds are relative to the alarm's
// threshold, and a nil bound is infinite.
type Step struct {
	From       *float64 `yaml:"from" aws:"MetricIntervalLowerBound" doc:"lower bound, relative to the alarm's threshold; open when absent"`
	To         *float64 `yaml:"to" aws:"MetricIntervalUpperBound" doc:"upper bound, relative to the alarm's threshold; open when absent"`
	Adjustment *int     `yaml:"adjustment" aws:"ScalingAdjustment" doc:"by how much"`
}

// Track is a target tracking configuration on a predefined metric, one metric
// of CloudWatch, or an expression over several.
type Track struct {
	Target         *float64          `yaml:"target" aws:"TargetValue" doc:"value to keep the metric at"`
	Predefined     *string           `yaml:"predefined" aws:"PredefinedMetricSpecification.PredefinedMetricType" doc:"a metric that AWS knows"`
	Label          *string           `yaml:"label" aws:"PredefinedMetricSpecification.ResourceLabel" doc:"load balancer and target group of ALBRequestCountPerTarget: app/NAME/ID/targetgroup/NAME/ID"`
	Namespace      *string           `yaml:"namespace" aws:"CustomizedMetricSpecification.Namespace" doc:"namespace of a metric of CloudWatch"`
	Metric         *string           `yaml:"metric" aws:"CustomizedMetricSpecification.MetricName" doc:"name of a metric of CloudWatch"`
	Dimensions     map[string]string `yaml:"dimensions" aws:"CustomizedMetricSpecification.Dimensions" doc:"dimensions of the metric"`
	Statistic      *string           `yaml:"statistic" aws:"CustomizedMetricSpecification.Statistic" doc:"statistic of the metric"`
	Unit           *string           `yaml:"unit" aws:"CustomizedMetricSpecification.Unit" doc:"unit of the metric"`
	Period         *int              `yaml:"period" aws:"CustomizedMetricSpecification.Period" doc:"seconds: 10, 30 or 60"`
	Queries        []Query           `yaml:"queries" aws:"CustomizedMetricSpecification.Metrics" doc:"metric math; exactly one query returns data"`
	DisableScaleIn *bool             `yaml:"disable_scale_in" aws:"DisableScaleIn" normal:"false" doc:"the policy only adds instances"`
}

// Predict is a predictive scaling configuration: either a pair of metrics that
// belong together, or a load metric and a scaling metric.
type Predict struct {
	Mode            *string  `yaml:"mode" aws:"Mode" normal:"ForecastOnly" doc:"whether the forecast moves capacity or is only made"`
	Target          *float64 `yaml:"target" aws:"MetricSpecifications[0].TargetValue" doc:"value to keep the scaling metric at"`
	Pair            *string  `yaml:"pair" aws:"MetricSpecifications[0].PredefinedMetricPairSpecification.PredefinedMetricType" doc:"load and scaling metric in one word"`
	PairLabel       *string  `yaml:"pair_label" aws:"MetricSpecifications[0].PredefinedMetricPairSpecification.ResourceLabel" doc:"label of ALBRequestCount"`
	Load            *string  `yaml:"load" aws:"MetricSpecifications[0].PredefinedLoadMetricSpecification.PredefinedMetricType" doc:"load metric that AWS knows"`
	LoadLabel       *string  `yaml:"load_label" aws:"MetricSpecifications[0].PredefinedLoadMetricSpecification.ResourceLabel" doc:"label of ALBTargetGroupRequestCount"`
	LoadQueries     []Query  `yaml:"load_queries" aws:"MetricSpecifications[0].CustomizedLoadMetricSpecification.MetricDataQueries" doc:"load metric of your own"`
	Scaling         *string  `yaml:"scaling" aws:"MetricSpecifications[0].PredefinedScalingMetricSpecification.PredefinedMetricType" doc:"scaling metric that AWS knows"`
	ScalingLabel    *string  `yaml:"scaling_label" aws:"MetricSpecifications[0].PredefinedScalingMetricSpecification.ResourceLabel" doc:"label of ALBRequestCountPerTarget"`
	ScalingQueries  []Query  `yaml:"scaling_queries" aws:"MetricSpecifications[0].CustomizedScalingMetricSpecification.MetricDataQueries" doc:"scaling metric of your own"`
	CapacityQueries []Query  `yaml:"capacity_queries" aws:"MetricSpecifications[0].CustomizedCapacityMetricSpecification.MetricDataQueries" doc:"capacity metric, when load and scaling metric are your own"`
	Lead            *int     `yaml:"lead" aws:"SchedulingBufferTime" doc:"seconds before the hour at which instances are launched, 0 to 3600"`
	OverMax         *string  `yaml:"over_max" aws:"MaxCapacityBreachBehavior" normal:"HonorMaxCapacity" doc:"what happens when the forecast is over max"`
	OverMaxBuffer   *int     `yaml:"over_max_buffer" aws:"MaxCapacityBuffer" doc:"percent over the forecast that max may rise to, 0 to 100"`
}

// Query is one line of metric math: a metric, or an expression.
type Query struct {
	ID         *string           `yaml:"id" aws:"Id" doc:"name within the expressions"`
	Expression *string           `yaml:"expression" aws:"Expression" doc:"metric math over other queries"`
	Namespace  *string           `yaml:"namespace" aws:"MetricStat.Metric.Namespace" doc:"namespace of a metric"`
	Metric     *string           `yaml:"metric" aws:"MetricStat.Metric.MetricName" doc:"name of a metric"`
	Dimensions map[string]string `yaml:"dimensions" aws:"MetricStat.Metric.Dimensions" doc:"dimensions of the metric"`
	Statistic  *string           `yaml:"statistic" aws:"MetricStat.Stat" doc:"statistic of the metric"`
	Unit       *string           `yaml:"unit" aws:"MetricStat.Unit" doc:"unit of the metric"`
	Period     *int              `yaml:"period" aws:"MetricStat.Period|Period" doc:"seconds; not in predictive policies"`
	Label      *string           `yaml:"label" aws:"Label" doc:"any text"`
	Account    *string           `yaml:"account" aws:"AccountId" doc:"id of the account that has the metric; alarms only"`
	Return     *bool             `yaml:"return" aws:"ReturnData" normal:"true" doc:"whether its data is the result"`
}

// Alarm is a CloudWatch alarm that sets off a policy of its group, or tells
// somebody about the group.
type Alarm struct {
	Name        *string           `yaml:"name" aws:"-" doc:"name in AWS, when it is not GROUP|POLICY|METRIC"`
	Description *string           `yaml:"description" aws:"AlarmDescription" doc:"any text"`
	Enabled     *bool             `yaml:"enabled" aws:"ActionsEnabled" normal:"true" doc:"whether the alarm acts"`
	Namespace   *string           `yaml:"namespace" aws:"Namespace" doc:"namespace of the metric"`
	Metric      *string           `yaml:"metric" aws:"MetricName" doc:"name of the metric"`
	Statistic   *string           `yaml:"statistic" aws:"-" doc:"Average when absent, Sum, Minimum, Maximum, SampleCount, or an extended one such as p95"`
	Dimensions  map[string]string `yaml:"dimensions" aws:"Dimensions" doc:"dimensions of the metric; the group when absent"`
	Queries     []Query           `yaml:"queries" aws:"Metrics" doc:"metric math in place of a metric; exactly one query returns data"`
	Comparison  *string           `yaml:"comparison" aws:"-" doc:"> < >= or <=; of an anomaly band LessThanLowerOrGreaterThanUpperThreshold, LessThanLowerThreshold or GreaterThanUpperThreshold"`
	Threshold   *float64          `yaml:"threshold" aws:"Threshold" doc:"value to compare with"`
	Band        *string           `yaml:"threshold_query" aws:"ThresholdMetricId" doc:"id of the query with the anomaly band, in place of a threshold"`
	Period      *int              `yaml:"period" aws:"Period" doc:"seconds: 10, 20, 30 or a multiple of 60"`
	Periods     *int              `yaml:"evaluation_periods" aws:"EvaluationPeriods" doc:"periods that are looked at; 1 when absent"`
	Datapoints  *int              `yaml:"datapoints" aws:"DatapointsToAlarm" doc:"periods of these that must breach; all when absent"`
	Missing     *string           `yaml:"missing" aws:"TreatMissingData" one:"breaching|notBreaching|ignore|missing" normal:"missing" doc:"what a missing value means"`
	LowSamples  *string           `yaml:"low_samples" aws:"EvaluateLowSampleCountPercentile" one:"evaluate|ignore" normal:"evaluate" doc:"percentiles of few samples"`
	Unit        *string           `yaml:"unit" aws:"Unit" doc:"unit of the metric"`
	Window      *string           `yaml:"window" aws:"-" one:"sliding|wall-clock" normal:"sliding" doc:"whether periods begin at any time or at full ones"`
	WindowZone  *string           `yaml:"window_time_zone" aws:"-" doc:"time zone of a wall-clock window"`
	Warmup      *AlarmWarmup      `yaml:"warmup" aws:"WarmUpConfiguration" doc:"time after its making in which the alarm waits for data"`
	EventTags   *EventTags        `yaml:"event_tags" aws:"ActionConfiguration.AlarmTagsPropagation" doc:"which tags of the alarm its events carry"`
	Policy      *string           `yaml:"policy" aws:"-" doc:"key of the policy that it sets off; none where it only tells somebody"`
	Actions     []string          `yaml:"actions" aws:"-" doc:"ARNs, such as those of SNS topics, of what else happens when it goes off"`
	OKActions   []string          `yaml:"ok_actions" aws:"OKActions" doc:"ARNs of what happens when all is well again"`
	NoData      []string          `yaml:"no_data_actions" aws:"InsufficientDataActions" doc:"ARNs of what happens when there is no data"`
	Tags        map[string]string `yaml:"tags" aws:"-" doc:"tags of the alarm"`
}

// AlarmWarmup is the time after its making in which an alarm waits for data.
type AlarmWarmup struct {
	Minutes *int  `yaml:"minutes" aws:"WarmUpPeriodDurationInMinutes" doc:"how long"`
	Whole   *bool `yaml:"whole" aws:"OnlyStartEvaluatingAfterWarmUpPeriodEnds" normal:"false" doc:"wait to the end even when there is data"`
}

// EventTags says which tags of an alarm its events carry.
type EventTags struct {
	Enabled *bool    `yaml:"enabled" aws:"Enabled" normal:"false" doc:"events carry tags"`
	Include []string `yaml:"include" aws:"IncludedTagKeys" doc:"only these keys"`
	Exclude []string `yaml:"exclude" aws:"ExcludedTagKeys" doc:"all but these keys"`
}
