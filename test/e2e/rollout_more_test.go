//go:build e2e

package e2e

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"bakehouse/test/story"
)

// TestRolloutsByOtherWays takes one fleet through what a rollout can do beside
// SSH, and ends with the death of a host.
func TestRolloutsByOtherWays(t *testing.T) {
	before := theStory(t).build
	t.Cleanup(func() { promote(t, before) }) // others expect the story's build
	w := newWeb(t, 3)
	first := pushed(t, "ways-1", false)
	o, r := w.rollout(t, nil, nil, first, "--hosts", w.hosts(), "--engine", "ssm", "--wave", "3")
	if o.Code != 0 || r.Phase != "done" || r.states()["deployed"] != 3 {
		t.Fatalf("by Run Command: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	w.answer(t, first)
	bad := pushed(t, "ways-bad", true)
	o, r = w.rollout(t, nil, nil, bad, "--hosts", w.hosts(), "--engine", "ssm")
	if o.Code != 4 || r.Phase != "rolled back" || r.states()["restored"] != 1 || !strings.Contains(r.Reason, "503") {
		t.Errorf("a bad build by Run Command: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	w.answer(t, first)
	second := w.balanced(t)
	w.alarmed(t, second)
	w.dies(t)
	bookkeeping(t, first, second)
}

// promote makes a build the live one of the channel production.
func promote(t *testing.T, build string) {
	t.Helper()
	o, err := s.world.Run(s.ctx, story.Tool{Name: "deployctl", Args: []string{"promote", build, "--config", s.world.Config, "--app", "web", "--channel", "production"}})
	if err != nil || o.Code != 0 {
		t.Errorf("promoting %s: %v, code %d\n%s", build, err, o.Code, o.Stderr)
	}
}

// balancer is a stand-in for a load balancer: it passes requests on to the
// targets that DescribeTargetHealth calls healthy.
type balancer struct {
	api     *elb.Client
	group   string
	addrs   map[string]string // by instance id
	healthy atomic.Pointer[[]string]
	next    atomic.Uint64
}

// look refreshes the list of healthy targets until ctx ends.
func (b *balancer) look(ctx context.Context) {
	for ctx.Err() == nil {
		out, err := b.api.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &b.group})
		if err == nil {
			var addrs []string
			for _, d := range out.TargetHealthDescriptions {
				if d.TargetHealth.State == elbtypes.TargetHealthStateEnumHealthy {
					addrs = append(addrs, b.addrs[aws.ToString(d.Target.Id)])
				}
			}
			b.healthy.Store(&addrs)
		}
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (b *balancer) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	addrs := b.healthy.Load()
	if addrs == nil || len(*addrs) == 0 {
		http.Error(rw, "no healthy target", http.StatusServiceUnavailable)
		return
	}
	to := &url.URL{Scheme: "http", Host: (*addrs)[b.next.Add(1)%uint64(len(*addrs))]}
	(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}).ServeHTTP(rw, r)
}

// balanced rolls a build out behind a load balancer, under load.
func (w *web) balanced(t *testing.T) string {
	t.Helper()
	ctx := deadline(t, 3*time.Minute)
	b := &balancer{api: elb.NewFromConfig(s.world.AWS), addrs: map[string]string{}}
	b.group = b.front(ctx, t, "ways")
	in := &elb.RegisterTargetsInput{TargetGroupArn: &b.group}
	for _, g := range w.guests {
		b.addrs[g.ID] = g.Addr + ":80"
		in.Targets = append(in.Targets, elbtypes.TargetDescription{Id: aws.String(g.ID)})
	}
	if _, err := b.api.RegisterTargets(ctx, in); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go b.look(ctx)
	server := httptest.NewServer(b)
	defer server.Close()
	if err := story.Until(ctx, 100*time.Millisecond, func() error {
		if list := b.healthy.Load(); list == nil || len(*list) != len(w.guests) {
			return errors.New("not every target is healthy")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	build := pushed(t, "ways-2", false)
	load := hammer(ctx, server.URL)
	o, r := w.rollout(t, nil, nil, build, "--hosts", w.hosts(), "--target-group", "ways", "--drain", "2m", "--parallel", "1")
	load.meets(ctx, t, build)
	served := load.stop()
	if o.Code != 0 || r.states()["deployed"] != 3 {
		t.Errorf("behind a load balancer: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	if len(load.failed) > 0 || served[build] == 0 || len(served) != 2 {
		t.Errorf("%d requests failed, the first: %v; answers by build: %v", len(load.failed), load.failed[:min(3, len(load.failed))], served)
	}
	t.Logf("answers by build through the balancer's stand-in: %v", served)
	w.answer(t, build)
	return build
}

// front makes a target group with a load balancer before it, both of a name.
func (b *balancer) front(ctx context.Context, t *testing.T, name string) string {
	t.Helper()
	subnets, err := s.world.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	zones := map[string]bool{}
	for _, n := range subnets.Subnets {
		if n.VpcId != nil && *n.VpcId == *subnets.Subnets[0].VpcId && !zones[*n.AvailabilityZone] {
			zones[*n.AvailabilityZone] = true
			ids = append(ids, *n.SubnetId)
		}
	}
	group, err := b.api.CreateTargetGroup(ctx, &elb.CreateTargetGroupInput{Name: &name, Protocol: elbtypes.ProtocolEnumHttp, Port: aws.Int32(80),
		VpcId: subnets.Subnets[0].VpcId, TargetType: elbtypes.TargetTypeEnumInstance, HealthCheckPath: aws.String("/")})
	if err != nil {
		t.Fatal(err)
	}
	arn := group.TargetGroups[0].TargetGroupArn
	lb, err := b.api.CreateLoadBalancer(ctx, &elb.CreateLoadBalancerInput{Name: &name, Subnets: ids, Scheme: elbtypes.LoadBalancerSchemeEnumInternal})
	if err == nil {
		_, err = b.api.CreateListener(ctx, &elb.CreateListenerInput{LoadBalancerArn: lb.LoadBalancers[0].LoadBalancerArn, Protocol: elbtypes.ProtocolEnumHttp,
			Port: aws.Int32(80), DefaultActions: []elbtypes.Action{{Type: elbtypes.ActionTypeEnumForward, TargetGroupArn: arn}}})
	}
	if err == nil {
		_, err = b.api.ModifyTargetGroupAttributes(ctx, &elb.ModifyTargetGroupAttributesInput{TargetGroupArn: arn,
			Attributes: []elbtypes.TargetGroupAttribute{{Key: aws.String("deregistration_delay.timeout_seconds"), Value: aws.String("5")}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return *arn
}

// alarmed has an alarm go off in the pause after the canary.
func (w *web) alarmed(t *testing.T, before string) {
	t.Helper()
	api := cloudwatch.NewFromConfig(s.world.AWS)
	if _, err := api.PutMetricAlarm(s.ctx, &cloudwatch.PutMetricAlarmInput{AlarmName: aws.String("errors"), Namespace: aws.String("web"), MetricName: aws.String("5xx"),
		Statistic: cwtypes.StatisticSum, Period: aws.Int32(60), EvaluationPeriods: aws.Int32(1), Threshold: aws.Float64(1), TreatMissingData: aws.String("ignore"), // so that the state stays as it is set
		ComparisonOperator: cwtypes.ComparisonOperatorGreaterThanThreshold}); err != nil {
		t.Fatal(err)
	}
	set := func() {
		if _, err := api.SetAlarmState(s.ctx, &cloudwatch.SetAlarmStateInput{AlarmName: aws.String("errors"), StateValue: cwtypes.StateValueAlarm,
			StateReason: aws.String("the test says so")}); err != nil {
			t.Error(err)
		}
	}
	build := pushed(t, "ways-3", false)
	o, r := w.rollout(t, nil, &watcher{text: "pause of 10m", act: set}, build, "--hosts", w.hosts(), "--alarm", "errors", "--pause", "10m")
	if o.Code != 4 || r.Phase != "rolled back" || r.Reason != "after canary: alarm errors went off" || r.states()["restored"] != 1 || r.states()["pending"] != 2 {
		t.Errorf("an alarm in the pause: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	if got := liveBuild(t); got != before {
		t.Errorf("the channel is at %s, want %s", got, before)
	}
	w.answer(t, before)
	if o, _ := w.rollout(t, nil, nil, build, "--hosts", w.hosts(), "--alarm", "errors"); o.Code != 4 || !strings.Contains(o.Stderr, "it is in state ALARM already") {
		t.Errorf("an alarm that is off already: code %d\n%s", o.Code, o.Stderr)
	}
}

// dies ends one host while its agent deploys; one failure is borne with.
func (w *web) dies(t *testing.T) {
	t.Helper()
	victim := w.guests[len(w.guests)-1]
	hooked(t, "ways-4", "pre-install", "#!/bin/sh\n[ ! -e /run/dies ] || exec sleep 45\n")
	build := pushed(t, "ways-4", false)
	inGuest(t, victim.ID, "touch /run/dies")
	dead := make(chan error, 1)
	go func() {
		ctx, cancel := within(s.ctx, time.Minute)
		defer cancel()
		// It is stopped in its hook, so that it cannot end before the machine does.
		_, err := s.world.Guest(ctx, victim.ID, `while ! pgrep -fx "sleep 45" >/dev/null; do sleep 0.02; done; kill -STOP $(pgrep -f "[b]oot-agent deploy")`)
		if err == nil {
			err = s.world.Terminate(ctx, victim.ID)
		}
		dead <- err
	}()
	o, r := w.rollout(t, nil, nil, build, "--hosts", w.hosts(), "--canary", "0", "--wave", "3", "--max-unhealthy", "1", "--host-timeout", "40s")
	if err := <-dead; err != nil {
		t.Fatalf("ending %s: %v", victim.ID, err)
	}
	if o.Code != 0 || r.Phase != "done" || r.states()["deployed"] != 2 || r.states()["failed"] != 1 {
		t.Errorf("a host that dies: code %d, %+v\n%s", o.Code, r, o.Stderr)
	}
	for _, wave := range r.Waves {
		for _, h := range wave.Hosts {
			if (h.Instance == victim.ID) != (h.State == "failed" && h.Problem != "") {
				t.Errorf("%s is %s: %q", h.Instance, h.State, h.Problem)
			}
			if h.State == "failed" {
				t.Logf("the report says of it: %s", h.Problem)
			}
		}
	}
	w.guests = w.guests[:len(w.guests)-1]
	w.answer(t, build)
}

// hooked puts a hook into the folder of the build that pushed makes of a note.
func hooked(t *testing.T, note, name, script string) {
	t.Helper()
	dir, err := s.world.Build(note)
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, ".bakehouse"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, ".bakehouse", name), []byte(script), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// bookkeeping asks for what was live and what differs, and removes nothing.
func bookkeeping(t *testing.T, first, second string) {
	t.Helper()
	run := func(args ...string) string {
		o, err := s.world.Run(deadline(t, time.Minute), story.Tool{Name: "deployctl", Args: append(args, "--config", s.world.Config, "--app", "web")})
		if err != nil || o.Code != 0 {
			t.Errorf("%v: code %d, %v\n%s", args, o.Code, err, o.Stderr)
		}
		return o.Stdout
	}
	if out := run("history", "--channel", "production"); !strings.Contains(out, first[:12]) || !strings.Contains(out, second[:12]) {
		t.Errorf("history lacks the builds:\n%s", out)
	}
	run("gc", "--yes") // no build of this suite is old enough to go
	if out := run("diff", first, second); strings.TrimSpace(out) == "" {
		t.Error("two builds do not differ")
	}
}
