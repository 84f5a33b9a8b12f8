//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// lifeStack is the stack that waits for the tests' instances.
const lifeStack = "life"

// makeLife makes the stack, once.
func makeLife(ctx context.Context, t *testing.T) {
	t.Helper()
	if err := makeStack(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := ending(20 * time.Second)
		defer cancel()
		if err := cloudFormation(ctx, url.Values{"Action": {"DeleteStack"}, "StackName": {lifeStack}}); err != nil {
			t.Error(err)
		}
	})
}

// makeStack makes a stack whose resource Web may be signalled.
func makeStack(ctx context.Context) error {
	return cloudFormation(ctx, url.Values{"Action": {"CreateStack"}, "StackName": {lifeStack},
		"TemplateBody": {`{"Resources": {"Web": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/life/web", "Type": "String", "Value": "x"}}}}`}})
}

// cloudFormation makes one call; the suite needs no more of that service.
func cloudFormation(ctx context.Context, form url.Values) error {
	form.Set("Version", "2010-05-15")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, *s.world.AWS.BaseEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=E2E/20260101/us-east-1/cloudformation/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", form.Get("Action"), res.Status)
	}
	return nil
}

// inLife is user-data of the group's instances: the agent is told of hooks and
// stack, drain and the app's stop are seen on the console, and the Chef client
// first runs the shell line that %s is.
const inLife = `#cloud-config
write_files:
- path: /usr/local/bin/drain
  permissions: "0755"
  content: |
    #!/bin/sh
    echo "life: drained while $(systemctl is-active web.service)" >/dev/console
- path: /etc/systemd/system/web.service.d/life.conf
  content: |
    [Service]
    ExecStopPost=+/bin/sh -c 'echo life: stopped >/dev/console'
- path: /usr/local/bin/chef-client
  permissions: "0755"
  content: |
    #!/bin/sh
    %s
    PATH=/opt/chef/bin:/opt/cinc/bin:/usr/bin:/bin exec chef-client "$@"
bootcmd:
- [ruby, -rjson, -e, 'f = "/etc/bakehouse/agent.json"; c = JSON.parse(File.read(f)); c["leave"] = {"drain" => "/usr/local/bin/drain"}; c["group"] = {"launch_hook" => "ready", "terminate_hook" => "bye", "signal_stack" => true}; File.write(f, JSON.pretty_generate(c))']
runcmd:
- [systemctl, daemon-reload]
`

// member is the one instance of a group that has a hook for each way.
type member struct {
	*scaling
	group string
	story.Instance
}

// joining is how an instance comes into its group.
type joining struct {
	channel, before string
	spot, warm      bool
	alone           bool // nobody comes in its place
}

// joins has a group of the name launch its one instance, into service or into
// its warm pool.
func joins(ctx context.Context, t *testing.T, name string, j joining) member {
	t.Helper()
	m := member{scaling: newScaling(t), group: name}
	m.removed(name)
	m.template(ctx, name, j)
	_, err := m.groups.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: &name, MinSize: aws.Int32(0), MaxSize: aws.Int32(1),
		AvailabilityZones: []string{"us-east-1a"}, LaunchTemplate: &astypes.LaunchTemplateSpecification{LaunchTemplateName: &name, Version: aws.String("1")},
		LifecycleHookSpecificationList: []astypes.LifecycleHookSpecification{hook("ready", "LAUNCHING"), hook("bye", "TERMINATING")}})
	if err == nil && j.warm {
		_, err = m.groups.PutWarmPool(ctx, &autoscaling.PutWarmPoolInput{AutoScalingGroupName: &name, PoolState: astypes.WarmPoolStateRunning})
	} else if err == nil {
		err = m.want(ctx, 1)
	}
	if err != nil {
		t.Fatal(err)
	}
	m.appears(ctx)
	if j.alone {
		if _, err := m.groups.SuspendProcesses(ctx, &autoscaling.SuspendProcessesInput{AutoScalingGroupName: &name, ScalingProcesses: []string{"Launch"}}); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// hook is one that waits for an agent on a slow machine, too, whose heartbeats
// begin with its first boot.
func hook(name, way string) astypes.LifecycleHookSpecification {
	return astypes.LifecycleHookSpecification{LifecycleHookName: &name, LifecycleTransition: aws.String("autoscaling:EC2_INSTANCE_" + way),
		HeartbeatTimeout: aws.Int32(600), DefaultResult: aws.String("ABANDON")}
}

// template makes the launch template of the story's image.
func (m member) template(ctx context.Context, name string, j joining) {
	m.t.Helper()
	data := &ec2types.RequestLaunchTemplateData{ImageId: aws.String(theStory(m.t).report.ImageID), InstanceType: ec2types.InstanceTypeT3Small,
		IamInstanceProfile: &ec2types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("web")},
		MetadataOptions: &ec2types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: ec2types.LaunchTemplateHttpTokensStateRequired,
			InstanceMetadataTags: ec2types.LaunchTemplateInstanceMetadataTagsStateEnabled},
		UserData: aws.String(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, inLife, j.before)))}
	tags := ec2types.LaunchTemplateTagSpecificationRequest{ResourceType: ec2types.ResourceTypeInstance}
	for k, v := range map[string]string{"bakehouse:channel": j.channel, "aws:cloudformation:stack-name": lifeStack, "aws:cloudformation:logical-id": "Web"} {
		tags.Tags = append(tags.Tags, ec2types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	data.TagSpecifications = append(data.TagSpecifications, tags)
	if j.spot {
		data.InstanceMarketOptions = &ec2types.LaunchTemplateInstanceMarketOptionsRequest{MarketType: ec2types.MarketTypeSpot}
	}
	if _, err := s.world.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: &name, LaunchTemplateData: data}); err != nil {
		m.t.Fatal(err)
	}
}

// want asks the group for n instances.
func (m member) want(ctx context.Context, n int32) error {
	_, err := m.groups.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{AutoScalingGroupName: &m.group, DesiredCapacity: &n})
	return err
}

// appears waits until EC2 has the instance.
func (m *member) appears(ctx context.Context) {
	m.t.Helper()
	err := story.Until(ctx, 100*time.Millisecond, func() error {
		out, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{Filters: filter("tag:aws:autoscaling:groupName", m.group)})
		if err == nil && len(out.Reservations) != 1 {
			err = fmt.Errorf("group %s has launched %d instances", m.group, len(out.Reservations))
		}
		if err == nil {
			i := out.Reservations[0].Instances[0]
			m.ID, m.Addr = aws.ToString(i.InstanceId), aws.ToString(i.PrivateIpAddress)
		}
		return err
	})
	if err != nil {
		m.t.Fatalf("%v\n%s", err, m.activities(m.group))
	}
}

// leaves has the group end the instance, for good.
func (m member) leaves(ctx context.Context) {
	m.t.Helper()
	_, err := m.groups.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{InstanceId: &m.ID, ShouldDecrementDesiredCapacity: aws.Bool(true)})
	if err != nil {
		m.t.Fatal(err)
	}
}

// life is what group and stack were told of an instance.
type life struct {
	gateway.Lifecycle
	signal string
}

func lifeOf(ctx context.Context, id string) (l life, err error) {
	b, err := control(ctx, http.MethodGet, "lifecycle", nil)
	if err != nil {
		return l, err
	}
	var all struct {
		Instances map[string]gateway.Lifecycle
		Signals   []gateway.Signal
	}
	if err := json.Unmarshal(b, &all); err != nil {
		return l, err
	}
	l.Lifecycle = all.Instances[id]
	for _, sig := range all.Signals {
		if sig.ID == id {
			l.signal = sig.Stack + "/" + sig.Resource + " " + sig.Status
		}
	}
	return l, nil
}

// answers waits until the group has these answers, and returns all it was told.
func answers(ctx context.Context, t *testing.T, id string, want ...string) (l life) {
	t.Helper()
	err := story.Until(ctx, 100*time.Millisecond, func() (err error) {
		if l, err = lifeOf(ctx, id); err == nil && !slices.Equal(l.Answers, want) {
			err = fmt.Errorf("the group was told %q, want %q", l.Answers, want)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, diagnose(id))
	}
	return l
}

// ended waits until EC2 calls the instance terminated.
func ended(ctx context.Context, t *testing.T, id string) {
	t.Helper()
	err := story.Until(ctx, 100*time.Millisecond, func() error {
		out, err := s.world.EC2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err == nil && out.Reservations[0].Instances[0].State.Name != "terminated" {
			err = fmt.Errorf("%s is %s", id, out.Reservations[0].Instances[0].State.Name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// console is what an instance wrote to its console.
func console(ctx context.Context, id string) (string, error) {
	out, err := s.world.EC2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id})
	if err != nil {
		return "", err
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	return string(text), err
}

// onConsole waits for words on an instance's console, one after the other: what
// is written reaches it a moment later.
func onConsole(ctx context.Context, t *testing.T, id string, words ...string) {
	t.Helper()
	ctx, cancel := within(ctx, 10*time.Second)
	defer cancel()
	err := story.Until(ctx, 200*time.Millisecond, func() error {
		text, err := console(ctx, id)
		if err != nil {
			return err
		}
		return inOrder(text, words...)
	})
	if err != nil {
		t.Error(err)
	}
}

// inOrder wants the words in a text, one after the other.
func inOrder(text string, words ...string) error {
	rest := text
	for _, word := range words {
		_, after, found := strings.Cut(rest, word)
		if !found {
			return fmt.Errorf("%q is not there, or too early; want %q in that order in\n%s", word, words, tail(text))
		}
		rest = after
	}
	return nil
}

// TestLifeInAGroup takes instances through what a group and a stack do with them.
func TestLifeInAGroup(t *testing.T) {
	theStory(t)
	makeLife(deadline(t, 30*time.Second), t)
	// A group that is told waits for these to be over before it is deleted.
	t.Run("members", func(t *testing.T) {
		t.Run("launched, served and terminated", isLaunchedAndTerminated)
		t.Run("abandoned", isAbandoned)
		t.Run("warmed", isWarmed)
		t.Run("interrupted", isInterrupted)
	})
}

// The launch hook is kept alive for as long as first boot takes, and told once
// the app serves; the termination's when nothing is left on the Chef server.
func isLaunchedAndTerminated(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 4*time.Minute)
	m := joins(ctx, t, "life", joining{channel: "production", before: "sleep 31"})
	l := answers(ctx, t, m.ID, "ready CONTINUE")
	if a, err := s.world.Answers(ctx, m.Addr); err != nil || a.App != "web" {
		t.Errorf("the group was told while the app answers %+v, %v", a, err)
	}
	if l.Beats == 0 || l.signal != "life/Web SUCCESS" {
		t.Errorf("%d heartbeats, signal %q; want some, and success", l.Beats, l.signal)
	}
	if err := complete(ctx, m.ID); err != nil {
		t.Fatal(err)
	}
	m.serving(ctx, m.group, 1)
	m.leaves(ctx)
	l = answers(ctx, t, m.ID, "ready CONTINUE", "bye CONTINUE")
	if node, client, err := registered(ctx, m.ID); err != nil || node || client {
		t.Errorf("the group was told while on the Chef server there is the node: %v, the client: %v (%v)", node, client, err)
	}
	ended(ctx, t, m.ID)
	onConsole(ctx, t, m.ID, "the Auto Scaling group terminates the instance", "life: drained while active", "life: stopped", "told group life: CONTINUE")
	m.serving(ctx, m.group, 0)
}

func isAbandoned(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 4*time.Minute)
	m := joins(ctx, t, "life-abandoned", joining{channel: "production", before: "exit 43", alone: true})
	l := answers(ctx, t, m.ID, "ready ABANDON")
	if l.signal != "life/Web FAILURE" {
		t.Errorf("the stack was told %q, want failure", l.signal)
	}
	ended(ctx, t, m.ID)
}

func isInterrupted(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 4*time.Minute)
	m := joins(ctx, t, "life-spot", joining{channel: "production", before: "true", spot: true, alone: true})
	answers(ctx, t, m.ID, "ready CONTINUE")
	if err := complete(ctx, m.ID); err != nil {
		t.Fatal(err)
	}
	if err := interrupt(ctx, m.ID, "10m"); err != nil {
		t.Fatal(err)
	}
	if err := goneFromChef(ctx, m.ID); err != nil {
		t.Error(err)
	}
	onConsole(ctx, t, m.ID, "spot interruption", "life: drained while active", "life: stopped")
}
