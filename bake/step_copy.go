package bake

import (
	"context"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/go-multierror"
	"golang.org/x/sync/errgroup"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// distribution is what copies and shares are made with.
func (w World) distribution() distribute.World {
	return distribute.World{EC2: w.Regions, KMS: w.KMS, Clock: w.Clock}
}

// planned is what the inputs say of the image that copies and shares are of.
func (in Inputs) planned() distribute.Source {
	return distribute.Source{Region: in.Region, Encrypted: in.Disk.Encrypted, KMSKey: in.Disk.KMSKey}
}

// checkDistribution asks whether copies and shares can work, before anything
// is launched.
func (w World) checkDistribution(ctx context.Context, in Inputs, who Identity, base Base) error {
	if in.Distribute.Empty() {
		return nil
	}
	source := in.planned()
	source.Account, source.Encrypted = who.Account, source.Encrypted || base.Encrypted
	if err := in.Distribute.Check(source); err != nil {
		return err
	}
	d := w.distribution()
	if err := d.CheckKeys(ctx, in.Distribute, source); err != nil {
		return err
	}
	return d.CheckDefaults(ctx, in.Distribute, source)
}

// copier prepares copying the finished image.
func (s *Session) copier(original types.Image) distribute.Copier {
	return distribute.Copier{World: s.distribution(), Ledger: copyLedger{s.journal}, Original: original, Home: s.plan.Launch.Region,
		Expires: s.plan.ExpiresAt, Token: "bake-" + s.plan.BakeID,
		Progress: func(region, line string) { s.progress("%s: %s", region, line) }}
}

// copyImage copies the image to every region that was asked for, side by side.
// When one cannot be made, the others are given up too, and undone.
func (s *Session) copyImage(ctx context.Context) error {
	wishes := s.plan.inputs.Distribute
	original, err := s.describeImage(ctx, ami.Filter("image-id", s.image))
	if err != nil {
		return awsfault.New("ec2:DescribeImages", "looking at image "+s.image, err)
	}
	if original == nil {
		return fault.Newf(fault.AWS, "bake again", "copying image %s: EC2 does not know it any more", s.image)
	}
	if err := s.distribution().CheckMade(ctx, wishes, s.plan.Launch.Region, *original); err != nil {
		return err
	}
	c := s.copier(*original)
	s.copying = &c
	s.copies = make([]distribute.Copy, len(wishes.Copies))
	all, ctx := errgroup.WithContext(ctx)
	for i, t := range wishes.Copies {
		s.copies[i].Region = t.Region
		all.Go(func() (err error) {
			s.copies[i], err = c.Make(ctx, t)
			return err
		})
	}
	return all.Wait()
}

// removeCopies removes the copies of a bake that failed, side by side.
func (s *Session) removeCopies(ctx context.Context) error {
	if s.copying == nil || s.prover != nil && s.prover.kept {
		return nil
	}
	errs := make([]error, len(s.copies))
	var wait sync.WaitGroup
	for i, c := range s.copies {
		if _, ours := s.journal.getIn(c.Region, KindImage, s.plan.ImageName); !ours && c.ImageID == "" {
			continue
		}
		wait.Go(func() {
			if errs[i] = s.copying.Remove(ctx, c, s.last()); errs[i] == nil {
				s.copies[i].ImageID, s.copies[i].Snapshots = "", nil
			}
		})
	}
	wait.Wait()
	return flat(multierror.Append(nil, errs...))
}

// last says how long the bake's copies last.
func (s *Session) last() distribute.Last {
	l := distribute.Last{Protect: s.plan.inputs.Protect}
	if after := s.plan.inputs.DeprecateAfter; after > 0 {
		l.Deprecate = s.Clock.Now().Add(after)
	}
	return l
}

// keepCopies makes the copies last. The image itself is kept before them: a
// bake that dies in between leaves one without copies, not copies of nothing.
func (s *Session) keepCopies(ctx context.Context) error {
	if s.copying == nil {
		return nil
	}
	all, ctx := errgroup.WithContext(ctx)
	last := s.last()
	for _, c := range s.copies {
		all.Go(func() error { return s.copying.Keep(ctx, c, last) })
	}
	return all.Wait()
}

// copyActions include those of undoing copies.
func (p Plan) copyActions() []string {
	out := []string{"ec2:CopyImage", "ec2:GetEbsEncryptionByDefault", actCreateTags, actDescribeImages, actDescribeSnapshots, actModifyImage, actDeregister, actDeleteSnapshot, actDeleteTags}
	if p.inputs.Protect {
		out = append(out, actUnprotect)
	}
	if slices.ContainsFunc(p.inputs.Distribute.Copies, func(t distribute.Target) bool { return t.KMSKey != "" }) {
		out = append(out, "kms:DescribeKey")
	}
	return out
}

func (p Plan) shareActions() []string {
	out := []string{"ec2:DescribeImageAttribute", "ec2:DescribeSnapshotAttribute", "ec2:GetEbsEncryptionByDefault", actDescribeImages, actModifyImage, "ec2:ModifySnapshotAttribute"}
	if p.inputs.Disk.Encrypted {
		out = append(out, actDescribeSnapshots, "kms:DescribeKey")
	}
	return out
}
