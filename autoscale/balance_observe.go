package autoscale

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/fault"
)

// BalanceTag is the tag on a backstop group in which one look leaves to the
// next what BalanceState holds. It outlives the process that wrote it, and two
// that look after the same group share it.
const BalanceTag = "bakehouse:balance"

// BalanceGroupsAPI is the part of Auto Scaling that balancing needs.
type BalanceGroupsAPI interface {
	DescribeAutoScalingGroups(context.Context, *as.DescribeAutoScalingGroupsInput, ...func(*as.Options)) (*as.DescribeAutoScalingGroupsOutput, error)
	SetDesiredCapacity(context.Context, *as.SetDesiredCapacityInput, ...func(*as.Options)) (*as.SetDesiredCapacityOutput, error)
	CreateOrUpdateTags(context.Context, *as.CreateOrUpdateTagsInput, ...func(*as.Options)) (*as.CreateOrUpdateTagsOutput, error)
}

// BalanceSpotAPI is the part of EC2 that tells of interruptions.
type BalanceSpotAPI interface {
	DescribeSpotInstanceRequests(context.Context, *ec2.DescribeSpotInstanceRequestsInput, ...func(*ec2.Options)) (*ec2.DescribeSpotInstanceRequestsOutput, error)
}

// BalanceWorld is what balancing needs of AWS.
type BalanceWorld struct {
	Groups BalanceGroupsAPI
	Spot   BalanceSpotAPI
	Now    func() time.Time
	// AtRisk names instances that EC2 recommends to replace; nil knows of none.
	AtRisk func(instanceID string) bool
}

// BalancePair is a written group of mode backstop and its two halves in AWS.
type BalancePair struct {
	Group    string
	Spot     string
	Backstop string
	TotalMax int // the written max
	Spare    time.Duration
}

// BalancePairs lists the groups of a file that balancing looks after, in
// order. A file without one is an error.
func BalancePairs(s Spec) ([]BalancePair, error) {
	var out []BalancePair
	for _, name := range s.Names() {
		if g := s.Groups[name]; g.mode() == BackstopMode {
			out = append(out, BalancePair{name, name, name + BackstopSuffix, val(g.Capacity.Max), BalanceSpare(g)})
		}
	}
	if len(out) == 0 {
		return nil, fault.Newf(fault.Usage, "give a group capacity.mode: backstop", "balancing: the file has no group of mode backstop")
	}
	return out, nil
}

// BalanceSpare is how long the alarm of a written group's backstop lets an
// excess stand: as long as it takes to be sure of it.
func BalanceSpare(g Group) time.Duration {
	b := val(val(g.Capacity).Backstop).settled()
	return time.Duration(*b.Period**b.DownAfter) * time.Second
}

// BalanceSeen is one pair as AWS has it.
type BalanceSeen struct {
	Pair  BalancePair
	View  BalanceView
	State BalanceState
	Notes []string // what keeps a decision from having its effect

	tag string // as it is
}

// BalanceObserve reads all pairs: the groups in pages of a hundred, and the
// spot requests of their instances, which is where an interruption notice
// shows. It writes nothing.
func BalanceObserve(ctx context.Context, w BalanceWorld, pairs []BalancePair) ([]BalanceSeen, error) {
	groups, err := balanceGroups(ctx, w, pairs)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, p := range pairs {
		for _, name := range []string{p.Spot, p.Backstop} {
			if _, ok := groups[name]; !ok {
				return nil, fault.Newf(fault.Check, "make it first: autoscalectl apply", "balancing %s: there is no group %s in AWS", p.Group, name)
			}
		}
		for _, i := range groups[p.Spot].Instances {
			ids = append(ids, val(i.InstanceId))
		}
	}
	noticed, err := interrupted(ctx, w, ids)
	if err != nil {
		return nil, err
	}
	var out []BalanceSeen
	for _, p := range pairs {
		out = append(out, seen(p, groups, told{noticed, w.AtRisk}, w.Now()))
	}
	return out, nil
}

func balanceGroups(ctx context.Context, w BalanceWorld, pairs []BalancePair) (map[string]astypes.AutoScalingGroup, error) {
	var names []string
	for _, p := range pairs {
		names = append(names, p.Spot, p.Backstop)
	}
	return rawGroups(ctx, w.Groups, names)
}

// interrupted lists which of the instances are under an interruption notice, or
// already taken, by the status of their spot requests
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html).
// Instances without a request are on demand.
func interrupted(ctx context.Context, w BalanceWorld, ids []string) (map[string]bool, error) {
	out := map[string]bool{}
	for chunk := range slices.Chunk(ids, pageSize) {
		in := &ec2.DescribeSpotInstanceRequestsInput{Filters: []ec2types.Filter{{Name: ptr("instance-id"), Values: chunk}}}
		for pages := ec2.NewDescribeSpotInstanceRequestsPaginator(w.Spot, in); pages.HasMorePages(); {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, refused("reading spot requests", err)
			}
			for _, r := range page.SpotInstanceRequests {
				if r.Status == nil {
					continue
				}
				code := val(r.Status.Code)
				for _, begin := range []string{"marked-for-", "instance-terminated-", "instance-stopped-"} {
					if strings.HasPrefix(code, begin) {
						out[val(r.InstanceId)] = true
					}
				}
			}
		}
	}
	return out, nil
}

// told is what EC2 says will become of instances.
type told struct {
	noticed map[string]bool      // under an interruption notice, or taken
	atRisk  func(id string) bool // recommended to be replaced; nil: none
}

// seen turns the two halves of a pair into what a decision looks at.
func seen(p BalancePair, groups map[string]astypes.AutoScalingGroup, of told, now time.Time) BalanceSeen {
	spot, backstop := groups[p.Spot], groups[p.Backstop]
	s := BalanceSeen{Pair: p, View: BalanceView{At: now, Target: int(val(spot.DesiredCapacity)), Desired: int(val(backstop.DesiredCapacity)),
		Min: int(val(backstop.MinSize)), Max: int(val(backstop.MaxSize)), TotalMax: p.TotalMax, Spare: p.Spare}}
	for _, i := range spot.Instances {
		id := val(i.InstanceId)
		s.View.Spot.add(i, of.noticed[id], of.atRisk != nil && of.atRisk(id))
	}
	for _, t := range backstop.Tags {
		if val(t.Key) == BalanceTag {
			s.tag = val(t.Value)
			s.State = parseBalanceState(s.tag)
		}
	}
	for _, process := range backstop.SuspendedProcesses {
		if name := val(process.ProcessName); name == "Launch" || name == "Terminate" {
			s.Notes = append(s.Notes, fmt.Sprintf("%s is suspended for %s: its size will not follow", name, p.Backstop))
		}
	}
	if status := val(backstop.Status); status != "" {
		s.Notes = append(s.Notes, fmt.Sprintf("%s is being deleted (%s)", p.Backstop, status))
	}
	return s
}

// add counts an instance by its lifecycle state
// (docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html).
// Those on standby, detached or in a warm pool are no part of desired capacity.
func (c *BalanceCount) add(i astypes.Instance, noticed, atRisk bool) {
	weight := 1
	if n, err := strconv.Atoi(val(i.WeightedCapacity)); err == nil && n > 0 {
		weight = n
	}
	state := string(i.LifecycleState)
	ill := noticed || strings.EqualFold(val(i.HealthStatus), "Unhealthy")
	switch {
	case strings.HasPrefix(state, "Terminating"), strings.HasPrefix(state, "Quarantined"):
		c.Leaving += weight
	case state != "InService" && !strings.HasPrefix(state, "Pending"):
	case ill:
		c.Leaving += weight
	case state == "InService":
		c.InService += weight
		if atRisk {
			c.AtRisk += weight
		}
	default:
		c.Starting += weight
	}
}

// text writes s as the tag's value: words that a tag of a group may hold.
func (s BalanceState) text() string {
	if !s.Known {
		return ""
	}
	words := []string{"covered=" + strconv.Itoa(s.Covered)}
	if !s.Grew.IsZero() {
		words = append(words, "grew="+s.Grew.UTC().Format(time.RFC3339))
	}
	if !s.Since.IsZero() {
		words = append(words, "since="+s.Since.UTC().Format(time.RFC3339), "floor="+strconv.Itoa(s.Floor))
	}
	if !s.Risky.IsZero() {
		words = append(words, "risky="+s.Risky.UTC().Format(time.RFC3339))
	}
	return strings.Join(words, " ")
}

// parseBalanceState reads what text writes. What it cannot read it does not
// know, which is the safe side: nothing shrinks for a hold time.
func parseBalanceState(text string) BalanceState {
	var s BalanceState
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		n, nerr := strconv.Atoi(value)
		at, terr := time.Parse(time.RFC3339, value)
		switch {
		case key == "covered" && nerr == nil:
			s.Known, s.Covered = true, n
		case key == "floor" && nerr == nil:
			s.Floor = n
		case key == "grew" && terr == nil:
			s.Grew = at
		case key == "since" && terr == nil:
			s.Since = at
		case key == "risky" && terr == nil:
			s.Risky = at
		default:
			return BalanceState{}
		}
	}
	return s
}
