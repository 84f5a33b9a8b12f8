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
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// lifeGroup is the group that the tests' instances are launched into, with a
// hook for each way; lifeStack is the stack that waits for them. The lab's
// emulator launches no machines for a group: the tests do it in its place.
const (
	lifeGroup = "life"
	lifeStack = "life"
)

// makeLife makes group, hooks and stack, once.
func makeLife(ctx context.Context, t *testing.T) {
	t.Helper()
	client := autoscaling.NewFromConfig(s.world.AWS)
	name := aws.String(lifeGroup)
	_, err := client.CreateLaunchConfiguration(ctx, &autoscaling.CreateLaunchConfigurationInput{LaunchConfigurationName: name,
		ImageId: aws.String(theStory(t).report.ImageID), InstanceType: aws.String("t3.small")})
	if err == nil {
		_, err = client.CreateAutoScalingGroup(ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: name, LaunchConfigurationName: name,
			MinSize: aws.Int32(0), MaxSize: aws.Int32(0), AvailabilityZones: []string{"us-east-1a"}})
	}
	for hook, transition := range map[string]string{"ready": "autoscaling:EC2_INSTANCE_LAUNCHING", "bye": "autoscaling:EC2_INSTANCE_TERMINATING"} {
		if err == nil {
			_, err = client.PutLifecycleHook(ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: name, LifecycleHookName: aws.String(hook),
				LifecycleTransition: aws.String(transition), HeartbeatTimeout: aws.Int32(60), DefaultResult: aws.String("ABANDON")})
		}
	}
	if err == nil {
		err = makeStack(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := client.DeleteAutoScalingGroup(ctx, &autoscaling.DeleteAutoScalingGroupInput{AutoScalingGroupName: name, ForceDelete: aws.Bool(true)})
		if err == nil {
			_, err = client.DeleteLaunchConfiguration(ctx, &autoscaling.DeleteLaunchConfigurationInput{LaunchConfigurationName: name})
		}
		if err == nil {
			err = cloudFormation(ctx, url.Values{"Action": {"DeleteStack"}, "StackName": {lifeStack}})
		}
		if err != nil {
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

// joins launches an instance into the group. Its launch must not be over when
// the test has not told the lab yet where the instance goes.
func joins(ctx context.Context, t *testing.T, channel, before, target string, spot bool) story.Instance {
	t.Helper()
	inst := launch(ctx, t, story.Launch{Spot: spot, UserData: fmt.Sprintf(inLife, before), Tags: map[string]string{"bakehouse:channel": channel,
		"aws:autoscaling:groupName": lifeGroup, "aws:cloudformation:stack-name": lifeStack, "aws:cloudformation:logical-id": "Web"}})
	if target != "" {
		goes(ctx, t, inst.ID, target)
	}
	return inst
}

// goes sends an instance on its way, as its group would.
func goes(ctx context.Context, t *testing.T, id, target string) {
	t.Helper()
	o, err := s.world.Run(ctx, story.Tool{Name: "lab", Args: []string{"lifecycle", id, target}})
	if err != nil || o.Code != 0 {
		t.Fatalf("sending %s to %s: exit %d, %v\n%s", id, target, o.Code, err, o.Stderr)
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
		t.Fatal(err)
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
func console(ctx context.Context, t *testing.T, id string) string {
	t.Helper()
	out, err := s.world.EC2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id})
	if err != nil {
		t.Fatal(err)
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// inOrder wants the words in a text, one after the other.
func inOrder(t *testing.T, text string, words ...string) {
	t.Helper()
	rest := text
	for _, word := range words {
		_, after, found := strings.Cut(rest, word)
		if !found {
			t.Errorf("%q is not there, or too early; want %q in that order in\n%s", word, words, tail(text))
			return
		}
		rest = after
	}
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
	inst := joins(ctx, t, "production", "sleep 31", "", false)
	l := answers(ctx, t, inst.ID, "ready CONTINUE")
	if a, err := s.world.Answers(ctx, inst.Addr); err != nil || a.App != "web" {
		t.Errorf("the group was told while the app answers %+v, %v", a, err)
	}
	if l.Beats == 0 || l.signal != "life/Web SUCCESS" {
		t.Errorf("%d heartbeats, signal %q; want some, and success", l.Beats, l.signal)
	}
	if err := complete(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	goes(ctx, t, inst.ID, "Terminated")
	l = answers(ctx, t, inst.ID, "ready CONTINUE", "bye CONTINUE")
	if node, client, err := registered(ctx, inst.ID); err != nil || node || client {
		t.Errorf("the group was told while on the Chef server there is the node: %v, the client: %v (%v)", node, client, err)
	}
	ended(ctx, t, inst.ID)
	inOrder(t, console(ctx, t, inst.ID), "the Auto Scaling group terminates the instance", "life: drained while active", "life: stopped", "told group life: CONTINUE")
}

func isAbandoned(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 4*time.Minute)
	inst := joins(ctx, t, "production", "exit 43", "", false)
	l := answers(ctx, t, inst.ID, "ready ABANDON")
	if l.signal != "life/Web FAILURE" {
		t.Errorf("the stack was told %q, want failure", l.signal)
	}
	ended(ctx, t, inst.ID)
}

// A warm instance is prepared, serves nothing and says nothing to the stack;
// in service it starts the build that is current by then.
func isWarmed(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 4*time.Minute)
	p := pulled{t: t, ctx: ctx, channel: "warm"}
	p.first = p.push("warm-first", nil)
	inst := joins(ctx, t, p.channel, "true", "Warmed:Running", false)
	l := answers(ctx, t, inst.ID, "ready CONTINUE")
	st, err := agentStatus(ctx, inst.ID)
	for deadline := time.Now().Add(10 * time.Second); err == nil && st.State != "warm" && time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond) // it notes what it told a moment later
		st, err = agentStatus(ctx, inst.ID)
	}
	if err != nil || st.State != "warm" || l.signal != "" {
		t.Errorf("in the warm pool: state %q, the stack was told %q (%v)", st.State, l.signal, err)
	}
	if active := inGuest(t, inst.ID, "systemctl is-active web.service || true; readlink /srv/web/current"); active != "inactive\nreleases/"+p.first {
		t.Errorf("in the warm pool the app is %s, want it stopped and its build there", active)
	}
	newer := p.push("warm-newer", nil)
	goes(ctx, t, inst.ID, "InService")
	l = answers(ctx, t, inst.ID, "ready CONTINUE", "ready CONTINUE")
	if a, err := s.world.Answers(ctx, inst.Addr); err != nil || a.Release != newer {
		t.Errorf("in service the app answers with %s (%v), want %s", a.Release, err, newer)
	}
	if l.signal != "life/Web SUCCESS" {
		t.Errorf("in service the stack was told %q", l.signal)
	}
}

func isInterrupted(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 4*time.Minute)
	inst := joins(ctx, t, "production", "true", "", true)
	answers(ctx, t, inst.ID, "ready CONTINUE")
	if err := complete(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	if err := interrupt(ctx, inst.ID, "60s"); err != nil {
		t.Fatal(err)
	}
	if err := goneFromChef(ctx, inst.ID); err != nil {
		t.Error(err)
	}
	inOrder(t, console(ctx, t, inst.ID), "spot interruption", "life: drained while active", "life: stopped")
}
