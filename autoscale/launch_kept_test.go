package autoscale

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/internal/fault"
)

// packed is user data that is no text, as compressed cloud-init data is.
func packed() string { return base64.StdEncoding.EncodeToString([]byte{0x1f, 0x8b, 8, 0, 0xff, 0xfe}) }

// userData is what the version that group web uses has, as EC2 tells it.
func (c *cloud) userData() string {
	c.t.Helper()
	live := c.observe(mustParse(c.t, base)).Groups["web"]
	out, err := c.w.EC2.DescribeLaunchTemplateVersions(context.Background(), &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateName: &live.Template, Versions: []string{live.Version}})
	if err != nil || len(out.LaunchTemplateVersions) != 1 {
		c.t.Fatalf("%v %v", out, err)
	}
	return val(out.LaunchTemplateVersions[0].LaunchTemplateData.UserData)
}

func TestUserDataThatIsNoTextIsKept(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c := newCloud(t) // adopted from a launch configuration
	if _, err := c.as.CreateLaunchConfiguration(ctx, &as.CreateLaunchConfigurationInput{LaunchConfigurationName: aws.String("old"), ImageId: aws.String("ami-1"), InstanceType: aws.String("t3.small"), UserData: aws.String(packed())}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.as.CreateAutoScalingGroup(ctx, &as.CreateAutoScalingGroupInput{AutoScalingGroupName: aws.String("web"), LaunchConfigurationName: aws.String("old"), MinSize: aws.Int32(1), MaxSize: aws.Int32(4), AvailabilityZones: []string{"us-east-1a"}}); err != nil {
		t.Fatal(err)
	}
	c.apply(base)
	if got := c.userData(); got != packed() {
		t.Errorf("moving to a launch template makes %q of the user data", got)
	}
	// A version that has to be written out whole, as a list is emptied.
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, block_devices: {/dev/sdb: {size: 8}}", 1))
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, block_devices: {}", 1))
	if got := c.userData(); got != packed() {
		t.Errorf("a version that is written out has the user data %q", got)
	}
	c.apply(strings.Replace(base, "type: t3.small", "type: t3.small, user_data: 'base64:H4sIAP7/AAA='", 1))
	if got := c.userData(); got != "H4sIAP7/AAA=" {
		t.Errorf("the file's user data arrives as %q", got)
	}
	c.imports([]string{"web"})
}

func TestTargetGroupsAreAttachedTenAtATime(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	w := &counted{GroupsAPI: c.w.Groups}
	c.w.Groups = w
	c.apply(base)
	var arns []string
	for i := range 23 {
		arns = append(arns, fmt.Sprintf("'arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/t%02d/0123456789abcdef'", i))
	}
	c.apply(in("load_balancing: {target_groups: [" + strings.Join(arns, ", ") + "]}"))
	c.apply(in("load_balancing: {target_groups: []}"))
	if w.most > 10 || w.calls != 6 {
		t.Errorf("%d calls of up to %d target groups; AWS takes 10", w.calls, w.most)
	}
}

// counted counts what stands in a call.
type counted struct {
	GroupsAPI
	calls, most int
}

func (c *counted) AttachLoadBalancerTargetGroups(ctx context.Context, in *as.AttachLoadBalancerTargetGroupsInput, o ...func(*as.Options)) (*as.AttachLoadBalancerTargetGroupsOutput, error) {
	c.calls, c.most = c.calls+1, max(c.most, len(in.TargetGroupARNs))
	return c.GroupsAPI.AttachLoadBalancerTargetGroups(ctx, in, o...)
}

func (c *counted) DetachLoadBalancerTargetGroups(ctx context.Context, in *as.DetachLoadBalancerTargetGroupsInput, o ...func(*as.Options)) (*as.DetachLoadBalancerTargetGroupsOutput, error) {
	c.calls, c.most = c.calls+1, max(c.most, len(in.TargetGroupARNs))
	return c.GroupsAPI.DetachLoadBalancerTargetGroups(ctx, in, o...)
}

func TestWhatNewInstancesNeedComesBeforeTheyStart(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(base)
	p, _ := c.plan(mustParse(t, strings.Replace(in("tags: {Team: shop}\n    suspended: [AZRebalance]\n    hooks: {boot: {on: launching}}"), "min: 1", "min: 3", 1)))
	if got := kinds(p); len(got) != 4 || got[3] != UpdateGroup {
		t.Errorf("the group grows before it has its tags, hooks and suspended processes: %v", got)
	}
}

func TestNumbersThatAWSCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Replace(base, "max: 4", "max: 4294967298", 1), in(strings.Replace(alarmed, "70", "nan", 1)), in(strings.Replace(alarmed, "70", "inf", 1))} {
		if _, err := Parse("autoscale.yaml", []byte(text)); err == nil {
			t.Errorf("admitted: %s", text)
		}
	}
}

func TestATagWithoutAValueIsPut(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(base)
	file := in("tags: {flag: {value: ''}}")
	c.apply(file)
	if _, there := c.observe(mustParse(t, file)).Groups["web"].Tags["flag"]; !there {
		t.Error("an empty tag that the file asks for is not there")
	}
}

func TestUserDataThatEC2WouldRefuseIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"user_data: 'base64:not base 64'":                       "launch.user_data: what follows base64: cannot be decoded",
		"user_data: " + strings.Repeat("x", 16<<10+1):           "launch.user_data: user data has 16385 bytes, and EC2 takes 16384",
		"security_groups: [arn:aws:ec2:eu-west-1:1234:group]":   "launch.security_groups.0: expected text, got a section",
		"user_data: 'base64:" + packed() + "', monitoring: one": "launch.monitoring: expected true or false",
	} {
		_, err := Parse("autoscale.yaml", []byte(strings.Replace(base, "type: t3.small", "type: t3.small, "+text, 1)))
		if err == nil || !strings.Contains(err.Error(), "autoscale.yaml:6:") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", text, err, want)
		}
		if strings.HasPrefix(text, "security") && !strings.Contains(fault.NextOf(err), "quotes") {
			t.Errorf("%s: the way out is not named: %s", text, fault.NextOf(err))
		}
	}
}

// aged is an account in which every image is somebody else's and deprecated.
type aged struct{ EC2API }

func (a aged) DescribeImages(ctx context.Context, in *ec2.DescribeImagesInput, o ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	if !val(in.IncludeDeprecated) {
		return &ec2.DescribeImagesOutput{}, nil
	}
	return a.EC2API.DescribeImages(ctx, in, o...)
}

func TestAnImageThatItsOwnerHasDeprecatedIsStillThere(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(base)
	c.w.EC2 = aged{c.w.EC2}
	c.apply(strings.Replace(base, "max: 4", "max: 5", 1))
}

func TestTextsWithCommasAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]any{{[]string{"a, b"}, []string{"a", "b"}}, {map[string]string{"a": "1, b=2"}, map[string]string{"a": "1", "b": "2"}}} {
		if len(compare("x", c[0], c[1])) != 1 {
			t.Errorf("%q and %q are the same", c[0], c[1])
		}
	}
}
