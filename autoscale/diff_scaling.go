package autoscale

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// style tells policies apart that share no fields.
func (p Policy) style() string {
	switch {
	case p.Track != nil:
		return "TargetTrackingScaling"
	case p.Predict != nil:
		return "PredictiveScaling"
	case p.Steps != nil:
		return "StepScaling"
	}
	return "SimpleScaling"
}

// returning spells out which queries return data: AWS's own rules for none
// differ between policies and alarms.
func returning(all []Query) []Query {
	all = slices.Clone(all)
	for i, q := range all {
		all[i].Return = or(q.Return, true)
	}
	return all
}

// policyOver puts a file's policy over the one there is. Metrics of another
// kind are not taken over: AWS takes one kind.
func policyOver(have, want Policy) Policy {
	if have.style() != want.style() {
		return want
	}
	full := overlay(have, want)
	if t := want.Track; t != nil {
		track := *full.Track
		if t.kind() != have.Track.kind() {
			track = *t
			track.DisableScaleIn = full.Track.DisableScaleIn
		}
		track.Queries = returning(track.Queries)
		full.Track = &track
	}
	if p := want.Predict; p != nil {
		full.Predict = p.over(*full.Predict)
	}
	return full
}

// kind tells apart what a policy may track.
func (t Track) kind() string {
	switch {
	case t.Predefined != nil:
		return "predefined"
	case t.Queries != nil:
		return "queries"
	}
	return "metric"
}

// over clears in full, which is p over another configuration, what p excludes.
func (p Predict) over(full Predict) *Predict {
	if p.Pair != nil {
		full.Load, full.LoadLabel, full.LoadQueries, full.Scaling, full.ScalingLabel, full.ScalingQueries = p.Load, p.LoadLabel, p.LoadQueries, p.Scaling, p.ScalingLabel, p.ScalingQueries
	} else if p.Load != nil || p.LoadQueries != nil || p.Scaling != nil || p.ScalingQueries != nil {
		full.Pair, full.PairLabel = nil, nil
	}
	if p.Load != nil {
		full.LoadQueries = nil
	} else if p.LoadQueries != nil {
		full.Load, full.LoadLabel = nil, nil
	}
	if p.Scaling != nil {
		full.ScalingQueries = nil
	} else if p.ScalingQueries != nil {
		full.Scaling, full.ScalingLabel = nil, nil
	}
	full.LoadQueries, full.ScalingQueries, full.CapacityQueries = returning(full.LoadQueries), returning(full.ScalingQueries), returning(full.CapacityQueries)
	return &full
}

func (d *differ) policies() {
	have := map[string]Policy{} // by the name in AWS
	for key, p := range d.live.Policies {
		have[PolicyName(d.name, key, p)] = p
	}
	kept := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(d.want.Policies)) {
		want := d.want.Policies[key]
		name := PolicyName(d.name, key, want)
		kept[name] = true
		want.Name = nil
		live, there := have[name]
		live.Name = nil
		full := policyOver(live, want)
		f := compare("policies."+key, want, live)
		switch {
		case there && live.style() != want.style():
			d.anew[key] = true
			d.add(PutPolicy, name, "AWS does not change the kind of a policy: it is made anew", f, func(ctx context.Context, r *run) error {
				if err := r.deletePolicy(ctx, name); err != nil {
					return err
				}
				return r.putPolicy(ctx, name, full)
			})
		case !there || len(f) > 0:
			d.add(PutPolicy, name, reasonFor("policy", there), f, func(ctx context.Context, r *run) error { return r.putPolicy(ctx, name, full) })
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if d.want.Policies != nil && !kept[name] && d.sayable(have[name]) {
			f := reversed(compare("policies", have[name], nil))
			d.add(DeletePolicy, name, "the file does not have it", f, func(ctx context.Context, r *run) error { return r.deletePolicy(ctx, name) })
		}
	}
}

// sayable says that the file's format has words for p; what a format cannot
// say, a file in it does not take away.
func (d *differ) sayable(p Policy) bool { return d.spec.Version != 1 || p.style() == "SimpleScaling" }

// settled fills in what an alarm means when it does not say.
func (a Alarm) settled(group string) Alarm {
	a.Periods, a.Missing, a.Name = or(a.Periods, 1), or(a.Missing, "missing"), nil
	if a.Metric == nil {
		return a
	}
	a.Statistic = or(a.Statistic, "Average")
	if a.Dimensions == nil {
		a.Dimensions = map[string]string{"AutoScalingGroupName": group}
	}
	return a
}

// alarmOver puts a file's alarm over the one there is. What the file gives
// pushes out what it excludes.
func alarmOver(have, want Alarm) Alarm {
	full := overlay(have, want)
	if want.Queries != nil {
		full.Namespace, full.Metric, full.Statistic, full.Dimensions, full.Period, full.Unit = nil, nil, nil, nil, nil, nil
	} else if want.Metric != nil {
		full.Queries = nil
	}
	if want.Threshold != nil {
		full.Band = nil
	} else if want.Band != nil {
		full.Threshold = nil
	}
	full.Queries = returning(full.Queries)
	return full
}

func (d *differ) alarms() {
	have := map[string]Alarm{} // by the name in AWS
	for _, a := range d.live.Alarms {
		have[AlarmName(d.name, a)] = a
	}
	kept := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(d.want.Alarms)) {
		name := AlarmName(d.name, d.want.Alarms[key])
		want := d.want.Alarms[key].settled(d.name)
		kept[name] = true
		live, there := have[name]
		live.Name = nil
		f := compare("alarms."+key, want, live)
		anew := d.anew[val(want.Policy)]
		if there && len(f) == 0 && !anew {
			continue
		}
		reason := reasonFor("alarm", there)
		if there && len(f) == 0 {
			reason = "its policy is made anew, and the alarm has to set off the new one"
		}
		put := newAlarm{name: name, full: alarmOver(live, want), have: d.live.alarms[name], tags: want.Tags, had: live.Tags}
		if want.Policy != nil {
			put.policy = PolicyName(d.name, *want.Policy, d.want.Policies[*want.Policy])
		}
		if live.Policy != nil {
			put.instead = []string{d.live.PolicyARNs[PolicyName(d.name, *live.Policy, d.live.Policies[*live.Policy])]}
		}
		d.add(PutAlarm, name, reason, f, func(ctx context.Context, r *run) error { return r.putAlarm(ctx, put) })
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		switch {
		case d.want.Alarms == nil || kept[name] || !d.sayableAlarm(name, have[name]):
		case d.live.shared(d.name, name):
			d.release(name, have[name])
		default:
			f := reversed(compare("alarms", have[name], nil))
			d.add(DeleteAlarm, name, "the file does not have it", f, func(ctx context.Context, r *run) error { return r.deleteAlarm(ctx, name) })
		}
	}
}

// sayableAlarm is sayable for an alarm: 2013 had none without a policy.
func (d *differ) sayableAlarm(name string, a Alarm) bool {
	if a.Policy != nil {
		return d.sayable(d.live.Policies[*a.Policy])
	}
	return d.spec.Version != 1 || !strings.HasPrefix(name, d.name+"||")
}

// release takes the group's policies off an alarm that stays for another group.
func (d *differ) release(name string, live Alarm) {
	if live.Policy == nil {
		return
	}
	put := newAlarm{name: name, full: alarmOver(live, Alarm{}), have: d.live.alarms[name], instead: slices.Collect(maps.Values(d.live.PolicyARNs))}
	f := []Field{{Path: "alarms." + name + ".policy", Before: *live.Policy}}
	d.add(PutAlarm, name, "the file does not have it; it stays, as it sets off a policy of another group", f, func(ctx context.Context, r *run) error { return r.putAlarm(ctx, put) })
}
