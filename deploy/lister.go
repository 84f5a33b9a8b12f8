package deploy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// Chef is the part of the Chef server that choosing hosts needs; a
// *chefapi.Client has it.
type Chef interface {
	NodeNames(context.Context) ([]string, error)
	NodeAttributes(ctx context.Context, names []string, keys map[string][]string, add func(name string, values map[string]any)) (chefapi.Coverage, error)
	Node(ctx context.Context, name string) (chefapi.Node, error)
	SearchNodes(ctx context.Context, query string) ([]chefapi.Node, error)
}

// EC2 is the call of EC2 that choosing hosts makes.
type EC2 interface {
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
}

// AutoScaling is the call of Auto Scaling that choosing hosts makes.
type AutoScaling interface {
	DescribeAutoScalingInstances(context.Context, *autoscaling.DescribeAutoScalingInstancesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingInstancesOutput, error)
}

// Limits of one request: an EC2 filter takes 200 values, the other call 50 ids
// (https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingInstances.html).
const (
	filterValues = 200
	groupIDs     = 50
	groupTag     = "aws:autoscaling:groupName"
)

// Lister asks Chef, EC2 and Auto Scaling for hosts.
type Lister struct {
	Chef        Chef
	EC2         EC2
	AutoScaling AutoScaling
	Public      bool // reach hosts by their public address, not by the private one
}

// Choose takes the inventory and picks the hosts that w wants. An error of any
// of the services ends it: a view with holes is not a view.
func (l Lister) Choose(ctx context.Context, w Wish) (Selection, error) {
	inv, err := l.inventory(ctx, w)
	if err != nil {
		return Selection{}, fmt.Errorf("choosing hosts: %w", err)
	}
	return Choose(inv, w), nil
}

func (l Lister) inventory(ctx context.Context, w Wish) (Inventory, error) {
	inv := Inventory{}
	names, err := l.Chef.NodeNames(ctx)
	if err != nil {
		return inv, err
	}
	// The bulk of a node's JSON stays on the server: a few paths are asked for.
	keys := map[string][]string{"instance": {"bakehouse", "instance_id"}, "ec2": {"ec2", "instance_id"}, "role": {"bakehouse", "role"},
		"roles": {"roles"}, "environment": {"chef_environment"}, "keys": {"keys", "ssh"}}
	var blind []string // fetched one by one: attributes alone, without the environment
	cover, err := l.Chef.NodeAttributes(ctx, names, keys, func(name string, v map[string]any) {
		if v["environment"] == nil {
			blind = append(blind, name)
			return
		}
		inv.Nodes = append(inv.Nodes, nodeOf(name, v))
	})
	if err != nil {
		return inv, err
	}
	for _, name := range blind {
		n, err := l.whole(ctx, name)
		if errors.Is(err, chefapi.ErrNotFound) {
			continue
		}
		if err != nil {
			return inv, err
		}
		inv.Nodes = append(inv.Nodes, n)
	}
	inv.Coverage = cover.String()
	if got := cover.Searched + cover.Fetched + cover.Gone; got != cover.Names {
		return inv, fault.Newf(fault.Chef, "try again", "the Chef server lists %d nodes and shows %d of them", cover.Names, got)
	}
	if err := l.match(ctx, &inv, w); err != nil {
		return inv, err
	}
	return inv, l.instances(ctx, &inv, w)
}

// whole reads a node that the index does not know yet.
func (l Lister) whole(ctx context.Context, name string) (Node, error) {
	n, err := l.Chef.Node(ctx, name)
	if err != nil {
		return Node{}, err
	}
	v := map[string]any{"environment": n.Environment, "roles": n.Automatic["roles"]}
	if own, ok := n.Normal["bakehouse"].(map[string]any); ok {
		v["instance"], v["role"] = own["instance_id"], own["role"]
	}
	if own, ok := n.Automatic["ec2"].(map[string]any); ok {
		v["ec2"] = own["instance_id"]
	}
	if own, ok := n.Automatic["keys"].(map[string]any); ok {
		v["keys"] = own["ssh"]
	}
	return nodeOf(name, v), nil
}

// nodeOf reads what a node says of itself. The agent writes the marker
// attributes, Ohai the others, and a name that is an instance id is the last
// resort.
func nodeOf(name string, v map[string]any) Node {
	n := Node{Name: name, Environment: text(v["environment"]), HostKeys: hostKeys(v["keys"])}
	for _, id := range []string{text(v["instance"]), text(v["ec2"]), regexp.MustCompile(`i-[0-9a-f]{8,17}$`).FindString(name)} {
		if n.Instance == "" {
			n.Instance = id
		}
	}
	list, _ := v["roles"].([]any)
	for _, r := range append(list, v["role"]) {
		if role := text(r); role != "" && !slices.Contains(n.Roles, role) {
			n.Roles = append(n.Roles, role)
		}
	}
	return n
}

func text(v any) string { s, _ := v.(string); return s }

// hostKeys reads Ohai's keys.ssh: NAME_public holds the base64 of a key, and
// for ecdsa host_ecdsa_type says which curve.
func hostKeys(v any) []string {
	all, _ := v.(map[string]any)
	var out []string
	for _, k := range []struct{ attribute, kind string }{
		{"host_ed25519_public", "ssh-ed25519"}, {"host_ecdsa_public", text(all["host_ecdsa_type"])}, {"host_rsa_public", "ssh-rsa"}} {
		if key := text(all[k.attribute]); key != "" && k.kind != "" {
			out = append(out, k.kind+" "+key)
		}
	}
	return out
}

// match asks the query, which only the index can answer.
func (l Lister) match(ctx context.Context, inv *Inventory, w Wish) error {
	if w.Query == "" {
		return nil
	}
	found, err := l.Chef.SearchNodes(ctx, w.Query)
	if err != nil {
		return err
	}
	inv.Matched = map[string]bool{}
	for _, n := range found {
		inv.Matched[n.Name] = true
	}
	return nil
}

// instances looks up the instances of the nodes that may be chosen. Ids are
// given as a filter: as ids, one that EC2 does not know fails the call.
func (l Lister) instances(ctx context.Context, inv *Inventory, w Wish) error {
	inv.Instances = map[string]Instance{}
	var ids, grouped []string
	for _, n := range inv.Nodes {
		if n.Instance != "" && queried(n, *inv, w) == "" && wished(n, Instance{}, Wish{Role: w.Role, Environment: w.Environment}) == "" {
			ids = append(ids, n.Instance)
		}
	}
	for chunk := range slices.Chunk(ids, filterValues) {
		pages := ec2.NewDescribeInstancesPaginator(l.EC2, &ec2.DescribeInstancesInput{Filters: []types.Filter{{Name: aws.String("instance-id"), Values: chunk}}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return refused("describing instances", "ec2:DescribeInstances", err)
			}
			for _, r := range page.Reservations {
				for _, i := range r.Instances {
					inv.Instances[aws.ToString(i.InstanceId)] = l.instance(i)
				}
			}
		}
	}
	for id, i := range inv.Instances {
		if i.Group != "" {
			grouped = append(grouped, id)
		}
	}
	return l.lifecycles(ctx, inv, grouped)
}

func (l Lister) instance(i types.Instance) Instance {
	out := Instance{Addr: aws.ToString(i.PrivateIpAddress)}
	if l.Public {
		out.Addr = aws.ToString(i.PublicIpAddress)
	}
	if i.State != nil {
		out.State = string(i.State.Name)
	}
	if i.Placement != nil {
		out.Zone = aws.ToString(i.Placement.AvailabilityZone)
	}
	for _, t := range i.Tags {
		if aws.ToString(t.Key) == groupTag {
			out.Group = aws.ToString(t.Value)
		}
	}
	return out
}

// lifecycles asks the groups about their instances.
func (l Lister) lifecycles(ctx context.Context, inv *Inventory, ids []string) error {
	slices.Sort(ids)
	for chunk := range slices.Chunk(ids, groupIDs) {
		out, err := l.AutoScaling.DescribeAutoScalingInstances(ctx, &autoscaling.DescribeAutoScalingInstancesInput{InstanceIds: chunk})
		if err != nil {
			return refused("describing instances of groups", "autoscaling:DescribeAutoScalingInstances", err)
		}
		for _, i := range out.AutoScalingInstances {
			one := inv.Instances[aws.ToString(i.InstanceId)]
			one.Lifecycle = aws.ToString(i.LifecycleState)
			inv.Instances[aws.ToString(i.InstanceId)] = one
		}
	}
	return nil
}

// refused gives an error of AWS its kind and names the right that is needed.
func refused(doing, action string, err error) error {
	next := "check the network, the region and AWS_ENDPOINT_URL"
	if awserr.IsAuth(err) {
		next = "allow " + action
	} else if awserr.Code(err) != "" {
		next = ""
	}
	return fault.New(fault.AWS, next, fmt.Errorf("%s: %w", doing, short(err)))
}

// Refuse returns an error when nothing was chosen, or when hosts that were
// named are not among the chosen.
func (s Selection) Refuse() error {
	var lost []string
	for _, x := range s.Excluded {
		if x.named {
			lost = append(lost, x.Node+" ("+x.Reason+")")
		}
	}
	switch {
	case len(lost) > 0:
		return fault.Newf(fault.Check, "correct --hosts", "choosing hosts: %s cannot be chosen", strings.Join(lost, ", "))
	case len(s.Hosts) == 0:
		return fault.Newf(fault.Check, "deployctl hosts shows the reasons; --allow-empty lets a rollout without hosts pass",
			"choosing hosts: none of %d nodes can be chosen", len(s.Excluded))
	}
	return nil
}
