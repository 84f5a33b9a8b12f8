package autoscale

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

func warnings(all []Warning) string {
	var out []string
	for _, w := range all {
		out = append(out, w.String())
	}
	return strings.Join(out, "\n")
}

func TestWhatIsValidAndCannotWorkIsSaid(t *testing.T) {
	t.Parallel()
	track := func(text string) string { return "policies: {p: {track: {target: 1, " + text + "}}}" }
	sqs := "namespace: AWS/SQS, metric: ApproximateNumberOfMessagesVisible, dimensions: {QueueName: q}, statistic: Sum"
	running := ", {id: n, namespace: AWS/AutoScaling, metric: GroupInServiceInstances, dimensions: {AutoScalingGroupName: web}, statistic: Sum, return: false}"
	alarm := func(text string) string {
		return "policies: {p: {type: ExactCapacity, adjustment: 1}}, alarms: {a: {comparison: '>', threshold: 1, policy: p, " + text + "}}"
	}
	for text, want := range map[string]string{
		track("namespace: AWS/ApplicationELB, metric: TargetResponseTime, dimensions: {LoadBalancer: app/a/1}"): "autoscale.yaml:4:24: warning: web: policies.p.track: TargetResponseTime does not move in proportion to capacity",
		track(sqs): "ApproximateNumberOfMessagesVisible does not fall when capacity rises",
		track("namespace: AWS/ApplicationELB, metric: RequestCount, dimensions: {LoadBalancer: app/a/1}"):                   "RequestCount does not fall when capacity rises",
		track("namespace: AWS/ApplicationELB, metric: RequestCountPerTarget"):                                               "has no dimension LoadBalancer or TargetGroup",
		"capacity: {min: 0}, " + track("queries: [{id: m, "+sqs+", return: false}"+running+", {id: e, expression: m / n}]"): "has no value while the group is empty",
		"launch: {type: t3.small}, " + alarm("namespace: AWS/EC2, metric: CPUUtilization, period: 60"):                      "CPUUtilization comes every 300 s without detailed monitoring",
		alarm("namespace: AWS/EC2, metric: CPUUtilization, period: 300, dimensions: {}"):                                    "it is not about this group",
		"launch: {type: t3.small}, " + track("predefined: ASGAverageCPUUtilization"):                                        "ASGAverageCPUUtilization comes every 300 s without detailed monitoring",
		alarm("namespace: AWS/SQS, metric: NumberOfMessagesSent, period: 30, dimensions: {QueueName: q}"):                   "comes once a minute at best",
		"launch: {image: role:web}, hooks: {up: {on: launching}}":                                                           "4:36: warning: web: hooks: boot-agent in the image answers hooks only where",
		"mixed: {types: [a, b]}": "left out, AWS means 100, which buys no spot",
		"capacity: {mode: mixed}, mixed: {on_demand_percentage: 100}":                                 "100 buys no spot, which mode mixed is for",
		"capacity: {mode: mixed}, mixed: {types: [a, b]}, network: {zones: [us-east-1a, us-east-1b]}": "4 spot pools (instance types × zones)",
		"capacity: {mode: mixed, max: 4, desired: initial:4}":                                         "4:33: warning: web: capacity.max: max equals what is wanted",
		"capacity: {mode: mixed, max: 4, on_demand_base: 4}":                                          "the base is all of max",
		"mixed: {on_demand_percentage: 0, spot_strategy: lowest-price}":                               "lowest-price buys from the pools that are taken back soonest",
		"mixed: {on_demand_percentage: 20}":                                                           "a spot instance is replaced only after it is gone",
		"capacity: {headroom: 20}, " + alarm("namespace: n, metric: m, period: 60"):                   "it does not reach policy p",
		"capacity: {min: 1, max: 9}, metrics: [], " + jobs:                                            "GroupInServiceInstances is collected, too",
	} {
		s := mustParse(t, web(text))
		if got := warnings(s.Warnings); !strings.Contains(got, want) {
			t.Errorf("%s: got %s, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		track("predefined: ASGAverageCPUUtilization"),
		"capacity: {min: 0}, " + track("queries: [{id: m, "+sqs+", return: false}"+running+", {id: e, expression: \"m / IF(n > 0, n, 1)\"}]"),
		"capacity: {min: 0, max: 9}, " + jobs,
		"launch: {image: role:web, metadata: {tags: enabled}}, hooks: {up: {on: launching}}",
		"launch: {image: ami-1}, hooks: {up: {on: launching}}",
		"launch: {type: t3.small, monitoring: true}, " + alarm("namespace: AWS/EC2, metric: CPUUtilization, period: 60"),
		"capacity: {mode: mixed, max: 4, desired: initial:2}, mixed: {types: [a, b, c, d, e]}, network: {zones: [us-east-1a, us-east-1b]}",
	} {
		if s := mustParse(t, web(text)); len(s.Warnings) != 0 {
			t.Errorf("%s: %s", text, warnings(s.Warnings))
		}
	}
}

func TestAFileOf2013KeepsTheMonitoringOfItsTime(t *testing.T) {
	t.Parallel()
	s := mustParse(t, old)
	if m := s.Groups["web"].Launch.Monitoring; m == nil || !*m || len(s.Warnings) != 0 {
		t.Errorf("alarms each minute on data every five: monitoring %v, %s", m, warnings(s.Warnings))
	}
}

// gauges is CloudWatch with data for some metrics.
type gauges struct {
	AlarmsAPI
	loud  []string // ids, see Query.metricID
	known []cwtypes.Metric
	calls int
	err   error
}

func (g *gauges) GetMetricData(_ context.Context, in *cloudwatch.GetMetricDataInput, _ ...func(*cloudwatch.Options)) (*cloudwatch.GetMetricDataOutput, error) {
	g.calls++
	out := &cloudwatch.GetMetricDataOutput{}
	for _, q := range in.MetricDataQueries {
		var one Query
		fromAWS(q, &one)
		result := cwtypes.MetricDataResult{Id: q.Id}
		for _, id := range g.loud {
			if id == one.metricID() {
				result.Values = []float64{1}
			}
		}
		out.MetricDataResults = append(out.MetricDataResults, result)
	}
	return out, g.err
}

func (g *gauges) ListMetrics(context.Context, *cloudwatch.ListMetricsInput, ...func(*cloudwatch.Options)) (*cloudwatch.ListMetricsOutput, error) {
	g.calls++
	return &cloudwatch.ListMetricsOutput{Metrics: g.known}, nil
}

func TestMetricsWithoutDataAreSaid(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	g := &gauges{AlarmsAPI: c.w.Alarms, known: []cwtypes.Metric{{Namespace: ptr("Shop"), MetricName: ptr("Orders"), Dimensions: []cwtypes.Dimension{{Name: ptr("Shop"), Value: ptr("1")}}}}}
	c.w.Alarms = g
	file := strings.Replace(base, "    network", "    policies: {p: {track: {target: 5, namespace: Shop, metric: Orders, dimensions: {shop: '1'}, statistic: Sum}}}\n    network", 1)
	p, _ := c.plan(mustParse(t, file))
	if got := warnings(p.Warnings); got != "warning: web: policies.p.track: Shop Orders {shop=1}: no data in the last 15 minutes; CloudWatch knows it with {Shop=1}" {
		t.Errorf("got %s", got)
	}
	g.loud = []string{"Shop Orders {shop=1}"}
	if p, _ := c.plan(mustParse(t, file)); len(p.Warnings) != 0 {
		t.Errorf("a metric with data: %s", warnings(p.Warnings))
	}
	g.err = fmt.Errorf("AccessDenied")
	if p, _ := c.plan(mustParse(t, file)); !strings.Contains(warnings(p.Warnings), "could not be asked: AccessDenied") || len(p.Changes) == 0 {
		t.Errorf("without the right to ask: %s, %d changes", warnings(p.Warnings), len(p.Changes))
	}
}

func TestProbesGrowWithPagesNotWithMetrics(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	g := &gauges{AlarmsAPI: c.w.Alarms}
	c.w.Alarms = g
	var b strings.Builder
	b.WriteString("version: 2\nregion: us-east-1\ngroups:\n")
	for i := range 600 {
		fmt.Fprintf(&b, "  g%d: {policies: {p: {track: {target: 5, namespace: Shop, metric: Orders%d, statistic: Sum}}}}\n", i, i)
	}
	if o := c.observe(mustParse(t, b.String())); len(o.Silent) != 600 || g.calls != 2+explained {
		t.Errorf("%d silent metrics in %d calls", len(o.Silent), g.calls)
	}
}
