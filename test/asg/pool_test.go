package asg_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// warm lists the warm pool as ID STATE.
func (p *plant) warm() []string {
	p.t.Helper()
	out, err := p.as.DescribeWarmPool(p.ctx, &as.DescribeWarmPoolInput{AutoScalingGroupName: &p.name})
	p.must(err)
	var all []string
	for _, i := range out.Instances {
		all = append(all, *i.InstanceId+" "+string(i.LifecycleState))
	}
	return all
}

func (p *plant) pool(in as.PutWarmPoolInput) {
	p.t.Helper()
	in.AutoScalingGroupName = &p.name
	_, err := p.as.PutWarmPool(p.ctx, &in)
	p.must(err)
	p.tick(0)
}

func (p *plant) expectWarm(what string, want ...string) {
	p.t.Helper()
	if got := p.warm(); !slices.Equal(got, want) {
		p.t.Fatalf("%s: the warm pool holds %q, want %q", what, got, want)
	}
}

func TestAWarmPoolIsFilledDrawnFromAndRefilled(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1, func(in *as.CreateAutoScalingGroupInput) { in.MaxSize = aws.Int32(3) })
	p.pool(as.PutWarmPoolInput{})
	p.expectWarm("up to the maximum", "i-02 Warmed:Stopped", "i-03 Warmed:Stopped")
	if p.yard.states["i-02"] != "stopped" {
		t.Errorf("i-02 is %s", p.yard.states["i-02"])
	}
	g, err := p.describe()
	if err != nil || len(g.Instances) != 1 || *g.WarmPoolSize != 2 || g.WarmPoolConfiguration.PoolState != "Stopped" {
		t.Errorf("the group shows %+v", g)
	}
	p.desired(2)
	p.expect("with one drawn", "i-01 InService", "i-02 InService")
	p.expectWarm("with the rest", "i-03 Warmed:Stopped")
	if a := p.last(); !strings.Contains(*a.Description, "from warm pool: i-02") || p.yard.states["i-02"] != "running" {
		t.Errorf("%s; i-02 is %s", *a.Description, p.yard.states["i-02"])
	}
	_, err = p.as.DeleteWarmPool(p.ctx, &as.DeleteWarmPoolInput{AutoScalingGroupName: &p.name})
	p.must(err)
	p.tick(0)
	p.expectWarm("after its end")
	if g, err := p.describe(); err != nil || g.WarmPoolConfiguration != nil {
		t.Errorf("the group still has a pool: %v, %v", g.WarmPoolConfiguration, err)
	}
}

func TestHooksHoldInstancesOnTheirWayIntoThePool(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(0)
	p.hook("ready", onLaunch)
	p.pool(as.PutWarmPoolInput{MinSize: aws.Int32(1), MaxGroupPreparedCapacity: aws.Int32(1)})
	p.expectWarm("while the hook waits", "i-01 Warmed:Pending:Wait")
	if c := p.news[len(p.news)-1]; c.Target != "Warmed:Stopped" || c.Hook != "ready" {
		t.Errorf("the news is %+v", c)
	}
	p.answer("ready", "i-01", "CONTINUE")
	p.expectWarm("when it is answered", "i-01 Warmed:Stopped")
	p.desired(1)
	p.expect("drawn, the hook waits again", "i-01 Pending:Wait")
	p.answer("ready", "i-01", "CONTINUE")
	p.expect("when that is answered", "i-01 InService")
}

func TestScaleInReturnsToThePoolWhereThatIsWanted(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(2)
	p.pool(as.PutWarmPoolInput{PoolState: "Running", MaxGroupPreparedCapacity: aws.Int32(2), InstanceReusePolicy: &types.InstanceReusePolicy{ReuseOnScaleIn: aws.Bool(true)}})
	p.expectWarm("while all are in service")
	p.hook("bye", onEnd)
	p.desired(1)
	id := strings.Fields(p.states()[slices.IndexFunc(p.states(), func(s string) bool { return strings.Contains(s, "Wait") })])[0]
	if c := p.news[len(p.news)-1]; c.Target != "Warmed:Running" {
		t.Errorf("the news is %+v", c)
	}
	p.answer("bye", id, "CONTINUE")
	p.expectWarm("after scale-in", id+" Warmed:Running")
	if len(p.yard.started) != 2 {
		t.Errorf("%d instances were launched, want 2", len(p.yard.started))
	}
	p.tick(time.Second)
	p.expectWarm("a second later", id+" Warmed:Running")
}

func TestARefreshReplacesTheWarmPoolToo(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	p.size(1, func(in *as.CreateAutoScalingGroupInput) { in.MaxSize = aws.Int32(2) })
	p.pool(as.PutWarmPoolInput{})
	p.must(p.next())
	p.must(p.refresh("2", types.RefreshPreferences{InstanceWarmup: aws.Int32(0)}))
	p.stands("before", "Pending", 0, 1)
	p.tick(0)
	p.stands("afterwards", "Successful", 100, 0)
	out, err := p.as.DescribeWarmPool(p.ctx, &as.DescribeWarmPoolInput{AutoScalingGroupName: &p.name})
	if err != nil || len(out.Instances) != 1 || *out.Instances[0].LaunchTemplate.Version != "2" || p.versions() != "2" {
		t.Errorf("the pool holds %+v, %v, the group versions %s", out.Instances, err, p.versions())
	}
	if n := len(p.yard.started); n != 4 {
		t.Errorf("%d launches, want 4", n)
	}
}
