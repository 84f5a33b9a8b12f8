//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// oldBake is the bake id of the images from before. It is older than any.
const oldBake = "01JD0000000000000000000000"

// regions are where a bake with everything leaves an image: the lab's own, and
// the one that it copies to.
func regions() []string { return []string{s.world.AWS.Region, ireland} }

// stage is what a bake with everything comes upon: an earlier image of its role
// in each region, the parameter that names it there, and at home a launch
// template of it. Bakes side by side have a role each, and so no predecessor
// that another takes away.
type stage struct {
	role, name string
	old        map[string]string // region → image from before
}

// ssmIn is SSM of a region of the lab.
func ssmIn(region string) *ssm.Client {
	return ssm.NewFromConfig(s.world.AWS, func(o *ssm.Options) { o.Region = region })
}

// lanes is how many bakes run side by side: they wait most of the time.
const lanes = 4

// laneRole is the role of the bakes in one lane.
func laneRole(lane int) string { return fmt.Sprintf("faulted-%d", lane) }

// uploadLaneRoles brings the lanes' roles to the Chef server; they do what
// harmless does.
func uploadLaneRoles(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	var role map[string]any
	if err := readJSON(filepath.Join(s.world.Root, "test", "fixtures", "chef-repo", "roles", "harmless.json"), &role); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "roles"), 0o755); err != nil {
		t.Fatal(err)
	}
	for lane := range lanes {
		role["name"] = laneRole(lane)
		b, err := json.Marshal(role)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "roles", laneRole(lane)+".json"), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path, err := filepath.Rel(s.world.Root, dir)
	if err == nil {
		_, err = s.world.Upload(deadline(t, time.Minute), path)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// set makes the stage.
func (g *stage) set(ctx context.Context) error {
	g.old = map[string]string{}
	for _, region := range regions() {
		tags := []types.Tag{{Key: aws.String("bakehouse:bake-id"), Value: aws.String(oldBake)}, {Key: aws.String("bakehouse:role"), Value: aws.String(g.role)},
			{Key: aws.String("bakehouse:environment"), Value: aws.String("_default")}}
		i, err := ec2In(region).RegisterImage(ctx, &ec2.RegisterImageInput{Name: aws.String("before " + g.name), Architecture: types.ArchitectureValuesX8664})
		if err != nil {
			return err
		}
		g.old[region] = aws.ToString(i.ImageId)
		if _, err := ec2In(region).CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{*i.ImageId}, Tags: tags}); err != nil {
			return err // moto takes no tags with the registration
		}
		_, err = ssmIn(region).PutParameter(ctx, &ssm.PutParameterInput{Name: aws.String("/ami/" + g.name), Value: i.ImageId,
			Type: ssmtypes.ParameterTypeString, DataType: aws.String("aws:ec2:image")})
		if err != nil {
			return err
		}
	}
	_, err := s.world.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String(g.name),
		LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String(g.old[s.world.AWS.Region]), InstanceType: types.InstanceTypeT3Small}})
	return err
}

// strike takes the stage away.
func (g *stage) strike(ctx context.Context) error {
	var all []error
	for region, image := range g.old {
		_, err := ec2In(region).DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(image), DeleteAssociatedSnapshots: aws.Bool(true)})
		all = append(all, err)
		_, err = ssmIn(region).DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: aws.String("/ami/" + g.name)})
		all = append(all, err)
	}
	_, err := s.world.EC2.DeleteLaunchTemplate(ctx, &ec2.DeleteLaunchTemplateInput{LaunchTemplateName: aws.String(g.name)})
	return errors.Join(append(all, err)...)
}

// args asks for everything that a bake can do with an image, but for the proof.
func (g *stage) args() []string {
	return []string{"--copy-to", ireland, "--share-with", friend, "--inventory", "s3://bakehouse-builds/inventories", "--protect", "--deprecate-after", "90d",
		"--publish-ssm", "/ami/" + g.name, "--publish-launch-template", g.name, "--launch-template-default", "--deprecate-predecessors", "30d"}
}

// named is the image that a region's parameter names, and those that the
// launch template's default and latest version launch.
func (g *stage) named(ctx context.Context, region string) (images []string, err error) {
	p, err := ssmIn(region).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/ami/" + g.name)})
	if err != nil {
		return nil, err
	}
	images = append(images, aws.ToString(p.Parameter.Value))
	if region != s.world.AWS.Region {
		return images, nil
	}
	v, err := s.world.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateName: aws.String(g.name), Versions: []string{"$Default", "$Latest"}})
	if err != nil {
		return nil, err
	}
	for _, version := range v.LaunchTemplateVersions {
		images = append(images, aws.ToString(version.LaunchTemplateData.ImageId))
	}
	return images, nil
}

// finished are the bake's finished images in a region.
func finished(ctx context.Context, bakeID, region string) (ids []string, err error) {
	if bakeID == "" {
		return nil, nil
	}
	out, err := ec2In(region).DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: filter("tag:bakehouse:bake-id", bakeID)})
	if err != nil {
		return nil, err
	}
	for _, i := range out.Images {
		if i.State == types.ImageStateAvailable && !hasTag(i.Tags, "bakehouse:expires-at") {
			ids = append(ids, aws.ToString(i.ImageId))
		}
	}
	return ids, nil
}

// consistent says what is wrong with what others find: a name must lead to the
// image from before or to a finished one of this bake; to the latter always
// when the bake says that it is done, and never when it says that it failed.
func (b *struckBake) consistent(ctx context.Context) (wrong []string, err error) {
	if b.stage == nil {
		return nil, nil
	}
	for _, region := range regions() {
		names, err := b.stage.named(ctx, region)
		if err != nil {
			return nil, err
		}
		made, err := finished(ctx, b.bakeID, region)
		if err != nil {
			return nil, err
		}
		for _, image := range names {
			isOld := image == b.stage.old[region]
			switch {
			case !isOld && !slices.Contains(made, image):
				wrong = append(wrong, fmt.Sprintf("%s is published in %s and is no finished image", image, region))
			case isOld && b.code == 0:
				wrong = append(wrong, "the image from before is still published in "+region)
			case !isOld && b.code > 0 && b.code != 7 && b.code != 8:
				wrong = append(wrong, "a bake that failed published "+image+" in "+region)
			}
		}
		if (b.code == 0 || b.code == 7 || b.code == 8) && len(made) != 1 {
			wrong = append(wrong, fmt.Sprintf("%d finished images in %s", len(made), region))
		}
	}
	return wrong, nil
}

// fullCodes are the exit codes of refusals at a bake with everything, where
// they differ from a plain bake's. With 8 the image is finished and kept.
func fullCodes() map[string][]int {
	publishing, either := []int{8}, []int{5, 8} // before the image is kept, or after
	return map[string][]int{
		"ec2:DescribeImages":                 either,
		"ec2:DescribeLaunchTemplates":        either,
		"ec2:DescribeLaunchTemplateVersions": either,
		"ec2:EnableImageDeprecation":         either, // of the image itself; of its predecessor
		"ec2:CreateLaunchTemplateVersion":    publishing,
		"ec2:ModifyLaunchTemplate":           publishing,
		"ssm:GetParameter":                   either,
		"ssm:PutParameter":                   publishing,
		"ssm:AddTagsToResource":              publishing,
		"s3:GetObject":                       {0, 5}, // 0: the inventory of the image before
	}
}

// record bakes without a fault and returns the calls it made.
func record(t *testing.T, kind bakeKind) []callOf {
	t.Helper()
	r := &struckBake{struck: struck{kind: kind}}
	ctx := deadline(t, hangs)
	if err := r.set(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.bake(ctx); err != nil || r.code != 0 {
		t.Fatalf("a bake without a fault: exit %d, %v\n%s", r.code, err, tail(r.stderr))
	}
	if wrong, err := r.consistent(ctx); err != nil || len(wrong) > 0 {
		t.Errorf("a bake without a fault: %v, %v", wrong, err)
	}
	if err := errors.Join(dropImages(ctx, r.bakeID), r.unset(ctx)); err != nil {
		t.Fatal(err)
	}
	calls, err := r.calls(s.ctx)
	calls = slices.DeleteFunc(calls, func(c callOf) bool { return strings.Contains(c.action, laneRole(0)) }) // named otherwise in each lane
	if err != nil || len(calls) < 20 {
		t.Fatalf("a bake made %d calls: %v", len(calls), err)
	}
	return calls
}

// added are the calls of full of every action that it makes more often than
// plain; those that change something come first.
func added(plain, full []callOf) (out []callOf) {
	times := map[string]int{}
	for _, c := range plain {
		times[c.service+c.action]--
	}
	for _, c := range full {
		times[c.service+c.action]++
	}
	for _, c := range full {
		if times[c.service+c.action] > 0 {
			out = append(out, c)
		}
	}
	slices.SortStableFunc(out, func(a, b callOf) int { return a.looks() - b.looks() })
	return out
}

// looks is 1 for a call that changes nothing.
func (c callOf) looks() int {
	for _, verb := range []string{"Describe", "Get", "Head", "List"} {
		if strings.HasPrefix(c.action, verb) {
			return 1
		}
	}
	return 0
}
