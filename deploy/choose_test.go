package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

func running(addr, zone string) Instance { return Instance{State: "running", Addr: addr, Zone: zone} }

func TestChooseSaysWhyEachNodeIsLeftOut(t *testing.T) {
	t.Parallel()
	web := func(name, id string) Node {
		return Node{Name: name, Instance: id, Environment: "prod", Roles: []string{"base", "web"}}
	}
	inv := Inventory{
		Nodes: []Node{web("good-b", "i-2"), web("good-a", "i-1"), web("grouped", "i-3"), {Name: "db", Instance: "i-4", Environment: "prod", Roles: []string{"db"}},
			{Name: "bare", Instance: "i-4", Environment: "prod"}, {Name: "stage", Instance: "i-4", Environment: "stage", Roles: []string{"web"}},
			web("laptop", ""), web("dead", "i-gone"), web("stopped", "i-5"), web("leaving", "i-6"), web("detached", "i-7"),
			web("mute", "i-8"), web("twin", "i-1"), web("far", "i-9"), web("unfound", "i-4")},
		Instances: map[string]Instance{"i-1": running("10.0.0.1", "b"), "i-2": running("10.0.0.2", "a"), "i-4": running("10.0.0.4", "a"),
			"i-3": {State: "running", Addr: "10.0.0.3", Zone: "a", Group: "g", Lifecycle: "InService"}, "i-5": {State: "stopped", Zone: "a"},
			"i-6": {State: "running", Group: "g", Lifecycle: "Terminating:Wait", Zone: "a"}, "i-7": {State: "running", Group: "g", Zone: "a"},
			"i-8": {State: "running", Zone: "a"}, "i-9": running("10.0.0.9", "z")},
		Matched: map[string]bool{},
	}
	for _, n := range inv.Nodes {
		inv.Matched[n.Name] = n.Name != "unfound"
	}
	got := Choose(inv, Wish{Role: "web", Environment: "prod", Query: "q"})
	var hosts []string
	for _, h := range got.Hosts {
		hosts = append(hosts, h.Node+" "+h.Addr)
	}
	if want := []string{"good-b 10.0.0.2", "grouped 10.0.0.3", "good-a 10.0.0.1", "far 10.0.0.9"}; !slices.Equal(hosts, want) {
		t.Errorf("chose %v, want %v", hosts, want)
	}
	reasons := map[string]string{"db": "its role is db, not web", "bare": "it has no role, want web", "stage": "its environment is stage, not prod",
		"laptop": "the node names no EC2 instance", "dead": "EC2 knows no such instance", "stopped": "the instance is stopped",
		"leaving": "in group g it is Terminating:Wait", "detached": "group g does not list it", "mute": "no address", "twin": "node good-a names the same instance",
		"unfound": "the search for q does not find it"}
	checkReasons(t, got, reasons)
}

func checkReasons(t *testing.T, got Selection, reasons map[string]string) {
	t.Helper()
	for _, x := range got.Excluded {
		if want, ok := reasons[x.Node]; !ok || !strings.Contains(x.Reason, want) {
			t.Errorf("%s is left out because %q, want %q", x.Node, x.Reason, want)
		}
	}
	if len(got.Excluded) != len(reasons) {
		t.Errorf("%d nodes are left out, want %d: %v", len(got.Excluded), len(reasons), got.Excluded)
	}
}

func TestChooseByNameZoneAndLimit(t *testing.T) {
	t.Parallel()
	inv := Inventory{Instances: map[string]Instance{}}
	for i := range 4 {
		id := fmt.Sprint("i-", i)
		inv.Nodes = append(inv.Nodes, Node{Name: "n" + id, Instance: id})
		inv.Instances[id] = running(fmt.Sprint("10.0.0.", i), string(rune('a'+i%2)))
	}
	chosen := func(w Wish) string {
		var ids []string
		for _, h := range Choose(inv, w).Hosts {
			ids = append(ids, h.Instance)
		}
		return strings.Join(ids, " ")
	}
	for want, w := range map[string]Wish{"i-0 i-2 i-1 i-3": {}, "i-1 i-3": {Zone: "b"}, "i-0 i-2": {Limit: 2}, "i-0 i-2 i-1": {Only: []string{"i-0", "ni-1", "10.0.0.2"}}} {
		if got := chosen(w); got != want {
			t.Errorf("%+v chose %s, want %s", w, got, want)
		}
	}
	w := Wish{Only: []string{"i-0", "nobody"}}
	if err := Choose(inv, w).Refuse(); err == nil || !strings.Contains(err.Error(), "nobody (named by --hosts, but no Chef node") {
		t.Errorf("a host that is not there: %v", err)
	}
	w = Wish{Zone: "c"}
	if err := Choose(inv, w).Refuse(); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "none of 4 nodes can be chosen") {
		t.Errorf("no host at all: %v", err)
	}
}

// chefFake lists nodes and shows through the index only those in seen.
type chefFake struct {
	Chef
	nodes map[string]chefapi.Node
	seen  []string
	query []string
	lie   int // added to the count of searched nodes
}

func (c chefFake) NodeNames(context.Context) (names []string, err error) {
	for n := range c.nodes {
		names = append(names, n)
	}
	return names, nil
}

func (c chefFake) Node(_ context.Context, name string) (chefapi.Node, error) {
	return c.nodes[name], nil
}

func (c chefFake) SearchNodes(context.Context, string) (out []chefapi.Node, err error) {
	for _, n := range c.query {
		out = append(out, chefapi.Node{Name: n})
	}
	return out, nil
}

func (c chefFake) NodeAttributes(_ context.Context, names []string, _ map[string][]string, add func(string, map[string]any)) (chefapi.Coverage, error) {
	for _, n := range names {
		if v := map[string]any{"instance": n}; slices.Contains(c.seen, n) {
			v["environment"], v["role"] = "prod", "web"
			add(n, v)
		} else {
			add(n, v)
		}
	}
	return chefapi.Coverage{Names: len(names), Searched: len(c.seen) + c.lie, Fetched: len(names) - len(c.seen)}, nil
}

// cloudFake has every instance that is asked for; the odd ones are in a group.
type cloudFake struct {
	values, ids []int // per call
	err         error
}

func (c *cloudFake) DescribeInstances(_ context.Context, in *ec2.DescribeInstancesInput, _ ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	var r types.Reservation
	for n, id := range in.Filters[0].Values {
		i := types.Instance{InstanceId: aws.String(id), PrivateIpAddress: aws.String("10.0.0.1"), State: &types.InstanceState{Name: types.InstanceStateNameRunning}}
		if n%2 == 1 {
			i.Tags = []types.Tag{{Key: aws.String(groupTag), Value: aws.String("g")}}
		}
		r.Instances = append(r.Instances, i)
	}
	c.values = append(c.values, len(r.Instances))
	return &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{r}}, c.err
}

func (c *cloudFake) DescribeAutoScalingInstances(_ context.Context, in *autoscaling.DescribeAutoScalingInstancesInput, _ ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingInstancesOutput, error) {
	out := &autoscaling.DescribeAutoScalingInstancesOutput{}
	for _, id := range in.InstanceIds {
		out.AutoScalingInstances = append(out.AutoScalingInstances, astypes.AutoScalingInstanceDetails{InstanceId: aws.String(id), LifecycleState: aws.String("InService")})
	}
	c.ids = append(c.ids, len(in.InstanceIds))
	return out, nil
}

func TestListerAsksInBulkAndFetchesWhatSearchMissed(t *testing.T) {
	t.Parallel()
	chef := chefFake{nodes: map[string]chefapi.Node{}}
	for i := range 450 {
		id := fmt.Sprintf("i-%08x", i)
		chef.nodes[id] = chefapi.Node{Name: id, Environment: "prod", Normal: map[string]any{"bakehouse": map[string]any{"instance_id": id, "role": "web"}}}
		if i%3 > 0 {
			chef.seen = append(chef.seen, id)
		}
	}
	cloud := &cloudFake{}
	l := Lister{Chef: chef, EC2: cloud, AutoScaling: cloud}
	got, err := l.Choose(context.Background(), Wish{Role: "web", Environment: "prod"})
	if err != nil || len(got.Hosts) != 450 || len(got.Excluded) != 0 {
		t.Errorf("chose %d and left out %d (%v), want all 450", len(got.Hosts), len(got.Excluded), err)
	}
	if !slices.Equal(cloud.values, []int{200, 200, 50}) || len(cloud.ids) != 5 || !strings.Contains(got.Coverage, "300 found by search, 150 fetched") {
		t.Errorf("asked EC2 for %v, Auto Scaling for %v; coverage %q", cloud.values, cloud.ids, got.Coverage)
	}
	chef.query = chef.seen[:7]
	l.Chef = chef
	if got, err := l.Choose(context.Background(), Wish{Query: "x"}); err != nil || len(got.Hosts) != 7 {
		t.Errorf("a query of 7 chose %d (%v)", len(got.Hosts), err)
	}
	chef.lie = -3
	l.Chef = chef
	if _, err := l.Choose(context.Background(), Wish{}); fault.KindOf(err) != fault.Chef || !strings.Contains(err.Error(), "lists 450 nodes and shows 447") {
		t.Errorf("a server that hides nodes: %v", err)
	}
	l.Chef, cloud.err = chefFake{nodes: chef.nodes}, errors.New("broken")
	if _, err := l.Choose(context.Background(), Wish{}); fault.KindOf(err) != fault.AWS {
		t.Errorf("an EC2 that refuses: %v", err)
	}
}

func TestNodesSayWhoTheyAreInSeveralWays(t *testing.T) {
	t.Parallel()
	n := nodeOf("web-i-0123456789abcdef0", map[string]any{"roles": []any{"web", "web"}, "role": "base", "environment": "prod",
		"keys": map[string]any{"host_ecdsa_public": "AA", "host_ecdsa_type": "ecdsa-sha2-nistp256", "host_rsa_public": "BB"}})
	if n.Instance != "i-0123456789abcdef0" || !slices.Equal(n.Roles, []string{"web", "base"}) || !slices.Equal(n.HostKeys, []string{"ecdsa-sha2-nistp256 AA", "ssh-rsa BB"}) {
		t.Errorf("read %+v", n)
	}
	if n = nodeOf("n", map[string]any{"ec2": "i-2"}); n.Instance != "i-2" {
		t.Errorf("read %+v", n)
	}
}

func TestAHostNamedByItsAddressThatCannotBeChosenIsTold(t *testing.T) {
	t.Parallel()
	stopped := running("10.0.0.2", "a")
	stopped.State = "stopped"
	inv := Inventory{Nodes: []Node{{Name: "a", Instance: "i-1"}, {Name: "b", Instance: "i-2"}},
		Instances: map[string]Instance{"i-1": running("10.0.0.1", "a"), "i-2": stopped}}
	w := Wish{Only: []string{"a", "10.0.0.2"}}
	err := Choose(inv, w).Refuse()
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "b (the instance is stopped) cannot be chosen") {
		t.Errorf("%v", err)
	}
}
