package autoscale

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

// Silence is a metric without data in the last minutes.
type Silence struct {
	ID   string // of the metric, see Query.metricID
	Text string // what is known about it
}

// probeBack is how far a probe looks; metrics of AWS come every five minutes
// at the least.
const probeBack = 15 * time.Minute

// probeBatch is how many metrics GetMetricData takes at once.
const probeBatch = 500

// metricID is the same for queries of one metric.
func (q Query) metricID() string {
	return val(q.Namespace) + " " + val(q.Metric) + " " + q.dimensionText()
}

func (q Query) dimensionText() string {
	var dimensions []string
	for _, name := range slices.Sorted(maps.Keys(q.Dimensions)) {
		dimensions = append(dimensions, name+"="+q.Dimensions[name])
	}
	return "{" + strings.Join(dimensions, ", ") + "}"
}

// probes are the metrics worth asking for, by id: those that a file may have
// wrong. The metrics that AWS makes of each group are there once the group
// has instances, a load balancer that was looked up is the right one, and
// another account's may not be ours to read.
func (r reader) probes() map[string]Query {
	out := map[string]Query{}
	for _, name := range r.s.Names() {
		for _, s := range r.s.Groups[name].sources(name) {
			of, namespace := s.query.Dimensions[groupDimension], val(s.query.Namespace)
			_, there := r.o.Groups[of]
			if of != "" && (!there || namespace == groupNamespace || namespace == "AWS/EC2") || s.query.looksUp() || s.query.Account != nil {
				continue
			}
			out[s.query.metricID()] = s.query
		}
	}
	return out
}

// probe asks whether the metrics that policies and alarms read have data. It
// only ever leads to warnings: what cannot be asked is one, too.
func (r reader) probe(ctx context.Context) {
	wanted, known := r.probes(), map[string][]cwtypes.Metric{}
	for ids := range slices.Chunk(slices.Sorted(maps.Keys(wanted)), probeBatch) {
		silent, err := r.ask(ctx, ids, wanted)
		if err != nil {
			r.o.Silent = append(r.o.Silent, Silence{Text: "whether metrics have data could not be asked: " + err.Error()})
			return
		}
		for _, id := range silent {
			q := wanted[id]
			name := val(q.Namespace) + " " + val(q.Metric)
			if _, asked := known[name]; !asked && len(known) < explained {
				known[name] = r.named(ctx, q)
			}
			r.o.Silent = append(r.o.Silent, Silence{id, explain(q, known[name])})
		}
	}
}

// ask returns those of ids that have no data.
func (r reader) ask(ctx context.Context, ids []string, wanted map[string]Query) ([]string, error) {
	now := r.w.Now().UTC().Truncate(time.Minute)
	in := &cloudwatch.GetMetricDataInput{StartTime: ptr(now.Add(-probeBack)), EndTime: &now}
	for i, id := range ids {
		q := wanted[id]
		ask := cwtypes.MetricDataQuery{}
		toAWS(&Query{ID: ptr(fmt.Sprintf("m%d", i)), Namespace: q.Namespace, Metric: q.Metric, Dimensions: q.Dimensions, Statistic: ptr("SampleCount"), Period: ptr(300)}, &ask)
		in.MetricDataQueries = append(in.MetricDataQueries, ask)
	}
	loud := map[string]bool{}
	for pages := cloudwatch.NewGetMetricDataPaginator(r.w.Alarms, in); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, result := range out.MetricDataResults {
			loud[val(result.Id)] = loud[val(result.Id)] || len(result.Values) > 0
		}
	}
	var silent []string
	for i, id := range ids {
		if !loud[fmt.Sprintf("m%d", i)] {
			silent = append(silent, id)
		}
	}
	return silent, nil
}

// explained is for how many silent metrics their kin are looked up: whoever
// has more has another problem.
const explained = 5

// named lists metrics of q's name. A list that cannot be had, or is not whole,
// explains nothing.
func (r reader) named(ctx context.Context, q Query) []cwtypes.Metric {
	out, err := r.w.Alarms.ListMetrics(ctx, &cloudwatch.ListMetricsInput{Namespace: q.Namespace, MetricName: q.Metric})
	if err != nil || out.NextToken != nil {
		return nil
	}
	return out.Metrics
}

// explain compares q with the metrics of its name: other dimensions are the
// usual mistake.
func explain(q Query, known []cwtypes.Metric) string {
	text := fmt.Sprintf("no data in the last %d minutes", int(probeBack.Minutes()))
	var others []string
	for _, m := range known {
		one := Query{Namespace: m.Namespace, Metric: m.MetricName, Dimensions: map[string]string{}}
		for _, d := range m.Dimensions {
			one.Dimensions[val(d.Name)] = val(d.Value)
		}
		if one.metricID() == q.metricID() {
			return text + "; the metric exists"
		}
		others = append(others, one.dimensionText())
	}
	if len(others) == 0 {
		return text
	}
	slices.Sort(others)
	return fmt.Sprintf("%s; CloudWatch knows it with %s", text, strings.Join(others[:min(len(others), 3)], ", "))
}

// silent turns what the probe found into warnings, each where a group reads
// the metric.
func (o Observed) silent(s Spec) []Warning {
	var out []Warning
	texts := map[string]string{}
	for _, silence := range o.Silent {
		if silence.ID == "" {
			out = append(out, Warning{Group: "all", Key: "metrics", Text: silence.Text})
		}
		texts[silence.ID] = silence.Text
	}
	if len(texts) == 0 {
		return nil
	}
	for _, name := range s.Names() {
		said := map[string]bool{}
		for _, m := range s.Groups[name].sources(name) {
			id := m.query.metricID()
			if text, quiet := texts[id]; quiet && !said[m.key+id] {
				said[m.key+id] = true
				out = append(out, Warning{Group: name, Key: m.key, Text: id + ": " + text})
			}
		}
	}
	return out
}
