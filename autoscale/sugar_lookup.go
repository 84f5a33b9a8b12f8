package autoscale

import (
	"context"
	"maps"
	"slices"
	"strings"

	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"bakehouse/internal/fault"
)

// Target is a target group with the load balancer that sends it traffic, in
// the form that CloudWatch's dimensions have.
type Target struct {
	Group        string // targetgroup/NAME/ID
	LoadBalancer string // app/NAME/ID; "" when no application load balancer uses it
}

// label is the resource label of ALBRequestCountPerTarget.
func (t Target) label() string { return t.LoadBalancer + "/" + t.Group }

// looksUp says that g has a label or a dimension to look up.
func (g Group) looksUp() bool {
	for _, p := range g.Policies {
		if p.Track != nil && strings.HasPrefix(val(p.Track.Label), lookup) {
			return true
		}
	}
	return slices.ContainsFunc(g.sources(""), func(s source) bool { return s.query.looksUp() })
}

func (q Query) looksUp() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(q.Dimensions)), func(v string) bool { return strings.HasPrefix(v, lookup) })
}

// targets reads all target groups when a file looks one up. Asking for some
// by name would fail whole for one that is not there.
func (r reader) targets(ctx context.Context) error {
	if !slices.ContainsFunc(slices.Collect(maps.Values(r.s.Groups)), Group.looksUp) {
		return nil
	}
	for pages := elbv2.NewDescribeTargetGroupsPaginator(r.w.Balancers, &elbv2.DescribeTargetGroupsInput{PageSize: ptr(int32(400))}); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, g := range out.TargetGroups {
			t := Target{Group: val(g.TargetGroupArn)[strings.LastIndexByte(val(g.TargetGroupArn), ':')+1:]}
			for _, arn := range g.LoadBalancerArns {
				if _, rest, ok := strings.Cut(arn, ":loadbalancer/"); ok && strings.HasPrefix(rest, "app/") {
					t.LoadBalancer = rest
				}
			}
			r.o.Targets[val(g.TargetGroupName)], r.o.Targets[val(g.TargetGroupArn)] = t, t
		}
	}
	return nil
}

// lookUp puts load balancers' names where the file says lookup.
func (d *differ) lookUp() error {
	if !d.want.looksUp() {
		return nil
	}
	var first error
	find := func(text string) (t Target, asked bool) {
		name, asked := strings.CutPrefix(text, lookup)
		if !asked {
			return t, false
		}
		t, there := d.o.Targets[name]
		switch {
		case first != nil:
		case !there:
			first = fault.Newf(fault.Check, "name a target group of this region", "planning %s: there is no target group %s", d.name, name)
		case t.LoadBalancer == "":
			first = fault.Newf(fault.Check, "attach it to an application load balancer first", "planning %s: no application load balancer sends requests to target group %s", d.name, name)
		}
		return t, true
	}
	d.want = d.want.mapped(find)
	return first
}

// mapped is g with what find knows in place of each lookup.
func (g Group) mapped(find func(string) (Target, bool)) Group {
	policies, alarms := maps.Clone(g.Policies), maps.Clone(g.Alarms)
	for key, p := range policies {
		if p.Track == nil {
			continue
		}
		t := *p.Track
		if at, asked := find(val(t.Label)); asked {
			t.Label = ptr(at.label())
		}
		t.Dimensions, t.Queries = mappedDimensions(t.Dimensions, find), mappedQueries(t.Queries, find)
		p.Track = &t
		policies[key] = p
	}
	for key, a := range alarms {
		a.Dimensions, a.Queries = mappedDimensions(a.Dimensions, find), mappedQueries(a.Queries, find)
		alarms[key] = a
	}
	g.Policies, g.Alarms = policies, alarms
	return g
}

func mappedQueries(all []Query, find func(string) (Target, bool)) []Query {
	all = slices.Clone(all)
	for i := range all {
		all[i].Dimensions = mappedDimensions(all[i].Dimensions, find)
	}
	return all
}

func mappedDimensions(all map[string]string, find func(string) (Target, bool)) map[string]string {
	all = maps.Clone(all)
	for name, value := range all {
		t, asked := find(value)
		switch {
		case !asked:
		case name == "LoadBalancer":
			all[name] = t.LoadBalancer
		default:
			all[name] = t.Group
		}
	}
	return all
}
