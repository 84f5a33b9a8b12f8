package ami

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/fault"
)

// pages answers DescribeImages one page after the other.
type pages struct {
	images [][]types.Image
	asked  []ec2.DescribeImagesInput
	err    error
}

func (p *pages) DescribeImages(_ context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	p.asked = append(p.asked, *in)
	if p.err != nil {
		return nil, p.err
	}
	out := &ec2.DescribeImagesOutput{Images: p.images[len(p.asked)-1]}
	if len(p.asked) < len(p.images) {
		out.NextToken = aws.String("more")
	}
	return out, nil
}

func image(id, created string, tags ...string) types.Image {
	i := types.Image{ImageId: aws.String(id), CreationDate: aws.String(created), State: types.ImageStateAvailable,
		BlockDeviceMappings: []types.BlockDeviceMapping{{Ebs: &types.EbsBlockDevice{SnapshotId: aws.String("snap-" + id)}}, {VirtualName: aws.String("ephemeral0")}}}
	for n := 0; n+1 < len(tags); n += 2 {
		i.Tags = append(i.Tags, types.Tag{Key: aws.String(tags[n]), Value: aws.String(tags[n+1])})
	}
	return i
}

func TestListReadsEveryPageNewestFirst(t *testing.T) {
	t.Parallel()
	api := &pages{images: [][]types.Image{{image("ami-1", "2026-01-01T00:00:00.000Z")}, {image("ami-2", "2026-02-01T00:00:00.000Z")}}}
	all, err := List(context.Background(), api, Filter("tag:"+TagRole, "web"))
	if err != nil || len(all) != 2 || all[0].ID != "ami-2" || all[1].ID != "ami-1" {
		t.Fatalf("List gives %v, %v", all, err)
	}
	if !slices.Equal(api.asked[0].Owners, []string{"self"}) || len(api.asked[0].Filters) != 2 || aws.ToString(api.asked[1].NextToken) != "more" {
		t.Errorf("it asked %+v", api.asked)
	}
	api = &pages{err: errors.New("no network")}
	if _, err := List(context.Background(), api); fault.KindOf(err) != fault.AWS {
		t.Errorf("a failed listing gives %v", err)
	}
}

func TestFromReadsTags(t *testing.T) {
	t.Parallel()
	raw := image("ami-1", "2026-01-01T00:00:00.000Z", TagRole, "web", TagInputs, "base=12 roles=ab", TagExpires, "2026-01-01T02:00:00Z", TagProof, Proven)
	raw.DeregistrationProtection = aws.String("enabled-with-cooldown")
	got := From(raw)
	if got.Role != "web" || got.Parts["roles"] != "ab" || !got.Unfinished || !got.Protected || !slices.Equal(got.Snapshots, []string{"snap-ami-1"}) {
		t.Errorf("From gives %+v", got)
	}
	if got.Created != time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) || !got.Deprecated.IsZero() {
		t.Errorf("its times are %v and %v", got.Created, got.Deprecated)
	}
}

func TestUsable(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for what, c := range map[string]struct {
		image Image
		want  bool
	}{
		"finished":           {Image{State: "available"}, true},
		"pending":            {Image{State: "pending"}, false},
		"to be swept":        {Image{State: "available", Unfinished: true}, false},
		"failed its proof":   {Image{State: "available", Tags: map[string]string{TagProof: ProofFailed}}, false},
		"deprecated":         {Image{State: "available", Deprecated: now.Add(-time.Minute)}, false},
		"to be deprecated":   {Image{State: "available", Deprecated: now.Add(time.Minute)}, true},
		"nobody proved that": {Image{State: "available", Tags: map[string]string{}}, true},
	} {
		if got := c.image.Usable(now); got != c.want {
			t.Errorf("%s: usable is %v", what, got)
		}
	}
}
