//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"
)

// The regions that these tests copy to, and whom they share with.
const (
	ireland   = "eu-west-1"
	frankfurt = "eu-central-1"
	oregon    = "us-west-2"
	friend    = "444455556666"
)

// ec2In is EC2 of another region of the lab.
func ec2In(region string) *ec2.Client {
	return ec2.NewFromConfig(s.world.AWS, func(o *ec2.Options) { o.Region = region })
}

// ours are the images of bakes in a region, and its snapshots.
func ours(t *testing.T, region string) (images []types.Image, snapshots []types.Snapshot) {
	t.Helper()
	ctx := deadline(t, 20*time.Second)
	out, err := ec2In(region).DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: filter("tag-key", "bakehouse:bake-id")})
	if err != nil {
		t.Fatal(err)
	}
	snaps, err := ec2In(region).DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}, Filters: filter("tag-key", "bakehouse:bake-id")})
	if err != nil {
		t.Fatal(err)
	}
	return out.Images, snaps.Snapshots
}

// hasTag says whether a tag is there.
func hasTag(tags []types.Tag, key string) bool {
	return slices.ContainsFunc(tags, func(t types.Tag) bool { return aws.ToString(t.Key) == key })
}

// shared sees that friend may use an image and its snapshot.
func shared(t *testing.T, region, image, snapshot string) {
	t.Helper()
	ctx := deadline(t, 20*time.Second)
	perms, err := ec2In(region).DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: aws.String(image), Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil || len(perms.LaunchPermissions) != 1 || aws.ToString(perms.LaunchPermissions[0].UserId) != friend {
		t.Errorf("%s: %s may be launched by %+v (%v)", region, image, perms, err)
	}
	volumes, err := ec2In(region).DescribeSnapshotAttribute(ctx, &ec2.DescribeSnapshotAttributeInput{SnapshotId: aws.String(snapshot), Attribute: types.SnapshotAttributeNameCreateVolumePermission})
	if err != nil || len(volumes.CreateVolumePermissions) != 1 || aws.ToString(volumes.CreateVolumePermissions[0].UserId) != friend {
		t.Errorf("%s: volumes of %s may be made by %+v (%v)", region, snapshot, volumes, err)
	}
}

// redoTool is a call of copy or share.
func redoTool(args ...string) story.Tool {
	return story.Tool{Name: "bake-ami", Args: append(args, "--config", s.world.Config, "--state-dir", filepath.Join(s.world.Dir, "state"))}
}

// A bake with two copies, one with a key of its own, and a share; then the
// same once more for a region that was forgotten.
func TestABakeCopiesAndShares(t *testing.T) {
	key, err := kms.NewFromConfig(s.world.AWS, func(o *kms.Options) { o.Region = frankfurt }).CreateKey(deadline(t, 20*time.Second), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	arn := aws.ToString(key.KeyMetadata.Arn)
	o := runTool(t, s.world.BakeTool("harmless", "--output", "json", "--copy-to", ireland, "--copy-to", frankfurt+"="+arn, "--share-with", friend))
	var r struct {
		ImageID string `json:"image_id"`
		All     []struct {
			Region    string   `json:"region"`
			ImageID   string   `json:"image_id"`
			Snapshots []string `json:"snapshots"`
		} `json:"copies"`
	}
	if err := json.Unmarshal([]byte(o.Stdout), &r); err != nil || o.Code != 0 || len(r.All) != 2 {
		t.Fatalf("exit %d, %v, copies %+v\n%s", o.Code, err, r.All, tail(o.Stderr))
	}
	for _, c := range r.All {
		images, snapshots := ours(t, c.Region)
		images = slices.DeleteFunc(images, func(i types.Image) bool { return aws.ToString(i.ImageId) != c.ImageID })
		if len(images) != 1 || len(c.Snapshots) != 1 {
			t.Fatalf("%s has no image %s with one snapshot", c.Region, c.ImageID)
		}
		i := images[0]
		if i.State != types.ImageStateAvailable || i.ImdsSupport != types.ImdsSupportValuesV20 || hasTag(i.Tags, "bakehouse:expires-at") || !hasTag(i.Tags, "bakehouse:copy-of") {
			t.Errorf("%s: the copy is %s, imds %s, tags %v", c.Region, i.State, i.ImdsSupport, i.Tags)
		}
		for _, snap := range snapshots {
			if aws.ToString(snap.SnapshotId) != c.Snapshots[0] {
				continue
			}
			if encrypted := c.Region == frankfurt; aws.ToBool(snap.Encrypted) != encrypted || (encrypted && aws.ToString(snap.KmsKeyId) != arn) || hasTag(snap.Tags, "bakehouse:expires-at") {
				t.Errorf("%s: snapshot %+v", c.Region, snap)
			}
		}
		shared(t, c.Region, c.ImageID, c.Snapshots[0])
	}
	if !strings.Contains(o.Stderr, arn) || !strings.Contains(o.Stderr, "arn:aws:iam::"+friend+":root") {
		t.Errorf("nothing says what the key's policy needs:\n%s", tail(o.Stderr))
	}
	redone(t, r.ImageID)
}

// redone copies and shares an earlier image, twice.
func redone(t *testing.T, image string) {
	t.Helper()
	dry := runTool(t, redoTool("copy", image, "--to", oregon, "--to", ireland, "--dry-run"))
	if images, _ := ours(t, oregon); dry.Code != 0 || !strings.Contains(dry.Stdout, "copy   "+oregon) || !strings.Contains(dry.Stdout, "same   "+ireland) || len(images) > 0 {
		t.Errorf("dry run: exit %d, %d images\n%s%s", dry.Code, len(images), dry.Stdout, dry.Stderr)
	}
	o := runTool(t, redoTool("copy", image, "--to", oregon, "--to", ireland))
	images, snapshots := ours(t, oregon)
	if o.Code != 0 || len(images) != 1 || len(snapshots) != 1 || hasTag(images[0].Tags, "bakehouse:expires-at") || !strings.Contains(o.Stdout, "copied "+oregon+": "+aws.ToString(images[0].ImageId)) {
		t.Fatalf("copy: exit %d, images %+v\n%s%s", o.Code, images, o.Stdout, o.Stderr)
	}
	copied := aws.ToString(images[0].ImageId)
	if o = runTool(t, redoTool("copy", image, "--to", oregon)); o.Code != 0 || !strings.Contains(o.Stdout, "nothing to do") {
		t.Errorf("copy again: exit %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	o = runTool(t, redoTool("share", copied, "--region", oregon, "--with", friend))
	if o.Code != 0 || !strings.Contains(o.Stdout, "shared "+oregon+": "+copied+" with "+friend) {
		t.Errorf("share: exit %d\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	shared(t, oregon, copied, aws.ToString(snapshots[0].SnapshotId))
	o = runTool(t, redoTool("share", copied, "--region", oregon, "--with", friend, "--output", "json"))
	var r struct {
		Unchanged bool `json:"unchanged"`
	}
	if err := json.Unmarshal([]byte(o.Stdout), &r); err != nil || o.Code != 0 || !r.Unchanged {
		t.Errorf("share again: exit %d, %v\n%s%s", o.Code, err, o.Stdout, o.Stderr)
	}
	boots(t, image, copied)
}

// boots sees that the copy has its files: the lab's guests all run in one
// region, so its copy back there is what is launched.
func boots(t *testing.T, image, copied string) {
	t.Helper()
	ctx := deadline(t, 3*time.Minute)
	out, err := s.world.EC2.CopyImage(ctx, &ec2.CopyImageInput{Name: aws.String("back-" + copied), SourceImageId: aws.String(copied), SourceRegion: aws.String(oregon)})
	if err != nil {
		t.Fatal(err)
	}
	back := aws.ToString(out.ImageId)
	defer func() {
		_, _ = s.world.EC2.DeregisterImage(context.WithoutCancel(ctx), &ec2.DeregisterImageInput{ImageId: aws.String(back), DeleteAssociatedSnapshots: aws.Bool(true)})
	}()
	if err := ec2.NewImageAvailableWaiter(s.world.EC2).Wait(ctx, &ec2.DescribeImagesInput{ImageIds: []string{back}}, time.Minute); err != nil {
		t.Fatal(err)
	}
	i, err := s.world.Start(ctx, story.Launch{ImageID: back})
	if err != nil {
		t.Fatalf("launching the copy of a copy of %s: %v", image, err)
	}
	defer func() { _ = s.world.Terminate(context.WithoutCancel(ctx), i.ID) }()
	err = story.Until(ctx, time.Second, func() error {
		_, err := s.world.Guest(ctx, i.ID, "true")
		return err
	})
	if err != nil {
		t.Errorf("the copy does not boot: %v", err)
	}
}

// A region that fails takes every other with it.
func TestABakeWhoseCopyFailsLeavesNothingInAnyRegion(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		for _, r := range []string{ireland, frankfurt, oregon} {
			images, snapshots := ours(t, r)
			n += len(images) + len(snapshots)
		}
		return n
	}
	had := count()
	// One of the two copies is made, the other refused.
	rule, err := setRule(s.ctx, gateway.Rule{Service: "ec2", Action: "CopyImage", Nth: 2, Times: -1, Code: "UnauthorizedOperation", Status: 403})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = control(s.ctx, http.MethodDelete, "faults?id="+strconv.Itoa(rule), nil) }()
	o := runTool(t, s.world.BakeTool("harmless", "--copy-to", ireland, "--copy-to", frankfurt))
	if o.Code != 5 || !strings.Contains(o.Stderr, "allow ec2:CopyImage") || !ruleHit(s.ctx, rule) {
		t.Errorf("exit %d, want 5:\n%s", o.Code, tail(o.Stderr))
	}
	unchanged(t, before)
	if now := count(); now != had {
		t.Errorf("%d images and snapshots in other regions, %d before", now, had)
	}
}

func TestCopiesAndSharesThatCannotWorkAreRefused(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	since := time.Now()
	bake := func(args ...string) story.Tool { return s.world.BakeTool("harmless", args...) }
	for says, tool := range map[string]story.Tool{
		"the copy to eu-west-1 has no key": bake("--encrypt", "--copy-to", ireland),
		"is managed by AWS":                bake("--kms-key", "alias/aws/ebs", "--share-with", friend),
		"the account's default key":        bake("--encrypt", "--share-with", friend),
		"there is no KMS key alias/nobody": bake("--copy-to", ireland+"=alias/nobody"),
		`"web" is no image id`:             redoTool("copy", "--to", ireland, "web"),
		"nothing says where to copy to":    redoTool("copy", "ami-0123456789abcdef0"),
		"nothing says whom to share with":  redoTool("share", "ami-0123456789abcdef0"),
		"is neither an account nor":        redoTool("share", "ami-0123456789abcdef0", "--with", "everybody"),
		`"mars" is no AWS region`:          redoTool("copy", "ami-0123456789abcdef0", "--to", "mars"),
		"this account has no such image":   redoTool("copy", "ami-0123456789abcdef0", "--to", ireland),
		"which is where the image is made": bake("--copy-to", s.world.AWS.Region),
		"--copy-to \"eu-west-1\"":          bake("--copy-to", ireland, "--copy-to", ireland),
		"--timeout 1s: use 1m to 2h":       redoTool("copy", "ami-0123456789abcdef0", "--to", ireland, "--timeout", "1s"),
	} {
		if o := runTool(t, tool); o.Code != 2 || !strings.Contains(o.Stderr, says) {
			t.Errorf("%s: exit %d, want 2 and %q:\n%s", strings.Join(tool.Args, " "), o.Code, says, tail(o.Stderr))
		}
	}
	unchanged(t, before)
	for _, r := range recorded(t) {
		if r.Time.After(since) && strings.HasPrefix(r.Agent, "bakehouse-bake-ami") && slices.Contains([]string{"RunInstances", "CreateImage", "CopyImage", "CreateSecurityGroup", "ModifyImageAttribute", "ModifySnapshotAttribute"}, r.Action) {
			t.Errorf("a refused run called %s", r.Action)
		}
	}
}

// recorded are the calls that the gateway has seen.
func recorded(t *testing.T) (all []gateway.Record) {
	t.Helper()
	text, err := control(deadline(t, 20*time.Second), http.MethodGet, "calls", nil)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var r gateway.Record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}
