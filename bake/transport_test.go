package bake

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

func TestSSMNeedsNoKeyAndNoSecurityGroup(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Transport, f.in.InstanceProfile = TransportSSM, "ssm"
	f.Connect = func(context.Context, host.Target) (Machine, error) { return nil, errBoom }
	reached := ""
	f.ConnectSSM = func(_ context.Context, instance string) (Machine, error) { reached = instance; return f.machine, nil }
	p := f.plan(t)
	if _, err := f.Bake(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	run := f.ec2.instances[0].params
	data, err := base64.StdEncoding.DecodeString(run.Get("UserData"))
	if err != nil || strings.Contains(string(data), "ssh") || !strings.Contains(string(data), "self-destruct") {
		t.Errorf("user-data %s, %v", data, err)
	}
	if run.Get("SecurityGroupId.1") != "" || run.Get("KeyName") != "" || slices.Contains(f.ec2.calls, "CreateSecurityGroup") {
		t.Errorf("a group or key was used: %v", run)
	}
	if reached != f.ec2.instances[0].id || !strings.Contains(p.Text(), "SSM Run Command") || strings.Contains(p.Text(), "port 22") {
		t.Errorf("reached %q; the plan says\n%s", reached, p.Text())
	}
}

func TestAnSSMAgentThatNeverAnswersIsNamed(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Transport = TransportSSM
	f.ConnectSSM = func(context.Context, string) (Machine, error) { return nil, errBoom }
	_, err := f.Bake(t.Context(), f.plan(t))
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "AmazonSSMManagedInstanceCore") || len(f.left(t)) > 0 {
		t.Errorf("%v, next %q, left %v", err, fault.NextOf(err), f.left(t))
	}
}

func TestAPackageTooLargeForSSMIsRefused(t *testing.T) {
	t.Parallel()
	p := Plan{inputs: Inputs{Transport: TransportSSM}, chefFile: packageFile{path: "chef.deb", size: ssmPackage + 1}}
	if err := p.checkSSMFiles(); fault.KindOf(err) != fault.Usage || !strings.Contains(fault.NextOf(err), "URL") {
		t.Errorf("%v", err)
	}
	p.inputs.Transport = TransportSSH
	if err := p.checkSSMFiles(); err != nil {
		t.Error(err)
	}
}
