package scaling

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// cloud is EC2 and load balancers, as far as groups ask them.
type cloud struct {
	mu       sync.Mutex
	calls    []string
	launched []string // the forms of RunInstances, as NAME=VALUE, sorted
	states   map[string]string
	moves    []string
	health   string // of every target
	refuse   string // the action that fails
	now      time.Time
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // a call without a form has no action, which no test expects
	action := r.Form.Get("Action")
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Content-Type", "text/xml")
	if action == c.refuse {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>TargetGroupIsBusy</Code><Message>not now</Message></Error></ErrorResponse>`)
		return
	}
	said := action
	switch action {
	case "RunInstances":
		var form []string
		for k, v := range r.Form {
			if k != "Action" && k != "Version" {
				form = append(form, k+"="+v[0])
			}
		}
		slices.Sort(form)
		c.launched = append(c.launched, strings.Join(form, " "))
		id := fmt.Sprintf("i-%d", len(c.launched))
		fmt.Fprintf(w, `<RunInstancesResponse><instancesSet><item><instanceId>%s</instanceId></item></instancesSet></RunInstancesResponse>`, id)
	case "TerminateInstances":
		c.states[r.Form.Get("InstanceId.1")] = "shutting-down"
		fmt.Fprint(w, `<TerminateInstancesResponse/>`)
	case "DescribeLaunchTemplateVersions":
		fmt.Fprint(w, `<DescribeLaunchTemplateVersionsResponse><launchTemplateVersionSet><item><launchTemplateId>lt-1</launchTemplateId><launchTemplateName>web</launchTemplateName><versionNumber>3</versionNumber><launchTemplateData><imageId>ami-1</imageId></launchTemplateData></item></launchTemplateVersionSet></DescribeLaunchTemplateVersionsResponse>`)
	case "DescribeTargetHealth":
		fmt.Fprintf(w, `<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions><member><Target><Id>%s</Id></Target><TargetHealth><State>%s</State></TargetHealth></member></TargetHealthDescriptions></DescribeTargetHealthResult></DescribeTargetHealthResponse>`,
			r.Form.Get("Targets.member.1.Id"), c.health)
	case "RegisterTargets", "DeregisterTargets":
		said += " " + r.Form.Get("TargetGroupArn") + " " + r.Form.Get("Targets.member.1.Id")
		fallthrough
	default:
		fmt.Fprintf(w, `<%[1]sResponse><%[1]sResult/></%[1]sResponse>`, action)
	}
	c.calls = append(c.calls, said)
}

// count is how often a call was made.
func (c *cloud) count(call string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.calls {
		if one == call {
			n++
		}
	}
	return n
}

func (c *cloud) set(id, state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states[id] = state
}

// world is Auto Scaling before such a cloud.
type world struct {
	*cloud
	t      *testing.T
	ctx    context.Context
	all    *Scaling
	groups *autoscaling.Client
}

func newWorld(t *testing.T) world {
	t.Helper()
	c := &cloud{states: map[string]string{}, health: "healthy", now: time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	cfg := aws.Config{BaseEndpoint: &server.URL, Region: "us-east-1", RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")}
	all := New(Config{AWS: cfg, Log: t.Output(), Now: func() time.Time {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.now
	}, State: func(id string) (string, bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		state, known := c.states[id]
		return state, known
	}, Move: func(group, id, target string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.moves = append(c.moves, group+" "+id+" "+target)
	}})
	front := cfg.Copy()
	front.HTTPClient = handed{func() http.Handler { return all.Region("us-east-1") }}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return world{c, t, ctx, all, autoscaling.NewFromConfig(front)}
}

// tick lets a while pass.
func (w world) tick(d time.Duration) error {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
	return w.all.tick(w.ctx)
}

func (w world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// group makes a group of n with a launch template and a target group.
func (w world) group(n int32, change ...func(*autoscaling.CreateAutoScalingGroupInput)) {
	w.t.Helper()
	in := &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), MinSize: &n, MaxSize: &n, AvailabilityZones: []string{"us-east-1b"},
		TargetGroupARNs: []string{"tg-1"}, LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("web"), Version: aws.String("$Default")},
		Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("shop"), PropagateAtLaunch: aws.Bool(true)}}}
	for _, f := range change {
		f(in)
	}
	_, err := w.groups.CreateAutoScalingGroup(w.ctx, in)
	w.must(err)
}

func TestAGroupLaunchesThroughEC2(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(1)
	w.must(w.tick(time.Second))
	if len(w.launched) != 1 {
		t.Fatalf("launched %q, want one", w.launched)
	}
	for _, part := range []string{"LaunchTemplate.LaunchTemplateId=lt-1", "LaunchTemplate.Version=3", "MinCount=1", "MaxCount=1", "Placement.AvailabilityZone=us-east-1b", "ClientToken=",
		"TagSpecification.1.Tag.1.Key=Team", "TagSpecification.1.Tag.2.Key=aws:autoscaling:groupName", "TagSpecification.1.Tag.2.Value=web"} {
		if !strings.Contains(w.launched[0], part) {
			t.Errorf("the launch lacks %s: %s", part, w.launched[0])
		}
	}
	if w.count("RegisterTargets tg-1 i-1") != 0 {
		t.Error("a machine that nobody has seen is a target")
	}
	w.set("i-1", "running")
	for range 3 {
		w.must(w.tick(time.Second))
	}
	if n := w.count("RegisterTargets tg-1 i-1"); n != 1 {
		t.Errorf("it was registered %d times, want once: %q", n, w.calls)
	}
	if !slices.Contains(w.moves, "web i-1 InService") {
		t.Errorf("moves: %q", w.moves)
	}
}

func TestALaunchConfigurationIsLaunchedAsItSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.groups.CreateLaunchConfiguration(w.ctx, &autoscaling.CreateLaunchConfigurationInput{LaunchConfigurationName: aws.String("old"), ImageId: aws.String("ami-1"), InstanceType: aws.String("t3.small"),
		KeyName: aws.String("ops"), SecurityGroups: []string{"sg-1", "front"}, UserData: aws.String("aGVsbG8="), IamInstanceProfile: aws.String("web"),
		MetadataOptions: &types.InstanceMetadataOptions{HttpTokens: "required"}})
	w.must(err)
	w.group(1, func(in *autoscaling.CreateAutoScalingGroupInput) {
		in.LaunchTemplate, in.LaunchConfigurationName = nil, aws.String("old")
	})
	w.must(w.tick(time.Second))
	for _, part := range []string{"ImageId=ami-1", "InstanceType=t3.small", "KeyName=ops", "SecurityGroup.1=front", "SecurityGroupId.1=sg-1", "UserData=aGVsbG8=",
		"IamInstanceProfile.Name=web", "MetadataOptions.HttpTokens=required"} {
		if len(w.launched) != 1 || !strings.Contains(w.launched[0], part) {
			t.Errorf("the launch lacks %s: %q", part, w.launched)
		}
	}
}

func TestATargetThatLeavesIsDeregistered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.group(1)
	w.must(w.tick(time.Second))
	w.set("i-1", "running")
	w.refuse = "RegisterTargets"
	if err := w.tick(time.Second); err == nil || !strings.Contains(err.Error(), "TargetGroupIsBusy") {
		t.Errorf("a registration that failed: %v", err)
	}
	w.refuse = ""
	w.must(w.tick(time.Second))
	_, err := w.groups.DeleteAutoScalingGroup(w.ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), ForceDelete: aws.Bool(true)})
	w.must(err)
	w.must(w.tick(time.Second))
	if r, d := w.count("RegisterTargets tg-1 i-1"), w.count("DeregisterTargets tg-1 i-1"); r != 1 || d != 1 || w.count("TerminateInstances") != 1 {
		t.Errorf("%d registrations, %d farewells: %q", r, d, w.calls)
	}
}

func TestHealthIsWhatSeveralChecksSay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.all.Region("us-east-1")
	targets := w.all.regions["us-east-1"].targets
	one := target{"tg-1", "i-1"}
	targets.registered[one] = true
	look := func(want bool) {
		t.Helper()
		w.mu.Lock()
		w.now = w.now.Add(between)
		w.mu.Unlock()
		ill, err := targets.look(w.ctx, one)
		if err != nil || ill != want {
			t.Errorf("ill: %v, %v, want %v", ill, err, want)
		}
	}
	w.health = "unhealthy"
	look(false)
	look(false)
	w.health = "healthy"
	look(false)
	w.health = "unhealthy"
	look(false)
	look(false)
	look(true)
	asked := w.count("DescribeTargetHealth")
	if ill, err := targets.look(w.ctx, one); err != nil || !ill || w.count("DescribeTargetHealth") != asked {
		t.Errorf("a second look at once: %v, %v, asked %d times more", ill, err, w.count("DescribeTargetHealth")-asked)
	}
	if ill, err := targets.look(w.ctx, target{"tg-1", "i-2"}); err != nil || ill {
		t.Errorf("one that is not registered yet: %v, %v", ill, err)
	}
}

func TestStatesAreTheHypervisors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.all.Region("us-east-1")
	m := w.all.regions["us-east-1"].machines
	is := func(want string) {
		t.Helper()
		got, err := m.States(w.ctx, []string{"i-1"})
		if err != nil || got["i-1"] != want {
			t.Errorf("state %q (%v), want %q", got["i-1"], err, want)
		}
	}
	is("pending") // nobody has looked yet
	w.set("i-1", "stopped")
	is("stopped")
	w.must(m.Start(w.ctx, []string{"i-1"}))
	is("pending") // it was told to start
	w.set("i-1", "running")
	is("running")
	w.set("i-1", "stopped")
	is("stopped")
	w.mu.Lock()
	delete(w.states, "i-1")
	w.mu.Unlock()
	is("") // gone
}
