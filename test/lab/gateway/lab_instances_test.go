//go:build lab

package gateway_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func testLaunch(b *bench) {
	i := b.run()
	if i.State.Name != types.InstanceStateNamePending {
		b.t.Errorf("a new instance is %s, want pending", i.State.Name)
	}
	b.machines.set(*i.InstanceId, "running")
	i = *b.describe(*i.InstanceId)
	if !strings.HasPrefix(aws.ToString(i.PrivateIpAddress), "172.31.") {
		b.t.Errorf("private address %q is not in the default VPC", aws.ToString(i.PrivateIpAddress))
	}
	if aws.ToString(i.PublicIpAddress) != "" || aws.ToString(i.PublicDnsName) != "" {
		b.t.Errorf("public address %q, name %q", aws.ToString(i.PublicIpAddress), aws.ToString(i.PublicDnsName))
	}
	for _, eni := range i.NetworkInterfaces {
		if eni.Association != nil || !aws.ToBool(eni.Attachment.DeleteOnTermination) {
			b.t.Errorf("interface: association %v, attachment %+v", eni.Association, eni.Attachment)
		}
	}
	if len(i.SecurityGroups) != 1 || *i.SecurityGroups[0].GroupName != "default" {
		b.t.Errorf("groups are %+v, want the default one", i.SecurityGroups)
	}
	if b.machines.nudges == 0 {
		b.t.Error("the hypervisor was not nudged")
	}
}

// testEmptySubnet sends what older SDKs send: SubnetId= with no value.
func testEmptySubnet(b *bench) {
	status, body := b.form("ec2", url.Values{
		"Action": {"RunInstances"}, "Version": {"2016-11-15"}, "ImageId": {baseImage}, "InstanceType": {"t3.small"},
		"MinCount": {"1"}, "MaxCount": {"1"}, "SubnetId": {""},
	})
	if status != http.StatusOK || !strings.Contains(body, "<privateIpAddress>172.31.") {
		b.t.Errorf("HTTP %d: %s", status, body)
	}
}

// form makes a call that no SDK of ours would make.
func (b *bench) form(service string, form url.Values) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.url, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/"+service+"/aws4_request, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	var body strings.Builder
	if err := res.Write(&body); err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, body.String()
}

func testOwnInterface(b *bench) {
	made, err := b.ec2.CreateSecurityGroup(b.ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("own"), Description: aws.String("a group"),
	})
	if err != nil {
		b.t.Fatalf("CreateSecurityGroup: %v", err)
	}
	i := b.run(func(in *ec2.RunInstancesInput) {
		in.NetworkInterfaces = []types.InstanceNetworkInterfaceSpecification{{
			DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: aws.Bool(true), Groups: []string{*made.GroupId},
			DeleteOnTermination: aws.Bool(true),
		}}
	})
	if len(i.SecurityGroups) != 1 || *i.SecurityGroups[0].GroupId != *made.GroupId || aws.ToString(i.PublicIpAddress) != "" {
		b.t.Errorf("groups %+v, public address %q", i.SecurityGroups, aws.ToString(i.PublicIpAddress))
	}
	if len(i.NetworkInterfaces) != 1 || len(i.NetworkInterfaces[0].Groups) != 1 {
		b.t.Errorf("interfaces %+v", i.NetworkInterfaces)
	}
}

func testProfile(b *bench) {
	for _, form := range []url.Values{
		{"Action": {"CreateRole"}, "RoleName": {"bench"}, "AssumeRolePolicyDocument": {"{}"}},
		{"Action": {"CreateInstanceProfile"}, "InstanceProfileName": {"bench"}},
		{"Action": {"AddRoleToInstanceProfile"}, "InstanceProfileName": {"bench"}, "RoleName": {"bench"}},
	} {
		form.Set("Version", "2010-05-08")
		if status, body := b.form("iam", form); status != http.StatusOK {
			b.t.Fatalf("%s: HTTP %d %s", form.Get("Action"), status, body)
		}
	}
	i := b.run(func(in *ec2.RunInstancesInput) {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("bench")}
	})
	got := b.describe(*i.InstanceId).IamInstanceProfile
	if got == nil || !strings.HasSuffix(aws.ToString(got.Arn), ":instance-profile/bench") {
		b.t.Errorf("instance has profile %+v", got)
	}
}

func testClientToken(b *bench) {
	token := func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("token-" + b.t.Name()) }
	first, second := b.run(token), b.run(token)
	if *first.InstanceId != *second.InstanceId {
		b.t.Errorf("one token launched %s and %s", *first.InstanceId, *second.InstanceId)
	}
	out, err := b.ec2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("client-token"), Values: []string{"token-" + b.t.Name()}}},
	})
	if err != nil || len(out.Reservations) != 1 || *out.Reservations[0].Instances[0].InstanceId != *first.InstanceId {
		b.t.Errorf("client-token filter: %v, %+v", err, out)
	}
	_, err = b.ec2.RunInstances(b.ctx, &ec2.RunInstancesInput{
		ImageId: aws.String(baseImage), InstanceType: types.InstanceTypeT3Large, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		ClientToken: aws.String("token-" + b.t.Name()),
	})
	wantCode(b.t, "a token with other parameters", err, "IdempotentParameterMismatch")
}

func testClientTokenRace(b *bench) {
	var wg sync.WaitGroup
	ids := make([]string, 4)
	for n := range ids {
		wg.Go(func() {
			ids[n] = *b.run(func(in *ec2.RunInstancesInput) { in.ClientToken = aws.String("race") }).InstanceId
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			b.t.Errorf("one token launched %v", ids)
		}
	}
}

func testMaxCount(b *bench) {
	out, err := b.ec2.RunInstances(b.ctx, &ec2.RunInstancesInput{
		ImageId: aws.String(baseImage), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(3),
	})
	if err != nil || len(out.Instances) != 3 || aws.ToInt32(out.Instances[2].AmiLaunchIndex) != 2 {
		b.t.Errorf("launch of 1 to 3: %v, %+v", err, out)
	}
}

func testTemplate(b *bench) {
	group, err := b.ec2.CreateSecurityGroup(b.ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("template-one"), Description: aws.String("one")})
	if err != nil {
		b.t.Fatalf("CreateSecurityGroup: %v", err)
	}
	_, err = b.ec2.CreateLaunchTemplate(b.ctx, &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: aws.String("template-one"),
		LaunchTemplateData: &types.RequestLaunchTemplateData{
			ImageId: aws.String(baseImage), InstanceType: types.InstanceTypeT3Small, SecurityGroupIds: []string{*group.GroupId},
			Monitoring:      &types.LaunchTemplatesMonitoringRequest{Enabled: aws.Bool(true)},
			MetadataOptions: &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: types.LaunchTemplateHttpTokensStateRequired},
		},
	})
	if err != nil {
		b.t.Fatalf("CreateLaunchTemplate: %v", err)
	}
	out, err := b.ec2.RunInstances(b.ctx, &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateName: aws.String("template-one")},
	})
	if err != nil {
		b.t.Fatalf("RunInstances: %v", err)
	}
	if i := out.Instances[0]; *i.ImageId != baseImage || i.MetadataOptions.HttpTokens != types.HttpTokensStateRequired {
		b.t.Errorf("launched %s with tokens %s", *i.ImageId, i.MetadataOptions.HttpTokens)
	}
	if i := out.Instances[0]; len(i.SecurityGroups) != 1 || *i.SecurityGroups[0].GroupId != *group.GroupId || i.Monitoring.State != types.MonitoringStateEnabled {
		b.t.Errorf("launched in %+v, monitoring %+v", i.SecurityGroups, i.Monitoring)
	}
}

func testStates(b *bench) {
	id := *b.run().InstanceId
	want := func(state types.InstanceStateName) {
		b.t.Helper()
		if got := b.describe(id).State.Name; got != state {
			b.t.Errorf("instance is %s, want %s", got, state)
		}
	}
	want(types.InstanceStateNamePending)
	b.machines.set(id, "running")
	want(types.InstanceStateNameRunning)
	stop, err := b.ec2.StopInstances(b.ctx, &ec2.StopInstancesInput{InstanceIds: []string{id}})
	if err != nil || stop.StoppingInstances[0].CurrentState.Name != types.InstanceStateNameStopping {
		b.t.Fatalf("StopInstances: %v, %+v", err, stop)
	}
	want(types.InstanceStateNameStopping)
	b.machines.set(id, "stopped")
	want(types.InstanceStateNameStopped)
	if _, err := b.ec2.StartInstances(b.ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}}); err != nil {
		b.t.Fatalf("StartInstances: %v", err)
	}
	want(types.InstanceStateNamePending)
	b.machines.set(id, "running")
	want(types.InstanceStateNameRunning)
	b.machines.set(id, "stopping") // the guest powers itself off
	want(types.InstanceStateNameStopping)
}

func testTermination(b *bench) {
	launched := b.run()
	id := *launched.InstanceId
	b.machines.set(id, "running")
	end, err := b.ec2.TerminateInstances(b.ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}})
	if err != nil {
		b.t.Fatalf("TerminateInstances: %v", err)
	}
	was, is := end.TerminatingInstances[0].PreviousState.Name, end.TerminatingInstances[0].CurrentState.Name
	if was != types.InstanceStateNameRunning || is != types.InstanceStateNameShuttingDown {
		b.t.Errorf("TerminateInstances says %s to %s", was, is)
	}
	if got := b.describe(id).State.Name; got != types.InstanceStateNameShuttingDown {
		b.t.Errorf("instance is %s while its machine runs", got)
	}
	b.machines.set(id, "terminated")
	if i := b.describe(id); i.State.Name != types.InstanceStateNameTerminated || i.PrivateIpAddress != nil || len(i.NetworkInterfaces) != 0 {
		b.t.Errorf("a terminated instance is %s and keeps %v", i.State.Name, aws.ToString(i.PrivateIpAddress))
	}
	_, err = b.ec2.DescribeVolumes(b.ctx, &ec2.DescribeVolumesInput{
		VolumeIds: []string{*launched.BlockDeviceMappings[0].Ebs.VolumeId},
	})
	wantCode(b.t, "the root volume of a terminated instance", err, "InvalidVolume.NotFound")
}

func testStateFilters(b *bench) {
	id := *b.run().InstanceId
	state := func(name string) types.Filter {
		return types.Filter{Name: aws.String("instance-state-name"), Values: []string{name}}
	}
	if b.describe(id, state("running")) != nil || b.describe(id, state("pending")) == nil {
		b.t.Error("a pending instance is found as running, or not as pending")
	}
	status, err := b.ec2.DescribeInstanceStatus(b.ctx, &ec2.DescribeInstanceStatusInput{InstanceIds: []string{id}})
	if err != nil || len(status.InstanceStatuses) != 0 {
		b.t.Errorf("status of a pending instance: %v, %+v", err, status)
	}
	status, err = b.ec2.DescribeInstanceStatus(b.ctx, &ec2.DescribeInstanceStatusInput{
		InstanceIds: []string{id}, IncludeAllInstances: aws.Bool(true),
	})
	if err != nil || len(status.InstanceStatuses) != 1 || status.InstanceStatuses[0].InstanceStatus.Status != types.SummaryStatusNotApplicable {
		b.t.Errorf("full status of a pending instance: %v, %+v", err, status)
	}
	b.machines.set(id, "running")
	if b.describe(id, state("running")) == nil {
		b.t.Error("a running instance is not found as running")
	}
	if b.describe(id, state("running"), types.Filter{Name: aws.String("tag:none"), Values: []string{"x"}}) != nil {
		b.t.Error("the other filters are lost")
	}
}

func (b *bench) terminate(id string) {
	b.t.Helper()
	if _, err := b.ec2.TerminateInstances(b.ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil {
		b.t.Fatalf("TerminateInstances: %v", err)
	}
}

func testVanish(b *bench) {
	id := *b.run().InstanceId
	b.terminate(id)
	if s := b.describe(id).State.Name; s != types.InstanceStateNameTerminated {
		b.t.Fatalf("instance is %s", s)
	}
	b.clock.move(time.Hour)
	_, err := b.ec2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
	wantCode(b.t, "describing a vanished instance", err, "InvalidInstanceID.NotFound")
	out, err := b.ec2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{
		Filters: []types.Filter{{Name: aws.String("instance-id"), Values: []string{id}}},
	})
	if err != nil || len(out.Reservations) != 0 {
		b.t.Errorf("filter on a vanished instance: %v, %+v", err, out)
	}
}

func testIncorrectState(b *bench) {
	id := *b.run().InstanceId
	b.terminate(id)
	b.terminate(id) // again: no error
	_, err := b.ec2.StartInstances(b.ctx, &ec2.StartInstancesInput{InstanceIds: []string{id}})
	wantCode(b.t, "starting a terminated instance", err, "IncorrectInstanceState")
	if s := b.describe(id).State.Name; s != types.InstanceStateNameTerminated {
		b.t.Errorf("a terminated instance came back as %s", s)
	}
}

func testSecurityGroup(b *bench) {
	made, err := b.ec2.CreateSecurityGroup(b.ctx, &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("bench"), Description: aws.String("a group"),
	})
	if err != nil {
		b.t.Fatalf("CreateSecurityGroup: %v", err)
	}
	i := b.run(func(in *ec2.RunInstancesInput) { in.SecurityGroupIds = []string{*made.GroupId} })
	id := *i.InstanceId
	if len(i.SecurityGroups) != 1 || *i.SecurityGroups[0].GroupId != *made.GroupId {
		b.t.Errorf("instance has groups %+v", i.SecurityGroups)
	}
	remove := func() error {
		_, err := b.ec2.DeleteSecurityGroup(b.ctx, &ec2.DeleteSecurityGroupInput{GroupId: made.GroupId})
		return err
	}
	b.machines.set(id, "running")
	wantCode(b.t, "deleting a group in use", remove(), "DependencyViolation")
	b.terminate(id)
	wantCode(b.t, "deleting a group of a machine that still goes down", remove(), "DependencyViolation")
	b.machines.set(id, "terminated")
	if err := remove(); err != nil {
		b.t.Errorf("deleting a free group: %v", err)
	}
	out, err := b.ec2.DescribeNetworkInterfaces(b.ctx, &ec2.DescribeNetworkInterfacesInput{
		Filters: []types.Filter{{Name: aws.String("attachment.instance-id"), Values: []string{id}}},
	})
	if err != nil || len(out.NetworkInterfaces) != 0 {
		b.t.Errorf("interfaces left: %v, %+v", err, out)
	}
	if b.describe(id) == nil {
		b.t.Error("the instance went with its interface")
	}
}

func testConsole(b *bench) {
	id := *b.run().InstanceId
	out, err := b.ec2.GetConsoleOutput(b.ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(id)})
	if err != nil {
		b.t.Fatalf("GetConsoleOutput: %v", err)
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil || string(text) != "console of "+id {
		b.t.Errorf("console is %q, %v", text, err)
	}
}

func testMetadataOptions(b *bench) {
	id := *b.run(func(in *ec2.RunInstancesInput) {
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{
			HttpTokens: types.HttpTokensStateRequired, InstanceMetadataTags: types.InstanceMetadataTagsStateEnabled,
		}
	}).InstanceId
	_, err := b.ec2.ModifyInstanceMetadataOptions(b.ctx, &ec2.ModifyInstanceMetadataOptionsInput{
		InstanceId: aws.String(id), HttpPutResponseHopLimit: aws.Int32(3),
	})
	if err != nil {
		b.t.Fatalf("ModifyInstanceMetadataOptions: %v", err)
	}
	o := b.describe(id).MetadataOptions
	if o.HttpTokens != types.HttpTokensStateRequired || o.InstanceMetadataTags != types.InstanceMetadataTagsStateEnabled || *o.HttpPutResponseHopLimit != 3 {
		b.t.Errorf("options are %+v", o)
	}
}

func testAllocateAddress(b *bench) {
	_, err := b.ec2.AllocateAddress(b.ctx, &ec2.AllocateAddressInput{})
	wantCode(b.t, "AllocateAddress", err, "AddressLimitExceeded")
}

func testDryRun(b *bench) {
	_, err := b.ec2.RunInstances(b.ctx, &ec2.RunInstancesInput{
		ImageId: aws.String(baseImage), InstanceType: types.InstanceTypeT3Small, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		DryRun: aws.Bool(true), ClientToken: aws.String("dry"),
	})
	wantCode(b.t, "dry run", err, "DryRunOperation")
	if b.machines.nudges != 0 {
		b.t.Error("a dry run nudged the hypervisor")
	}
}

func testUnknownAction(b *bench) {
	_, err := b.ec2.DescribeImageUsageReports(b.ctx, &ec2.DescribeImageUsageReportsInput{})
	wantCode(b.t, "an action that moto lacks", err, "InvalidAction")
	if err == nil || !strings.Contains(err.Error(), "emulator") {
		b.t.Errorf("the message does not name the emulator: %v", err)
	}
	if n := len(b.calls("DescribeImageUsageReports")); n != 1 {
		b.t.Errorf("the SDK called %d times", n)
	}
}
