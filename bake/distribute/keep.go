package distribute

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// Last says how long a copy lasts: as its original.
type Last struct {
	Deprecate time.Time // zero: never
	Protect   bool
}

// Keep makes a copy last: deprecation, no expiry any more, protection last, so
// that nothing after it has to remove the copy.
func (c Copier) Keep(ctx context.Context, copied Copy, last Last) error {
	api, id := c.EC2(copied.Region), aws.String(copied.ImageID)
	if !last.Deprecate.IsZero() {
		at := last.Deprecate.UTC()
		if _, err := api.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: id, DeprecateAt: &at}); err != nil {
			return awsfault.New("ec2:EnableImageDeprecation", "deprecating "+copied.ImageID+" in "+copied.Region+" at "+at.Format(time.RFC3339), err)
		}
	}
	_, err := api.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: append([]string{copied.ImageID}, copied.Snapshots...),
		Tags: []types.Tag{{Key: aws.String(ami.TagExpires)}}})
	if err != nil {
		return awsfault.New("ec2:DeleteTags", "taking the expiry off "+copied.ImageID+" in "+copied.Region, err)
	}
	if err := c.Ledger.Gone(copied.Region, c.name()); err != nil || !last.Protect {
		return err
	}
	_, err = api.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: id})
	return awsfault.New("ec2:EnableImageDeregistrationProtection", "protecting "+copied.ImageID+" in "+copied.Region, err)
}

// Remove deregisters a copy and deletes its snapshots. A copy whose id never
// came back is looked for. It stands being called in vain.
func (c Copier) Remove(ctx context.Context, copied Copy, last Last) error {
	if copied.Existing {
		return nil
	}
	region, name := copied.Region, c.name()
	if copied.ImageID == "" {
		id, err := await.LookFor(ctx, c.Clock, func(ctx context.Context) (string, error) { return c.find(ctx, region) })
		if errors.Is(err, await.ErrNotYet) {
			return c.Ledger.Gone(region, name)
		}
		if err != nil {
			return awsfault.New("ec2:DescribeImages", "looking for the copy in "+region, err)
		}
		copied.ImageID = id
	}
	// A copy that was kept a moment before something failed is owned again.
	if err := errors.Join(c.Ledger.Intend(region, name), c.Ledger.Made(region, name, copied.ImageID)); err != nil {
		return err
	}
	api := c.EC2(region)
	if last.Protect { // whether it is on already shows when the copy is deregistered
		_, _ = api.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: aws.String(copied.ImageID)})
	}
	if err := c.deregister(ctx, api, &copied); err != nil {
		c.expire(ctx, copied)
		return err
	}
	if err := c.removeSnapshots(ctx, api, copied); err != nil {
		return err
	}
	return c.Ledger.Gone(region, name)
}

// newLooks is how often something is looked for that EC2 may be too new for: for
// some seconds it does not know what it has just made.
const newLooks = 5

// deregister ends the copy; its snapshots are noted then, as far as EC2 tells.
func (c Copier) deregister(ctx context.Context, api EC2, copied *Copy) error {
	tries := 0
	return await.Poll(ctx, c.Clock, await.Pace{First: time.Second, Max: 2 * time.Second}, func(ctx context.Context) (bool, error) {
		tries++
		if i, err := c.describe(ctx, copied.Region, ami.Filter("image-id", copied.ImageID)); err == nil && i != nil {
			copied.Snapshots = ami.Snapshots(*i)
		}
		_, err := api.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(copied.ImageID)})
		if awserr.IsNotFound(err) { // gone, where EC2 has shown it before
			return len(copied.Snapshots) > 0 || tries >= newLooks, nil
		}
		return err == nil, awsfault.New("ec2:DeregisterImage", "deregistering "+copied.ImageID+" in "+copied.Region, err)
	})
}

// expire puts the expiry back on a copy that was kept and now cannot be
// removed: a sweep finds it by that. The error that counts is the removal's.
func (c Copier) expire(ctx context.Context, copied Copy) {
	_, _ = c.EC2(copied.Region).CreateTags(ctx, &ec2.CreateTagsInput{Resources: append([]string{copied.ImageID}, copied.Snapshots...),
		Tags: []types.Tag{{Key: aws.String(ami.TagExpires), Value: aws.String(c.Expires.UTC().Format(time.RFC3339))}}})
}

// removeSnapshots deletes what the copy named and what carries the bake's id
// and an expiry: EC2 links snapshots to a pending image only late, and refuses
// to delete them for a moment after the image is gone.
func (c Copier) removeSnapshots(ctx context.Context, api EC2, copied Copy) error {
	tries, seen := 0, false
	return await.Poll(ctx, c.Clock, await.Pace{First: time.Second, Max: 3 * time.Second}, func(ctx context.Context) (bool, error) {
		tries++
		out, err := api.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"},
			Filters: []types.Filter{ami.Filter("tag:"+ami.TagBakeID, c.bakeID()), ami.Filter("tag-key", ami.TagExpires)}})
		if err != nil {
			return false, awsfault.New("ec2:DescribeSnapshots", "looking for the snapshots of "+copied.ImageID+" in "+copied.Region, err)
		}
		for _, f := range out.Snapshots {
			if id := aws.ToString(f.SnapshotId); !slices.Contains(copied.Snapshots, id) {
				copied.Snapshots = append(copied.Snapshots, id)
			}
		}
		if seen = seen || len(copied.Snapshots) > 0; !seen && tries < newLooks {
			return false, nil // every image has snapshots
		}
		var last error
		copied.Snapshots = slices.DeleteFunc(copied.Snapshots, func(id string) bool {
			_, err := api.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
			if err != nil && !awserr.IsNotFound(err) {
				last = awsfault.New("ec2:DeleteSnapshot", "deleting snapshot "+id+" in "+copied.Region, err)
				return false
			}
			return true
		})
		if last != nil && tries >= 20 {
			return false, last
		}
		return last == nil, nil
	})
}
