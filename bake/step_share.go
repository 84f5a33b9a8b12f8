package bake

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// The steps that take an image elsewhere.
const (
	copyStep  = "copy"
	shareStep = "share"
)

// shareImage gives the image and its copies to those whom it is wished for.
func (s *Session) shareImage(ctx context.Context) error {
	where := []distribute.Copy{{Region: s.plan.Launch.Region, ImageID: s.image}}
	for _, c := range append(where, s.copies...) {
		s.progress("%s in %s", c.ImageID, c.Region)
		share, err := s.shareIn(ctx, c.Region, c.ImageID, s.plan.inputs.Distribute.Share)
		if err != nil {
			return err
		}
		s.shared = append(s.shared, share)
		for _, note := range share.Notes {
			s.logf("%s: %s", c.Region, note)
		}
	}
	return nil
}

// shareIn gives one region's image away.
func (w World) shareIn(ctx context.Context, region, image string, to distribute.Audience) (distribute.Share, error) {
	made, err := w.imageIn(ctx, region, image)
	if err != nil {
		return distribute.Share{}, err
	}
	d := w.distribution()
	p, err := d.PlanShare(ctx, region, made, to)
	if err != nil {
		return distribute.Share{}, err
	}
	return d.Share(ctx, p)
}

// errNoImage is what imageIn gives for an image that this account has not.
var errNoImage = errors.New("this account has no such image there")

// imageIn looks at one of this account's images.
func (w World) imageIn(ctx context.Context, region, id string) (types.Image, error) {
	i, err := describeOwn(ctx, w.Regions(region), ami.Filter("image-id", id))
	if err != nil {
		return types.Image{}, awsfault.New("ec2:DescribeImages", "looking at image "+id+" in "+region, err)
	}
	if i == nil {
		return types.Image{}, fault.New(fault.Usage, "name the region that the image is in (--region), and look at its id",
			fmt.Errorf("looking at image %s in %s: %w", id, region, errNoImage))
	}
	return *i, nil
}
