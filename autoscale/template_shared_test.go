package autoscale

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

func TestATemplateOfSomebodyElseIsNotTakenOver(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	ctx := context.Background()
	if _, err := c.w.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("web"), LaunchTemplateData: &ec2types.RequestLaunchTemplateData{ImageId: aws.String("ami-3")}}); err != nil {
		t.Fatal(err)
	}
	s := mustParse(t, base)
	_, err := Diff(s, c.observe(s), DiffOptions{})
	if err == nil || !strings.Contains(err.Error(), "launch template web") {
		t.Errorf("a template of the group's name that nobody here made: %v", err)
	}
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, template: web", 1)) // the file means it
	c.apply(base)
}

func TestATemplateThatOutlivedItsGroupServesTheNextOne(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(base)
	if _, err := c.as.DeleteAutoScalingGroup(context.Background(), &as.DeleteAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), ForceDelete: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Hour)
	c.tick()
	c.apply(strings.Replace(base, "t3.small", "t3.large", 1))
}

func TestGroupsOfOneFileMayShareATemplate(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	file := "version: 2\nregion: us-east-1\ndefaults: {capacity: {min: 1, max: 4}, launch: {template: all, image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}}\n" +
		"groups: {api: {}, job: {launch: {type: t3.large}}, web: {}}\n"
	c.apply(file)
	live := c.observe(mustParse(t, file)).Groups
	if live["api"].Version != "1" || live["web"].Version != "1" || live["job"].Version != "2" {
		t.Errorf("versions are %s, %s, %s; want 1, 2, 1", live["api"].Version, live["job"].Version, live["web"].Version)
	}
}

func TestAGroupOfAnotherOwnerIsNotTakenSilently(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply("owner: theirs\n" + base)
	p, _ := c.plan(mustParse(t, "owner: ours\n"+base))
	if !slices.ContainsFunc(p.Warnings, func(w Warning) bool { return strings.Contains(w.Text, "owner theirs") }) {
		t.Errorf("nothing says whose the group was: %v", p.Warnings)
	}
}

func TestAMixedPolicyForAGroupThatUsesALaunchConfigurationNamesTheCure(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.oldTool()
	s := mustParse(t, "version: 2\nregion: us-east-1\ngroups: {web: {mixed: {types: [t3.small, t3.large], on_demand_percentage: 0}}}")
	if _, err := Diff(s, c.observe(s), DiffOptions{}); err == nil || !strings.Contains(err.Error(), "launch configuration web-20130101") {
		t.Errorf("got %v", err)
	}
}
