//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

const (
	publishedAt  = "/ami/harmless/current"
	publishedBy  = "published"
	publishedFor = "harmless"
)

// about is a call of a command about images.
func about(args ...string) story.Tool {
	return story.Tool{Name: "bake-ami", Args: append(args, "--config", s.world.Config)}
}

// publishedReport is what the tests read of a report, or of publish's output.
type publishedReport struct {
	ImageID   string   `json:"image_id"`
	Snapshots []string `json:"snapshots"`
	Published struct {
		Changes []struct{ Kind, Name, Was, Now, Result string }
	} `json:"published"`
}

// bakePublished bakes and publishes, and returns the report.
func bakePublished(t *testing.T, args ...string) (r publishedReport) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	o := runBake(t, publishedFor, append([]string{"--report", file, "--publish-ssm", publishedAt, "--publish-launch-template", publishedBy,
		"--launch-template-default"}, args...)...)
	if err := readJSON(file, &r); o.Code != 0 || err != nil {
		t.Fatalf("exit %d, %v:\n%s", o.Code, err, tail(o.Stderr))
	}
	return r
}

func TestABakePublishesAndPruneKeepsWhatIsUsed(t *testing.T) {
	ctx := deadline(t, 3*time.Minute)
	_, err := s.world.EC2.CreateLaunchTemplate(ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String(publishedBy),
		LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String("ami-0123456789abcdef0"), InstanceType: types.InstanceTypeT3Small}})
	if err != nil {
		t.Fatal(err)
	}
	one := bakePublished(t)
	isPublished(t, one.ImageID, 2)
	two := bakePublished(t, "--deprecate-predecessors", "30d")
	isPublished(t, two.ImageID, 3)
	if c := two.Published.Changes[0]; c.Was != one.ImageID || c.Now != two.ImageID || c.Result != "done" {
		t.Errorf("the report says of the parameter: %+v", c)
	}
	old, err := s.world.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{one.ImageID}})
	if err != nil || aws.ToString(old.Images[0].DeprecationTime) == "" {
		t.Errorf("the image before is not deprecated: %v", err)
	}
	again := runTool(t, about("publish", two.ImageID, "--publish-ssm", publishedAt, "--publish-launch-template", publishedBy, "--unproven"))
	if again.Code != 0 || strings.Contains(again.Stdout, "done") || strings.Count(again.Stdout, "unchanged") != 2 {
		t.Errorf("publishing again: exit %d\n%s%s", again.Code, again.Stdout, tail(again.Stderr))
	}
	isPublished(t, two.ImageID, 3)
	isKnown(t, two.ImageID)
	prunes(t, one, two)
}

// isPublished looks where others look for the image.
func isPublished(t *testing.T, image string, version int64) {
	t.Helper()
	ctx := deadline(t, 10*time.Second)
	p, err := ssm.NewFromConfig(s.world.AWS).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(publishedAt)})
	if err != nil || aws.ToString(p.Parameter.Value) != image || aws.ToString(p.Parameter.DataType) != "aws:ec2:image" {
		t.Errorf("the parameter: %v, %+v, want %s", err, p, image)
	}
	v, err := s.world.EC2.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateName: aws.String(publishedBy), Versions: []string{"$Default"}})
	if err != nil || len(v.LaunchTemplateVersions) != 1 {
		t.Fatalf("the template: %v", err)
	}
	got := v.LaunchTemplateVersions[0]
	if aws.ToInt64(got.VersionNumber) != version || aws.ToString(got.LaunchTemplateData.ImageId) != image || got.LaunchTemplateData.InstanceType != types.InstanceTypeT3Small {
		t.Errorf("the template's default is version %d with %+v, want version %d with %s", aws.ToInt64(got.VersionNumber), got.LaunchTemplateData, version, image)
	}
}

// isKnown asks list and show.
func isKnown(t *testing.T, image string) {
	t.Helper()
	var all struct {
		Images []struct {
			ID   string `json:"image_id"`
			Role string `json:"role"`
		} `json:"images"`
	}
	o := runTool(t, about("list", "--role", publishedFor, "--output", "json"))
	if err := json.Unmarshal([]byte(o.Stdout), &all); err != nil || o.Code != 0 || len(all.Images) < 2 || all.Images[0].ID != image || all.Images[1].Role != publishedFor {
		t.Errorf("list: exit %d, %v, %+v\n%s", o.Code, err, all, o.Stderr)
	}
	o = runTool(t, about("show", image))
	for _, want := range []string{image, "base ", "SSM parameter " + publishedAt, "launch template " + publishedBy + " version 3", "ec2:LaunchTemplate"} {
		if o.Code != 0 || !strings.Contains(o.Stdout, want) {
			t.Errorf("show (exit %d) lacks %q:\n%s%s", o.Code, want, o.Stdout, o.Stderr)
		}
	}
}

// prunes sees that the image before goes only when nobody uses it any more.
func prunes(t *testing.T, one, two publishedReport) {
	t.Helper()
	if o := runTool(t, about("prune", "--keep", "1")); o.Code != 2 || !strings.Contains(o.Stderr, "--role") {
		t.Errorf("prune without selector: exit %d\n%s", o.Code, o.Stderr)
	}
	if o := runTool(t, about("prune", "--role", publishedFor, "--keep", "1", "--older-than", "1d", "--yes")); o.Code != 0 || strings.Contains(o.Stdout, "remove ") {
		t.Errorf("prune of young images: exit %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	o := runTool(t, about("prune", "--role", publishedFor, "--keep", "1", "--dry-run"))
	if o.Code != 0 || !strings.Contains(o.Stdout, "keep    "+one.ImageID) || !strings.Contains(o.Stdout, "ec2:LaunchTemplate") {
		t.Errorf("an old version of the template does not count: exit %d\n%s", o.Code, o.Stdout)
	}
	inst, err := s.world.Start(deadline(t, 10*time.Second), story.Launch{ImageID: one.ImageID})
	if err != nil {
		t.Fatal(err)
	}
	prune := about("prune", "--role", publishedFor, "--keep", "1", "--template-versions", "1")
	o = runTool(t, with(prune, "--dry-run"))
	if o.Code != 0 || !strings.Contains(o.Stdout, "keep    "+one.ImageID) || !strings.Contains(o.Stdout, "instance "+inst.ID) {
		t.Errorf("a running instance does not count: exit %d\n%s", o.Code, o.Stdout)
	}
	if err := s.world.Terminate(deadline(t, time.Minute), inst.ID); err != nil {
		t.Fatal(err)
	}
	if o := runTool(t, prune); o.Code != 2 || !strings.Contains(o.Stderr, "--yes") {
		t.Errorf("prune without --yes and without a terminal: exit %d\n%s", o.Code, o.Stderr)
	}
	if o = runTool(t, with(prune, "--yes")); o.Code != 0 {
		t.Fatalf("prune: exit %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	now, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for what, there := range map[string]bool{"image " + one.ImageID: false, "snapshot " + one.Snapshots[0]: false, "image " + two.ImageID: true, "snapshot " + two.Snapshots[0]: true} {
		if slices.Contains(now, what) != there {
			t.Errorf("after pruning, %s is there: %v", what, !there)
		}
	}
}

// with is a call with more arguments.
func with(tool story.Tool, args ...string) story.Tool {
	tool.Args = append(slices.Clone(tool.Args), args...)
	return tool
}

// killedWhilePending kills a bake while EC2 is still making its image, and
// returns the bake's id.
func killedWhilePending(t *testing.T) string {
	t.Helper()
	if _, err := setRule(deadline(t, 10*time.Second), gateway.Rule{Service: "ec2", Action: "CreateImage", PendingFor: "7s"}); err != nil {
		t.Fatal(err)
	}
	killedAt(t, "wait for image")
	plans, err := filepath.Glob(filepath.Join(s.world.Dir, "state", "bakes", "*.plan"))
	if err != nil || len(plans) != 1 {
		t.Fatalf("the bake wrote down %v (%v), want one file", plans, err)
	}
	return strings.TrimSuffix(filepath.Base(plans[0]), ".plan")
}

func TestAKilledBakeIsResumedOrAborted(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	id := killedWhilePending(t)
	o := runTool(t, sweepTool("abort", id))
	if o.Code != 0 {
		t.Errorf("abort: exit %d\n%s", o.Code, tail(o.Stderr))
	}
	unchanged(t, before)
	id = killedWhilePending(t)
	o = runTool(t, sweepTool("resume"))
	if o.Code != 0 || !strings.HasPrefix(o.LastLine(), "ami-") {
		t.Fatalf("resume: exit %d\n%s%s", o.Code, o.Stdout, tail(o.Stderr))
	}
	onlyImage(t, before, o.LastLine())
	made, err := s.world.EC2.DescribeImages(deadline(t, 10*time.Second), &ec2.DescribeImagesInput{ImageIds: []string{o.LastLine()}})
	if err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range made.Images[0].Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	if tags["bakehouse:bake-id"] != id || tags["bakehouse:expires-at"] != "" || made.Images[0].ImdsSupport != types.ImdsSupportValuesV20 {
		t.Errorf("the image has IMDS %q and the tags %v", made.Images[0].ImdsSupport, tags)
	}
	if left := journals(t); len(left) > 0 {
		t.Errorf("left in the state folder: %v", left)
	}
	if o := runTool(t, sweepTool("resume")); o.Code != 2 {
		t.Errorf("resuming nothing: exit %d\n%s", o.Code, o.Stderr)
	}
}
