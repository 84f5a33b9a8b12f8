//go:build lab

package gateway_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/test/lab/gateway"
)

// send asks the lab to move an instance; it returns the status and what was said.
func (b *bench) send(id, state string) (int, string) {
	b.t.Helper()
	body, _ := json.Marshal(map[string]string{"instance": id, "state": state})
	res, err := http.Post(b.url+"/_lab/lifecycle", "application/json", bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(said)
}

func testLifecycleActions(b *bench) {
	client := autoscaling.NewFromConfig(b.cfg)
	group := aws.String("hooked")
	_, err := client.CreateLaunchConfiguration(b.ctx, &autoscaling.CreateLaunchConfigurationInput{LaunchConfigurationName: group,
		ImageId: aws.String(baseImage), InstanceType: aws.String("t3.small")})
	if err == nil {
		_, err = client.CreateAutoScalingGroup(b.ctx, &autoscaling.CreateAutoScalingGroupInput{AutoScalingGroupName: group, LaunchConfigurationName: group,
			MinSize: aws.Int32(0), MaxSize: aws.Int32(1), AvailabilityZones: []string{"us-east-1a"}})
	}
	for name, transition := range map[string]string{"ready": "autoscaling:EC2_INSTANCE_LAUNCHING", "bye": "autoscaling:EC2_INSTANCE_TERMINATING"} {
		if err == nil {
			_, err = client.PutLifecycleHook(b.ctx, &autoscaling.PutLifecycleHookInput{AutoScalingGroupName: group, LifecycleHookName: aws.String(name),
				LifecycleTransition: aws.String(transition), HeartbeatTimeout: aws.Int32(60)})
		}
	}
	if err != nil {
		b.t.Fatalf("making a group with hooks: %v", err)
	}
	launch := func(tags ...types.Tag) string {
		in := &ec2.RunInstancesInput{ImageId: aws.String(baseImage), InstanceType: "t3.small", MinCount: aws.Int32(1), MaxCount: aws.Int32(1)}
		if tags != nil {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: "instance", Tags: tags}}
		}
		out, err := b.ec2.RunInstances(b.ctx, in)
		if err != nil {
			b.t.Fatal(err)
		}
		id := *out.Instances[0].InstanceId
		b.machines.set(id, "running")
		return id
	}
	member, stranger := launch(types.Tag{Key: aws.String("aws:autoscaling:groupName"), Value: group}), launch()
	beat := func(id, hook string) error {
		_, err := client.RecordLifecycleActionHeartbeat(b.ctx, &autoscaling.RecordLifecycleActionHeartbeatInput{AutoScalingGroupName: group, LifecycleHookName: &hook, InstanceId: &id})
		return err
	}
	complete := func(id, hook, result string) error {
		_, err := client.CompleteLifecycleAction(b.ctx, &autoscaling.CompleteLifecycleActionInput{AutoScalingGroupName: group, LifecycleHookName: &hook,
			InstanceId: &id, LifecycleActionResult: &result})
		return err
	}
	wantCode(b.t, "a heartbeat of an instance of no group", beat(stranger, "ready"), "ValidationError")
	wantCode(b.t, "a heartbeat for another hook", beat(member, "bye"), "ValidationError")
	wantCode(b.t, "a result that there is not", complete(member, "ready", "MAYBE"), "ValidationError")
	for range 2 {
		b.clock.move(50 * time.Second)
		if err := beat(member, "ready"); err != nil {
			b.t.Errorf("a heartbeat in time: %v", err)
		}
	}
	if err := complete(member, "ready", "CONTINUE"); err != nil {
		b.t.Errorf("completing the launch: %v", err)
	}
	wantCode(b.t, "completing it once more", complete(member, "ready", "CONTINUE"), "ValidationError")
	if code, said := b.send(member, "Gone"); code != http.StatusBadRequest || !strings.Contains(said, "InService") {
		b.t.Errorf("a state that there is not: %d %s", code, said)
	}
	if code, said := b.send(stranger, "Terminated"); code != http.StatusBadRequest {
		b.t.Errorf("moving an instance of no group: %d %s", code, said)
	}
	if code, said := b.send(member, "Terminated"); code != http.StatusNoContent {
		b.t.Fatalf("terminating: %d %s", code, said)
	}
	b.clock.move(2 * time.Minute)
	wantCode(b.t, "completing an action whose time is over", complete(member, "bye", "CONTINUE"), "ValidationError")
	b.send(member, "Terminated")
	if err := complete(member, "bye", "CONTINUE"); err != nil {
		b.t.Errorf("completing the termination: %v", err)
	}
}

// query sends a form as CloudFormation's clients do, and returns what came back.
func (b *bench) query(service string, values url.Values) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.url, strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(said)
}

func testStackSignals(b *bench) {
	const template = `{"Resources": {"Web": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/stack/web", "Type": "String", "Value": "x"}}}}`
	if code, said := b.query("cloudformation", url.Values{"Action": {"CreateStack"}, "Version": {"2010-05-15"}, "StackName": {"shop"}, "TemplateBody": {template}}); code != 200 {
		b.t.Fatalf("making a stack: %d %s", code, said)
	}
	signal := func(stack, resource, status string) (int, string) {
		return b.query("cloudformation", url.Values{"Action": {"SignalResource"}, "Version": {"2010-05-15"}, "StackName": {stack},
			"LogicalResourceId": {resource}, "UniqueId": {"i-1"}, "Status": {status}})
	}
	for _, bad := range [][3]string{{"none", "Web", "SUCCESS"}, {"shop", "None", "SUCCESS"}, {"shop", "Web", "FINE"}} {
		if code, said := signal(bad[0], bad[1], bad[2]); code != http.StatusBadRequest || !strings.Contains(said, "ValidationError") {
			b.t.Errorf("signal %q: %d %s", bad, code, said)
		}
	}
	for _, status := range []string{"SUCCESS", "FAILURE"} { // the first one stands
		if code, said := signal("shop", "Web", status); code != 200 {
			b.t.Errorf("signal %s: %d %s", status, code, said)
		}
	}
	res, err := http.Get(b.url + "/_lab/lifecycle")
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var is struct{ Signals []gateway.Signal }
	if err := json.NewDecoder(res.Body).Decode(&is); err != nil || len(is.Signals) != 1 || is.Signals[0] != (gateway.Signal{Stack: "shop", Resource: "Web", ID: "i-1", Status: "SUCCESS"}) {
		b.t.Errorf("the lab has %+v (%v)", is.Signals, err)
	}
}
