package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"bakehouse/deploy"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/config"
	"bakehouse/release"
)

// hall is a Chef server, EC2 and the hosts in memory; the node "old" is no host.
type hall struct {
	deploy.Chef
	b     *bench
	nodes []string
	bad   release.ID // no host can run it
	mu    sync.Mutex
	went  []string
}

func (h *hall) NodeNames(context.Context) ([]string, error) { return append(h.nodes, "old"), nil }

func (h *hall) NodeAttributes(_ context.Context, names []string, _ map[string][]string, add func(string, map[string]any)) (chefapi.Coverage, error) {
	for _, n := range names {
		add(n, map[string]any{"instance": n, "role": "web", "environment": "prod"})
	}
	return chefapi.Coverage{Names: len(names), Searched: len(names)}, nil
}

func (h *hall) DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	var r types.Reservation
	for _, n := range h.nodes {
		r.Instances = append(r.Instances, types.Instance{InstanceId: aws.String(n), PrivateIpAddress: aws.String("10.0.0.1"),
			State: &types.InstanceState{Name: types.InstanceStateNameRunning}, Placement: &types.Placement{AvailabilityZone: aws.String("a")}})
	}
	return &ec2.DescribeInstancesOutput{Reservations: []types.Reservation{r}}, nil
}

// Deploy runs what the channel says.
func (h *hall) Deploy(_ context.Context, host deploy.Host) (release.ID, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := release.ParseChannel(h.b.bucket.objects[release.ChannelKey("web", "staging")])
	h.went = append(h.went, host.Instance+" "+string(c.Build))
	if err == nil && c.Build == h.bad {
		err = errors.New("not healthy")
	}
	return c.Build, err
}

// newHall makes a bench with hosts and two builds, the first of them live.
func newHall(t *testing.T) (h *hall, v1, v2 string) {
	t.Helper()
	h = &hall{b: newBench(), nodes: []string{"i-1", "i-2", "i-3"}}
	h.b.file.Apps["web"] = config.App{Bucket: "builds", Channel: "staging", Roles: []string{"web"}}
	h.b.hall = h
	v1 = strings.TrimSpace(h.b.ok(t, "push", tree(t, "v1"), "--app", "web", "--channel", "staging"))
	v2 = strings.TrimSpace(h.b.ok(t, "push", tree(t, "v2"), "--app", "web"))
	return h, v1, v2
}

func (h *hall) live(t *testing.T) string {
	t.Helper()
	c, err := release.ParseChannel(h.b.bucket.objects[release.ChannelKey("web", "staging")])
	if err != nil {
		t.Fatal(err)
	}
	return string(c.Build)
}

func TestHostsPrintsChosenAndReasons(t *testing.T) {
	t.Parallel()
	h, _, _ := newHall(t)
	out := h.b.ok(t, "hosts", "--app", "web", "--limit", "2")
	for _, want := range []string{"i-2   i-2   10.0.0.1  a     -      yes", "no: EC2 knows no such instance", "no: beyond --limit 2", "2 chosen, 2 left out; Chef: 4 listed, 4 found by search"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var s deploy.Selection
	if err := json.Unmarshal([]byte(h.b.ok(t, "hosts", "--app", "web", "-o", "json")), &s); err != nil || len(s.Hosts) != 3 || len(s.Excluded) != 1 {
		t.Errorf("JSON: %v, %+v", err, s)
	}
}

func TestRolloutForwardAndBack(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	junit := filepath.Join(t.TempDir(), "junit.xml")
	out := h.b.ok(t, "rollout", v2[:12], "--app", "web", "--junit", junit, "-o", "plain")
	if !strings.Contains(out, "3 hosts: 3 deployed, 0 failed") || h.live(t) != v2 || len(h.went) != 3 {
		t.Errorf("live %s, went %v\n%s", h.live(t), h.went, out)
	}
	if b, err := os.ReadFile(junit); err != nil || !strings.Contains(string(b), `tests="3" failures="0"`) {
		t.Errorf("JUnit: %v\n%s", err, b)
	}
	h.bad, h.went = release.ID(v1), nil
	code, out, errs := h.b.run("rollout", v1, "--app", "web")
	if code != 4 || h.live(t) != v2 || len(h.went) != 2 || !strings.Contains(errs, "the canary failed: i-1 (10.0.0.1): not healthy; rolled back to build "+v2[:12]) ||
		!strings.Contains(out, "0 deployed, 0 failed, 1 restored, 0 stuck, 2 pending") {
		t.Errorf("code %d, live %s, went %v\n%s%s", code, h.live(t), h.went, errs, out)
	}
}

func TestRolloutDryRunAndRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	out := h.b.ok(t, "rollout", v2, "--app", "web", "--dry-run")
	if !strings.Contains(out, "canary") || !strings.Contains(out, "wave 2") {
		t.Errorf("the plan is\n%s", out)
	}
	before := len(h.b.bucket.objects)
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"--role db":                    {4, "none of 4 nodes can be chosen"},
		"--hosts i-9":                  {4, "i-9 (named by --hosts, but no Chef node"},
		"--hosts old --allow-empty":    {4, "old (EC2 knows no such instance"},
		"--wave 0":                     {2, "a wave of no hosts"},
		"--canary many":                {2, `--canary: "many" is no amount`},
		"--drain 1m":                   {2, "give --target-group, too"},
		"--target-group g --drain -1s": {2, "a negative time"},
		"--engine pigeon":              {2, "--engine pigeon: want ssh, ssm, refresh or pull"},
		"--parallel 0":                 {2, "0 hosts at a time"},
		"--limit -1":                   {2, "--limit -1"},
		"--resume 0123456789ab":        {2, "leave BUILD and --dry-run out"},
		"--junit x --host-timeout -1s": {2, "a time limit of -1s"},
		"--pause -1s":                  {2, "a pause of -1s"},
		"--max-unhealthy all":          {2, `--max-unhealthy: "all" is no amount`},
		"--ssh-port 0":                 {2, "--ssh-port 0: want 1 to 65535"},
		"--ssh-port 70000":             {2, "--ssh-port 70000"},
	} {
		code, _, errs := h.b.run(append([]string{"rollout", v2, "--app", "web"}, strings.Fields(args)...)...)
		if code != want.code || !strings.Contains(errs, want.text) {
			t.Errorf("%s: code %d, want %d and %q\n%s", args, code, want.code, want.text, errs)
		}
	}
	if len(h.b.bucket.objects) != before || h.live(t) != v1 || len(h.went) != 0 {
		t.Errorf("%d objects (%d before), live %s, went %v", len(h.b.bucket.objects), before, h.live(t), h.went)
	}
	if code, _, errs := h.b.run("rollout", "--app", "web", "--resume", "0123456789ab"); code != 4 || !strings.Contains(errs, "there is no rollout 0123456789ab") {
		t.Errorf("an unknown rollout: code %d\n%s", code, errs)
	}
}

// A report that cannot be written is told after a rollout that went well.
func TestAReportThatCannotBeWrittenIsTold(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--junit", "--html"} {
		h, _, v2 := newHall(t)
		code, out, errs := h.b.run("rollout", v2, "--app", "web", flag, filepath.Join(t.TempDir(), "none", "x"))
		if code != 8 || h.live(t) != v2 || !strings.Contains(out, "3 deployed") || !strings.Contains(errs, "the rollout itself is over") {
			t.Errorf("%s: code %d, live %s\n%s%s", flag, code, h.live(t), errs, out)
		}
	}
}

func TestASecondOperatorIsToldWhoRolls(t *testing.T) {
	t.Parallel()
	h, _, v2 := newHall(t)
	h.b.bucket.objects["web/leases/staging.json"] = []byte(`{"rollout":"0123456789ab","by":"bob@two","since":"2026-03-04T05:06:00Z","renewed":"2026-03-04T05:06:00Z"}`)
	code, _, errs := h.b.run("rollout", v2, "--app", "web")
	if code != 4 || !strings.Contains(errs, "rollout 0123456789ab of bob@two has it since 2026-03-04T05:06:00Z, last seen 7s ago") || len(h.went) != 0 {
		t.Errorf("code %d, went %v\n%s", code, h.went, errs)
	}
}

func TestRollbackGoesToTheBuildBefore(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	code, _, errs := h.b.run("rollback", "--app", "web")
	if code != 4 || !strings.Contains(errs, "rolling back staging of web: build "+v1[:12]+" is its first") {
		t.Errorf("nothing before: code %d\n%s", code, errs)
	}
	h.b.ok(t, "promote", v2, "--app", "web")
	if out := h.b.ok(t, "rollback", "--app", "web"); h.live(t) != v1 || !strings.Contains(out, "build "+v1[:12]+" is live on staging of web (serial 3, before: "+v2[:12]+")") {
		t.Errorf("live %s: %s", h.live(t), out)
	}
	if h.b.ok(t, "rollback", "--app", "web", "--to", v2[:8]); h.live(t) != v2 {
		t.Errorf("--to: live %s", h.live(t))
	}
	if code, _, errs := h.b.run("rollback", "--app", "web", "--channel", "nightly"); code != 4 || !strings.Contains(errs, "nothing was promoted yet") {
		t.Errorf("no channel: code %d\n%s", code, errs)
	}
}

// rack is a load balancer with the group "tg" that every host is in and that
// finds everybody healthy.
type rack struct {
	deploy.Balancers
	h *hall
}

func (r rack) DescribeTargetGroups(context.Context, *elb.DescribeTargetGroupsInput, ...func(*elb.Options)) (*elb.DescribeTargetGroupsOutput, error) {
	return &elb.DescribeTargetGroupsOutput{TargetGroups: []elbtypes.TargetGroup{{TargetGroupArn: aws.String("arn:tg"), TargetType: elbtypes.TargetTypeEnumInstance}}}, nil
}

func (r rack) DescribeTargetHealth(_ context.Context, in *elb.DescribeTargetHealthInput, _ ...func(*elb.Options)) (*elb.DescribeTargetHealthOutput, error) {
	out := &elb.DescribeTargetHealthOutput{}
	for _, id := range r.h.nodes {
		if len(in.Targets) == 0 || *in.Targets[0].Id == id {
			out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, elbtypes.TargetHealthDescription{
				Target: &elbtypes.TargetDescription{Id: aws.String(id)}, TargetHealth: &elbtypes.TargetHealth{State: elbtypes.TargetHealthStateEnumHealthy}})
		}
	}
	return out, nil
}

func (r rack) note(call string, targets []elbtypes.TargetDescription) {
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	r.h.went = append(r.h.went, call+" "+*targets[0].Id)
}

func (r rack) DeregisterTargets(_ context.Context, in *elb.DeregisterTargetsInput, _ ...func(*elb.Options)) (*elb.DeregisterTargetsOutput, error) {
	r.note("out", in.Targets)
	return &elb.DeregisterTargetsOutput{}, nil
}

func (r rack) RegisterTargets(_ context.Context, in *elb.RegisterTargetsInput, _ ...func(*elb.Options)) (*elb.RegisterTargetsOutput, error) {
	r.note("in", in.Targets)
	return &elb.RegisterTargetsOutput{}, nil
}

func TestRolloutMindsTheLoadBalancer(t *testing.T) {
	t.Parallel()
	h, _, v2 := newHall(t)
	h.b.tg = rack{h: h}
	h.b.ok(t, "rollout", v2, "--app", "web", "--target-group", "tg", "--parallel", "1")
	var want []string
	for _, id := range h.nodes {
		want = append(want, "out "+id, id+" "+v2, "in "+id)
	}
	if !slices.Equal(h.went, want) {
		t.Errorf("it went %v, want %v", h.went, want)
	}
}
