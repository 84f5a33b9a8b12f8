package distribute

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/await"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// Ledger keeps record of what a copy owns, on disk before anything waits.
type Ledger interface {
	Intend(region, name string) error   // a copy is about to be made
	Made(region, name, id string) error // it has this id
	Gone(region, name string) error     // it is not ours to remove any more
}

// Copier copies one image to regions.
type Copier struct {
	World
	Ledger Ledger
	// Original is the image, as EC2 shows it in Home, its region.
	Original types.Image
	Home     string
	// Expires is when an unfinished copy counts as lost.
	Expires time.Time
	// Token makes the client tokens of this run unlike those of others. A
	// token's answer stays the same after its image is gone.
	Token string
	// Progress tells how a region's copy stands.
	Progress func(region, line string)
}

// name is the image's, and so the copies'.
func (c Copier) name() string { return aws.ToString(c.Original.Name) }

// tags are the original's, and an expiry until the copy is kept.
func (c Copier) tags() map[string]string {
	tags := maps.Clone(ami.From(c.Original).Tags)
	maps.DeleteFunc(tags, func(k, _ string) bool { return strings.HasPrefix(k, "aws:") })
	tags[ami.TagCopyOf] = c.Home + "/" + aws.ToString(c.Original.ImageId)
	tags[ami.TagExpires] = c.Expires.UTC().Format(time.RFC3339)
	return tags
}

func (c Copier) bakeID() string { return ami.From(c.Original).BakeID }

// request is the CopyImage call for a target.
func (c Copier) request(t Target) *ec2.CopyImageInput {
	var tags []types.Tag
	all := c.tags()
	for _, k := range slices.Sorted(maps.Keys(all)) {
		tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String(all[k])})
	}
	in := &ec2.CopyImageInput{
		Name: c.Original.Name, Description: c.Original.Description,
		SourceImageId: c.Original.ImageId, SourceRegion: aws.String(c.Home), ClientToken: aws.String(c.Token + "-" + t.Region),
		TagSpecifications: []types.TagSpecification{
			{ResourceType: types.ResourceTypeImage, Tags: tags}, {ResourceType: types.ResourceTypeSnapshot, Tags: tags}},
	}
	if t.KMSKey != "" {
		in.Encrypted, in.KmsKeyId = aws.Bool(true), aws.String(t.KMSKey)
	}
	return in
}

// Make copies the image to one region and waits until the copy can be used
// and is as the original. The copy has its id also when there is an error and
// something was made: Remove removes it.
func (c Copier) Make(ctx context.Context, t Target) (Copy, error) {
	start := c.Clock.Now()
	copied := Copy{Region: t.Region, KMSKey: t.KMSKey}
	err := c.create(ctx, t, &copied)
	if err == nil {
		err = c.await(ctx, &copied)
	}
	copied.Seconds = c.Clock.Now().Sub(start).Seconds()
	if err != nil {
		copied.Error = err.Error()
	}
	return copied, err
}

func (c Copier) create(ctx context.Context, t Target, copied *Copy) error {
	if err := c.Ledger.Intend(t.Region, c.name()); err != nil {
		return err
	}
	id, err := await.Creation{
		Action: "ec2:CopyImage", Doing: "copying " + aws.ToString(c.Original.ImageId) + " to " + t.Region,
		Create: func(ctx context.Context) (string, error) {
			out, err := c.EC2(t.Region).CopyImage(ctx, c.request(t), await.Once)
			if err != nil {
				return "", err
			}
			return aws.ToString(out.ImageId), nil
		},
		Find:   func(ctx context.Context) (string, error) { return c.find(ctx, t.Region) },
		Refuse: func() error { return c.Ledger.Gone(t.Region, c.name()) },
	}.Run(ctx, c.Clock)
	if err != nil {
		return err
	}
	copied.ImageID = id
	c.Progress(t.Region, id)
	return c.Ledger.Made(t.Region, c.name(), id)
}

// find finds the copy that a call with a lost reply made, by name and tag.
func (c Copier) find(ctx context.Context, region string) (string, error) {
	i, err := c.describe(ctx, region, ami.Filter("name", c.name()), ami.Filter("tag:"+ami.TagBakeID, c.bakeID()))
	if err != nil || i == nil {
		return "", err
	}
	return aws.ToString(i.ImageId), nil
}

func (c Copier) describe(ctx context.Context, region string, by ...types.Filter) (*types.Image, error) {
	out, err := c.EC2(region).DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: by})
	if err != nil || len(out.Images) == 0 {
		return nil, err
	}
	return &out.Images[0], nil
}

// await waits until the copy can be used, and sees that it is as the original.
func (c Copier) await(ctx context.Context, copied *Copy) error {
	var made *types.Image
	start, patience := c.Clock.Now(), await.Patience{For: await.Unanswered}
	err := await.Poll(ctx, c.Clock, await.Pace{First: time.Second, Max: 5 * time.Second}, func(ctx context.Context) (bool, error) {
		i, err := c.describe(ctx, copied.Region, ami.Filter("image-id", copied.ImageID))
		if patience.Outlasts(c.Clock.Now(), err) {
			c.Progress(copied.Region, fmt.Sprintf("%s: %s; looking on", copied.ImageID, awsfault.Brief(err)))
			return false, nil
		}
		if err != nil {
			return false, awsfault.New("ec2:DescribeImages", "looking at copy "+copied.ImageID+" in "+copied.Region, err)
		}
		if i == nil {
			return false, nil // too new for EC2
		}
		made, copied.Snapshots = i, ami.Snapshots(*i)
		c.Progress(copied.Region, fmt.Sprintf("%s is %s, %s so far", copied.ImageID, i.State, c.Clock.Now().Sub(start).Round(time.Second)))
		switch i.State {
		case types.ImageStateAvailable:
			return true, nil
		case types.ImageStateFailed, types.ImageStateError, types.ImageStateInvalid, types.ImageStateDeregistered:
			return false, c.failed(*copied, i)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return c.alike(ctx, *copied, made)
}

func (c Copier) failed(copied Copy, i *types.Image) error {
	why := "no reason given"
	if i.StateReason != nil {
		why = aws.ToString(i.StateReason.Message)
	}
	return fault.Newf(fault.AWS, "copy again; the reason is EC2's (often a KMS key that may not be used)",
		"copying %s to %s: %s is %s: %s", aws.ToString(c.Original.ImageId), copied.Region, copied.ImageID, i.State, why)
}

// alike sees that the copy boots as the original does, is encrypted when that
// was wished, and refuses IMDSv1 when the original does.
func (c Copier) alike(ctx context.Context, copied Copy, made *types.Image) error {
	id := aws.ToString(c.Original.ImageId)
	if made.BootMode != c.Original.BootMode {
		return fault.Newf(fault.Check, "copy again; if it happens twice, ask AWS", "checking copy %s in %s: its boot mode is %q, that of %s %q",
			copied.ImageID, copied.Region, made.BootMode, id, c.Original.BootMode)
	}
	if copied.KMSKey != "" && !Encrypted(*made) {
		return fault.Newf(fault.Check, "copy again; if it happens twice, ask AWS", "checking copy %s in %s: it is not encrypted", copied.ImageID, copied.Region)
	}
	if c.Original.ImdsSupport != types.ImdsSupportValuesV20 || made.ImdsSupport == types.ImdsSupportValuesV20 {
		return nil
	}
	_, err := c.EC2(copied.Region).ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: aws.String(copied.ImageID),
		ImdsSupport: &types.AttributeValue{Value: aws.String(string(types.ImdsSupportValuesV20))}})
	return awsfault.New("ec2:ModifyImageAttribute", "requiring IMDSv2 of instances of "+copied.ImageID+" in "+copied.Region, err)
}

// Encrypted says whether any of the image's volumes is.
func Encrypted(i types.Image) bool {
	return slices.ContainsFunc(i.BlockDeviceMappings, func(m types.BlockDeviceMapping) bool { return m.Ebs != nil && aws.ToBool(m.Ebs.Encrypted) })
}
