package autoscale

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// Queue scales by how long messages wait: the messages that one unit of
// capacity may have waiting are the acceptable seconds divided by the seconds
// that a message takes it.
type Queue struct {
	Name           *string  `yaml:"name" aws:"-" doc:"name of the queue"`
	URL            *string  `yaml:"url" aws:"-" doc:"URL of the queue, in place of its name"`
	ARN            *string  `yaml:"arn" aws:"-" doc:"ARN of the queue, in place of its name"`
	Latency        *float64 `yaml:"latency" aws:"-" doc:"seconds that a message may wait"`
	PerMessage     *float64 `yaml:"seconds_per_message" aws:"-" doc:"seconds that an instance takes per message, all its workers together; with weights, that one unit takes"`
	DisableScaleIn *bool    `yaml:"disable_scale_in" aws:"-" doc:"the policy only adds instances"`
}

// Requests scales by the requests that an application load balancer sends to
// each instance within a minute.
type Requests struct {
	Target         *float64 `yaml:"target" aws:"-" doc:"requests a minute for each instance"`
	TargetGroup    *string  `yaml:"target_group" aws:"-" doc:"name or ARN of the target group; the group's only one when absent"`
	DisableScaleIn *bool    `yaml:"disable_scale_in" aws:"-" doc:"the policy only adds instances"`
}

// Latency scales by the seconds that targets of an application load balancer
// take to answer.
type Latency struct {
	Target       *float64 `yaml:"target" aws:"-" doc:"seconds to answer that are just acceptable"`
	Statistic    *string  `yaml:"statistic" aws:"-" doc:"Average when absent, or a percentile such as p90"`
	After        *int     `yaml:"after" aws:"-" doc:"minutes over the target before instances are added; 3 when absent"`
	Relaxed      *float64 `yaml:"relaxed" aws:"-" doc:"seconds below which an instance is taken away; half the target when absent, 0 for never"`
	RelaxedAfter *int     `yaml:"relaxed_after" aws:"-" doc:"minutes below it before one is taken away; 15 when absent"`
	TargetGroup  *string  `yaml:"target_group" aws:"-" doc:"name or ARN of the target group; the group's only one when absent"`
}

// lookup begins a load balancer's label or dimension that is read from AWS
// when a plan is made; the target group's name or ARN follows.
const lookup = "lookup:"

// sugar names the short form that p is written in; "" for none.
func (p Policy) sugar() string {
	switch {
	case p.Queue != nil:
		return "queue"
	case p.Requests != nil:
		return "requests_per_target"
	case p.Latency != nil:
		return "latency"
	}
	return ""
}

// sugared is g with its short forms written out.
func (g Group) sugared(name string) Group {
	if slices.ContainsFunc(slices.Collect(maps.Values(g.Policies)), func(p Policy) bool { return p.sugar() != "" }) {
		policies, alarms := map[string]Policy{}, maps.Clone(g.Alarms)
		for key, p := range g.Policies {
			more, watch := g.sweetened(name, key, p)
			maps.Copy(policies, more)
			if len(watch) > 0 && alarms == nil {
				alarms = map[string]Alarm{}
			}
			maps.Copy(alarms, watch)
		}
		g.Policies, g.Alarms = policies, alarms
	}
	g.Schedules = g.hours()
	return g
}

// sweetened is what one policy stands for.
func (g Group) sweetened(group, key string, p Policy) (map[string]Policy, map[string]Alarm) {
	out := Policy{Name: p.Name, Warmup: p.Warmup, Enabled: p.Enabled}
	switch p.sugar() {
	case "queue":
		out.Track = g.queueTrack(group, *p.Queue)
		policies := map[string]Policy{key: out}
		wake, needed := g.wake(group, key+"-wake", *p.Queue)
		if !needed {
			return policies, nil
		}
		policies[key+"-wake"] = Policy{Type: ptr("ChangeInCapacity"), Steps: []Step{{From: ptr(0.0), Adjustment: ptr(1)}}, Enabled: p.Enabled}
		return policies, map[string]Alarm{key + "-wake": wake}
	case "requests_per_target":
		out.Track = &Track{Target: p.Requests.Target, Predefined: ptr("ALBRequestCountPerTarget"),
			Label: ptr(lookup + g.targetGroup(p.Requests.TargetGroup)), DisableScaleIn: p.Requests.DisableScaleIn}
	case "latency":
		return g.latencySteps(key, p)
	default:
		return map[string]Policy{key: p}, nil
	}
	return map[string]Policy{key: out}, nil
}

// queueName is the name by any of its forms.
func (q Queue) queueName() string {
	if q.Name != nil {
		return *q.Name
	}
	whole := val(or(q.ARN, val(q.URL)))
	return whole[strings.LastIndexAny(whole, ":/")+1:]
}

// queueQueries are the messages that wait and the capacity in service, in the
// order in which expressions need them; each stands for a query that returns
// nothing.
func (g Group) queueQueries(group string, q Queue) []Query {
	metric := "GroupInServiceInstances"
	if g.mode() == BackstopMode || g.weighted() {
		metric = "GroupInServiceCapacity"
	}
	query := func(id, namespace, metric, dimension, value string) Query {
		return Query{ID: &id, Namespace: &namespace, Metric: &metric, Dimensions: map[string]string{dimension: value},
			Statistic: ptr("Average"), Period: ptr(60), Return: ptr(false)}
	}
	out := []Query{query("waiting", "AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", q.queueName()),
		query("running", groupNamespace, metric, groupDimension, group)}
	sum := "FILL(running, 0)"
	if g.mode() == BackstopMode { // both halves work on the queue
		out = append(out, query("standing", groupNamespace, metric, groupDimension, group+BackstopSuffix))
		sum += " + FILL(standing, 0)"
	}
	return append(out, Query{ID: ptr("workers"), Expression: &sum, Return: ptr(false)})
}

// queueTarget is how many messages may wait for each unit in service.
func (q Queue) queueTarget() float64 { return math.Round(*q.Latency / *q.PerMessage * 1000) / 1000 }

// perWorker is the messages for each unit in service, and all of them when
// there is none. A queue that has been idle for hours reports nothing, which
// is no message.
const perWorker = "FILL(waiting, 0) / IF(workers > 0, workers, 1)"

func (g Group) queueTrack(group string, q Queue) *Track {
	each := Query{ID: ptr("each"), Expression: ptr(perWorker), Return: ptr(true)}
	return &Track{Target: ptr(q.queueTarget()), Queries: append(g.queueQueries(group, q), each), DisableScaleIn: q.DisableScaleIn}
}

// wake goes off when messages wait and the group, which may be empty, is:
// target tracking multiplies what is there, and nothing times anything is
// nothing. Where a base works on the queue anyway, as many may wait as the
// target allows.
func (g Group) wake(group, key string, q Queue) (a Alarm, needed bool) {
	least, threshold := val(val(g.Capacity).Min), 1.0
	if base := val(val(g.Capacity).OnDemandBase); g.mode() == BackstopMode && base > 0 {
		least, threshold = least-base, q.queueTarget()
	}
	idle := Query{ID: ptr("idle"), Expression: ptr("IF(FILL(running, 0) < 1, " + perWorker + ", 0)"), Return: ptr(true)}
	return Alarm{Queries: append(g.queueQueries(group, q), idle), Comparison: ptr(">="), Threshold: &threshold, Periods: ptr(1),
		Missing: ptr("notBreaching"), Policy: &key}, least <= 0
}

// targetGroup is the one written, or the group's only one.
func (g Group) targetGroup(written *string) string {
	if b := val(g.Balancing); written == nil && len(b.TargetGroups) == 1 {
		return b.TargetGroups[0]
	}
	return val(written)
}

// latencySteps are a policy for slow answers and one for quick ones. The
// first adds a tenth, a fifth or two fifths of capacity as the target is
// passed by up to a half, up to its double, or further.
func (g Group) latencySteps(key string, p Policy) (map[string]Policy, map[string]Alarm) {
	l := *p.Latency
	half := *l.Target / 2
	up := Policy{Type: ptr("PercentChangeInCapacity"), Magnitude: ptr(1), Warmup: p.Warmup, Enabled: p.Enabled, Steps: []Step{
		{ptr(0.0), ptr(half), ptr(10)}, {ptr(half), l.Target, ptr(20)}, {l.Target, nil, ptr(40)}}}
	policies := map[string]Policy{key + "-up": up}
	alarms := map[string]Alarm{key + "-up": g.slow(key+"-up", l, ">=", *l.Target, *or(l.After, 3))}
	if relaxed := *or(l.Relaxed, half); relaxed > 0 {
		policies[key+"-down"] = Policy{Type: ptr("ChangeInCapacity"), Enabled: p.Enabled, Steps: []Step{{To: ptr(0.0), Adjustment: ptr(-1)}}}
		alarms[key+"-down"] = g.slow(key+"-down", l, "<", relaxed, *or(l.RelaxedAfter, 15))
	}
	return policies, alarms
}

// slow watches the response time. Nobody asking gives no data, and no reason
// for anything.
func (g Group) slow(policy string, l Latency, comparison string, threshold float64, minutes int) Alarm {
	at := ptr(lookup + g.targetGroup(l.TargetGroup))
	q := Query{ID: ptr("latency"), Namespace: ptr("AWS/ApplicationELB"), Metric: ptr("TargetResponseTime"), Statistic: or(l.Statistic, "Average"), Period: ptr(60),
		Dimensions: map[string]string{"LoadBalancer": *at, "TargetGroup": *at}, Return: ptr(true)}
	return Alarm{Queries: []Query{q}, Comparison: &comparison, Threshold: &threshold, Periods: &minutes, Missing: ptr("notBreaching"), Policy: &policy}
}

// weighted says that capacity is not counted in instances.
func (g Group) weighted() bool {
	units := val(g.Capacity).Units
	return units != nil && *units != "units" || slices.ContainsFunc(val(g.Mixed).Types, func(o Override) bool { return o.Weight != nil })
}
