//go:build lab

package gateway_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// site is an app at the address of an instance, and its target group.
type site struct {
	*bench
	elb    *elb.Client
	group  *string
	target types.TargetDescription
	code   atomic.Int32 // what its health check answers
}

func newSite(b *bench) *site {
	w := &site{bench: b, elb: elb.NewFromConfig(b.cfg)}
	w.code.Store(200)
	l, err := net.Listen("tcp4", "127.8.0.9:0")
	if err != nil {
		b.t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(int(w.code.Load())) }))
	server.Listener = l
	server.Start()
	b.t.Cleanup(server.Close)
	vpc, subnets := w.network()
	inst := b.run(func(in *ec2.RunInstancesInput) {
		in.SubnetId, in.PrivateIpAddress = &subnets[0], aws.String("127.8.0.9")
	})
	if aws.ToString(inst.PrivateIpAddress) != "127.8.0.9" {
		b.t.Fatalf("the instance's address is %s", aws.ToString(inst.PrivateIpAddress))
	}
	port := int32(l.Addr().(*net.TCPAddr).Port)
	out, err := w.elb.CreateTargetGroup(b.ctx, &elb.CreateTargetGroupInput{Name: aws.String("site"), Protocol: types.ProtocolEnumHttp, Port: &port,
		VpcId: &vpc, TargetType: types.TargetTypeEnumInstance, HealthCheckPath: aws.String("/up")})
	if err != nil {
		b.t.Fatal(err)
	}
	w.group = out.TargetGroups[0].TargetGroupArn
	w.target = types.TargetDescription{Id: inst.InstanceId, Port: &port}
	if _, err := w.elb.ModifyTargetGroupAttributes(b.ctx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: w.group,
		Attributes: []types.TargetGroupAttribute{{Key: aws.String("deregistration_delay.timeout_seconds"), Value: aws.String("20")}}}); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { w.unbalance() })
	w.balance(subnets)
	return w
}

// network makes subnets of addresses that are this machine's own.
func (w *site) network() (vpc string, subnets []string) {
	made, err := w.ec2.CreateVpc(w.ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("127.8.0.0/16")})
	if err != nil {
		w.t.Fatal(err)
	}
	vpc = *made.Vpc.VpcId
	for zone, block := range map[string]string{"us-east-1a": "127.8.0.0/24", "us-east-1b": "127.8.1.0/24"} {
		out, err := w.ec2.CreateSubnet(w.ctx, &ec2.CreateSubnetInput{VpcId: &vpc, CidrBlock: &block, AvailabilityZone: &zone})
		if err != nil {
			w.t.Fatal(err)
		}
		subnets = append(subnets, *out.Subnet.SubnetId)
		if zone == "us-east-1a" { // the instance's own comes first
			subnets[0], subnets[len(subnets)-1] = subnets[len(subnets)-1], subnets[0]
		}
	}
	return vpc, subnets
}

// balance puts a load balancer before the group.
func (w *site) balance(subnets []string) {
	lb, err := w.elb.CreateLoadBalancer(w.ctx, &elb.CreateLoadBalancerInput{Name: aws.String("front"), Subnets: subnets, Scheme: types.LoadBalancerSchemeEnumInternal})
	if err != nil {
		w.t.Fatal(err)
	}
	if got := w.state(); got != "unused Target.NotRegistered" {
		w.t.Errorf("before it is registered it is %s", got)
	}
	w.register()
	if got := w.state(); got != "unused Target.NotInUse" {
		w.t.Errorf("in a group that no load balancer uses it is %s", got)
	}
	if _, err := w.elb.CreateListener(w.ctx, &elb.CreateListenerInput{LoadBalancerArn: lb.LoadBalancers[0].LoadBalancerArn, Protocol: types.ProtocolEnumHttp,
		Port: aws.Int32(80), DefaultActions: []types.Action{{Type: types.ActionTypeEnumForward, TargetGroupArn: w.group}}}); err != nil {
		w.t.Fatal(err)
	}
}

// unbalance leaves nothing behind in the moto that all share.
func (w *site) unbalance() {
	out, err := w.elb.DescribeLoadBalancers(w.ctx, &elb.DescribeLoadBalancersInput{Names: []string{"front"}})
	if err == nil && len(out.LoadBalancers) == 1 {
		_, _ = w.elb.DeleteLoadBalancer(w.ctx, &elb.DeleteLoadBalancerInput{LoadBalancerArn: out.LoadBalancers[0].LoadBalancerArn})
	}
}

func (w *site) register() {
	if _, err := w.elb.RegisterTargets(w.ctx, &elb.RegisterTargetsInput{TargetGroupArn: w.group, Targets: []types.TargetDescription{w.target}}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *site) deregister() {
	if _, err := w.elb.DeregisterTargets(w.ctx, &elb.DeregisterTargetsInput{TargetGroupArn: w.group, Targets: []types.TargetDescription{w.target}}); err != nil {
		w.t.Fatal(err)
	}
}

// state is the target's state and reason.
func (w *site) state() string {
	out, err := w.elb.DescribeTargetHealth(w.ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: w.group, Targets: []types.TargetDescription{w.target}})
	if err != nil || len(out.TargetHealthDescriptions) != 1 {
		w.t.Fatalf("%v, %+v", err, out)
	}
	h := out.TargetHealthDescriptions[0].TargetHealth
	if h.Reason == "" {
		return string(h.State)
	}
	return string(h.State) + " " + string(h.Reason)
}

func testTargets(b *bench) {
	w := newSite(b)
	for _, step := range []struct {
		act  func()
		want string
	}{
		{func() {}, "healthy"},
		{func() { w.code.Store(503) }, "unhealthy Target.ResponseCodeMismatch"},
		{func() { w.code.Store(200) }, "healthy"},
		{w.deregister, "draining Target.DeregistrationInProgress"},
		{w.register, "healthy"},
		{w.deregister, "draining Target.DeregistrationInProgress"},
		{func() { b.clock.move(21 * time.Second) }, "unused Target.NotRegistered"},
		{w.deregister, "unused Target.NotRegistered"},
	} {
		if step.act(); w.state() != step.want {
			b.t.Errorf("the target is %s, want %s", w.state(), step.want)
		}
	}
	_, err := w.elb.DescribeTargetHealth(b.ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: aws.String(*w.group + "0")})
	wantCode(b.t, "a group that is not there", err, "TargetGroupNotFound")
}
