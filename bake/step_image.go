package bake

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/bake/inventory"
	"bakehouse/internal/await"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// createImage asks EC2 for an image of the builder. EC2 itself shuts it down,
// takes the snapshots while its data is at rest, and starts it again
// (CreateImage without NoReboot, Amazon EC2 API reference); on-demand and spot
// instances, which cannot be stopped, are treated alike. What the builder does
// then is in no image, and its user-data keeps the agent from a first boot.
func (s *Session) createImage(ctx context.Context) error {
	_ = s.disconnect(ctx)
	name := s.plan.ImageName
	if err := s.save(); err != nil {
		return err
	}
	if err := s.journal.intend(KindImage, name); err != nil {
		return err
	}
	builder, _ := s.journal.get(KindInstance, s.token)
	id, err := await.Creation{
		Action: "ec2:CreateImage", Doing: "creating image " + name + " of " + s.instance,
		Create: func(ctx context.Context) (string, error) {
			out, err := s.EC2.CreateImage(ctx, s.plan.imageRequest(s.instance), await.Once)
			if err != nil {
				return "", err
			}
			return aws.ToString(out.ImageId), nil
		},
		Find:   s.findImage,
		Refuse: func() error { return s.journal.gone(KindImage, name) },
		Young:  !s.settled(builder),
	}.Run(ctx, s.Clock)
	if err != nil {
		return err
	}
	s.image = id
	s.progress("%s", id)
	return s.journal.made(KindImage, name, id)
}

// imageRequest tags image and snapshots in the call itself. They carry an
// expiry until the bake is done: an image that nobody finished is waste.
func (p Plan) imageRequest(instance string) *ec2.CreateImageInput {
	more := map[string]string{inventory.Tag: p.stock, ami.TagBase: p.Recipe.Base.ID, ami.TagDigest: p.Digest, ami.TagInputs: partsTag(p.Recipe.Parts()), ami.TagEnv: p.Recipe.Environment}
	return &ec2.CreateImageInput{
		InstanceId: aws.String(instance), Name: aws.String(p.ImageName),
		Description: aws.String(p.Description),
		TagSpecifications: []types.TagSpecification{
			tagSpec(types.ResourceTypeImage, p.ImageName, p.Tags, more),
			tagSpec(types.ResourceTypeSnapshot, p.ImageName, p.Tags, more),
		},
	}
}

// findImage finds the image that a call with a lost reply made. Name and tag
// must both be ours: image names are free for everybody.
func (s *Session) findImage(ctx context.Context) (string, error) {
	i, err := s.describeImage(ctx, ami.Filter("name", s.plan.ImageName), ami.Filter("tag:"+ami.TagBakeID, s.plan.BakeID))
	if err != nil || i == nil {
		return "", err
	}
	return aws.ToString(i.ImageId), nil
}

func (s *Session) describeImage(ctx context.Context, by ...types.Filter) (*types.Image, error) {
	return describeOwn(ctx, s.EC2, by...)
}

// describeOwn finds an image of this account, or nil.
func describeOwn(ctx context.Context, api ami.Lister, by ...types.Filter) (*types.Image, error) {
	out, err := api.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: by})
	if err != nil || len(out.Images) == 0 {
		return nil, err
	}
	return &out.Images[0], nil
}

// awaitImage waits until the image can be used, lets the builder go, and sees
// that the image is as its base was.
func (s *Session) awaitImage(ctx context.Context) error {
	start := s.Clock.Now()
	var made *types.Image
	var far howFar
	look, patience := s.lookAmongSiblings, await.Patience{For: await.Unanswered}
	err := pollLong(ctx, s.Clock, imagePace(s.soon()), func(ctx context.Context) (bool, error) {
		i, err := look(ctx)
		if patience.Outlasts(s.Clock.Now(), err) {
			s.progress("%s: %s; looking on", s.image, awsfault.Brief(err))
			return false, nil
		}
		if err != nil {
			return false, awsfault.New("ec2:DescribeImages", "looking at image "+s.image, err)
		}
		look = s.lookAtImage
		if i == nil {
			return false, nil // too new for EC2
		}
		made, s.snaps = i, ami.Snapshots(*i)
		waited := s.Clock.Now().Sub(start)
		s.progress("%s is %s%s, %s so far", s.image, i.State, far.of(ctx, s, i.State, waited), waited.Round(time.Second))
		switch i.State {
		case types.ImageStateAvailable:
			return true, nil
		case types.ImageStateFailed, types.ImageStateError, types.ImageStateInvalid, types.ImageStateDeregistered:
			return false, imageFailed(s.image, i)
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	s.release(ctx)
	if err := s.checkBootMode(made); err != nil {
		return err
	}
	return s.requireIMDSv2(ctx, made)
}

// lookAmongSiblings finds the image among all of its role, which the comparison
// of inventories needs anyway, and keeps those.
func (s *Session) lookAmongSiblings(ctx context.Context) (*types.Image, error) {
	found, err := ami.Describe(ctx, s.EC2, ami.Filter("tag:"+ami.TagRole, s.plan.Recipe.Role))
	if err != nil {
		return nil, err
	}
	s.siblings = ami.Newest(found)
	i := slices.IndexFunc(found, func(i types.Image) bool { return aws.ToString(i.ImageId) == s.image })
	if i < 0 {
		return nil, nil
	}
	return &found[i], nil
}

func (s *Session) lookAtImage(ctx context.Context) (*types.Image, error) {
	return s.describeImage(ctx, ami.Filter("image-id", s.image))
}

// progressEvery is how often it is asked how far the snapshots are: that call
// only tells, and nothing waits for it.
const progressEvery = 30 * time.Second

// howFar keeps what was last heard of the snapshots.
type howFar struct {
	asked time.Duration // into the wait
	text  string
}

// of says how far the snapshots are, as " (50%)", or nothing.
func (h *howFar) of(ctx context.Context, s *Session, state types.ImageState, waited time.Duration) string {
	if state != types.ImageStatePending {
		return ""
	}
	if waited < h.asked+progressEvery {
		return h.text
	}
	h.asked = waited
	if found, err := s.describeSnapshots(ctx); err == nil && len(found) > 0 {
		h.text = " (" + aws.ToString(found[0].Progress) + ")"
	}
	return h.text
}

func imageFailed(id string, i *types.Image) error {
	why := "no reason given"
	if i.StateReason != nil {
		why = aws.ToString(i.StateReason.Message)
	}
	return fault.Newf(fault.AWS, "bake again; the reason is EC2's", "waiting for image %s: it is %s: %s", id, i.State, why)
}

// keepImage takes the expiry off the finished image and its snapshots, which
// makes it outlive the bake.
func (s *Session) keepImage(ctx context.Context) error {
	_, err := s.EC2.DeleteTags(ctx, &ec2.DeleteTagsInput{
		Resources: append([]string{s.image}, s.snaps...), Tags: []types.Tag{{Key: aws.String(ami.TagExpires)}}})
	if err != nil {
		return awsfault.New("ec2:DeleteTags", "taking the expiry off "+s.image, err)
	}
	return s.journal.gone(KindImage, s.plan.ImageName)
}

// removeImage deregisters an unfinished image and deletes its snapshots.
func (s *Session) removeImage(ctx context.Context) error {
	if s.prover != nil && s.prover.kept {
		return nil
	}
	name := s.plan.ImageName
	if s.image == "" {
		if _, ours := s.journal.get(KindImage, name); !ours {
			return nil
		}
		id, err := await.LookFor(ctx, s.Clock, s.findImage)
		if err != nil {
			return s.unlessAbsent(KindImage, name, err)
		}
		s.image = id
	}
	// An image that was finished a moment before the bake failed is owned again.
	if err := errors.Join(s.journal.intend(KindImage, name), s.journal.made(KindImage, name, s.image)); err != nil {
		return err
	}
	r, _ := s.journal.get(KindImage, name)
	s.unprotect(ctx)
	if err := s.deregister(ctx, r); err != nil {
		s.expire(ctx)
		return err
	}
	if err := s.removeSnapshots(ctx, r); err != nil {
		return err
	}
	return s.journal.gone(KindImage, name)
}

// expire puts the expiry back on an image that was kept and now cannot be
// removed: without it, a sweep and the next bake would take it for finished.
// The error that counts is the removal's.
func (s *Session) expire(ctx context.Context) {
	_, _ = s.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: append([]string{s.image}, s.snaps...),
		Tags: []types.Tag{{Key: aws.String(ami.TagExpires), Value: aws.String(s.plan.ExpiresAt.UTC().Format(time.RFC3339))}}})
}

// deregister ends the image; its snapshots are in s.snaps then, as far as EC2
// tells. An image that EC2 does not know may be too new for it.
func (s *Session) deregister(ctx context.Context, r Resource) error {
	tries := 0
	return poll(ctx, s.Clock, newPace(), func(ctx context.Context) (bool, error) {
		tries++
		if i, err := s.describeImage(ctx, ami.Filter("image-id", s.image)); err == nil && i != nil {
			s.snaps = ami.Snapshots(*i)
		}
		_, err := s.EC2.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: aws.String(s.image)})
		if awserr.IsNotFound(err) {
			return tries >= newLooks || s.settled(r), nil
		}
		return err == nil, awsfault.New("ec2:DeregisterImage", "deregistering "+s.image, err)
	})
}

// removeSnapshots deletes what the image named and what carries our bake id;
// EC2 links snapshots to a pending image only late, and refuses to delete them
// for a moment after the image is gone.
func (s *Session) removeSnapshots(ctx context.Context, r Resource) error {
	tries, seen := 0, len(s.snaps) > 0
	return poll(ctx, s.Clock, pace{First: time.Second, Max: 3 * time.Second}, func(ctx context.Context) (bool, error) {
		tries++
		found, err := s.describeSnapshots(ctx)
		if err != nil {
			return false, awsfault.New("ec2:DescribeSnapshots", "looking for the snapshots of "+s.image, err)
		}
		for _, f := range found {
			if id := aws.ToString(f.SnapshotId); !slices.Contains(s.snaps, id) {
				s.snaps = append(s.snaps, id)
			}
		}
		if seen = seen || len(s.snaps) > 0; !seen && tries < newLooks && !s.settled(r) {
			return false, nil // every image has snapshots; these are too new for EC2
		}
		var last error
		s.snaps = slices.DeleteFunc(s.snaps, func(id string) bool {
			_, err := s.EC2.DeleteSnapshot(ctx, &ec2.DeleteSnapshotInput{SnapshotId: aws.String(id)})
			if err == nil || (awserr.IsNotFound(err) && (tries >= newLooks || s.settled(r))) {
				return true
			}
			last = awsfault.New("ec2:DeleteSnapshot", "deleting snapshot "+id, err)
			return false
		})
		if last != nil && tries >= 20 {
			return false, last
		}
		return last == nil, nil
	})
}

func (s *Session) describeSnapshots(ctx context.Context) ([]types.Snapshot, error) {
	out, err := s.EC2.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{
		OwnerIds: []string{"self"}, Filters: []types.Filter{ami.Filter("tag:"+ami.TagBakeID, s.plan.BakeID)}})
	if err != nil {
		return nil, err
	}
	return out.Snapshots, nil
}
