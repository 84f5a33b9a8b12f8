package bake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/bake/inventory"
	"bakehouse/internal/await"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// resumeStep is the name under which Resume reports what comes before the
// bake's own steps.
const resumeStep = "resume"

// Resume carries on a bake that died or ran out of time while EC2 was making
// its image: it waits for the image, does what the bake would have done with
// it, and removes what the bake left. It fails and undoes as Bake does. A bake
// whose image is nowhere to be found is refused, and left as it is.
func (w World) Resume(ctx context.Context, r Resumable) (Report, error) {
	s, err := w.takeUp(r)
	if err != nil {
		return Report{}, err
	}
	limit := s.plan.inputs.Timeout
	runCtx, cancel := context.WithTimeoutCause(ctx, limit, bakeTooLong(limit))
	defer cancel()
	err = s.timed(runCtx, resumeStep, 5*time.Minute, s.again)
	var gone *goneError
	if errors.As(err, &gone) {
		s.journal.lock.Close()
		return s.report(err), err
	}
	list := steps(s.plan)
	first := slices.IndexFunc(list, func(step Step) bool { return step.Name == awaitStep })
	started := 0
	if err == nil {
		started, err = s.forward(runCtx, list[first:])
	}
	return s.end(ctx, list[:first+started], err)
}

// goneError says that there is no image to go on with.
type goneError struct{ error }

// Unwrap gives errors.As the cause.
func (e *goneError) Unwrap() error { return e.error }

// takeUp makes the session of the bake that ended: its plan with new times,
// its journal under our lock, and what it knew of its builder.
func (w World) takeUp(r Resumable) (*Session, error) {
	p, now := r.saved.Plan, w.Clock.Now()
	p.inputs, p.owner, p.started = r.saved.Inputs, r.saved.Owner, now
	p.Deadline, p.ExpiresAt = now.Add(p.inputs.Timeout), now.Add(p.inputs.ExpireAfter)
	p.Tags = maps.Clone(p.Tags)
	p.Tags[ami.TagExpires] = p.ExpiresAt.UTC().Format(time.RFC3339)
	file := r.journal
	file.Kept, file.ExpiresAt = false, p.ExpiresAt
	s := &Session{World: w, plan: p, group: p.Launch.SecurityGroup, image: r.Image, machineID: r.saved.Builder.MachineID,
		resumed: "-" + strconv.FormatInt(now.Unix(), 36)}
	s.hostKey.publicLine, s.userKey.publicLine = r.saved.Builder.HostKey, r.saved.Builder.UserKey
	for _, res := range file.Resources {
		switch {
		case res.Kind == KindSecurityGroup:
			s.group = res.ID
		case res.Kind == KindInstance && !isProver(res):
			s.token, s.instance = res.Name, res.ID
		}
	}
	var err error
	if s.inBytes = r.saved.Inventory; s.inBytes != nil {
		held, err := inventory.Decode("the saved inventory", s.inBytes)
		if err != nil {
			return nil, fault.New(fault.Usage, "remove what the bake left: bake-ami abort "+p.BakeID, err)
		}
		s.inventory, s.plan.stock = &held, inventory.Digest(s.inBytes)
	}
	if p.inputs.Bastion.Address != "" && !p.inputs.Prove.Skip {
		if s.plan.bastion, err = p.inputs.Bastion.Open(); err != nil {
			return nil, err
		}
	}
	if s.journal, err = newJournal(r.dir, file, w.Clock.Now); err != nil {
		return nil, fault.New(fault.Usage, "see that nobody else resumes it", err)
	}
	return s, nil
}

// isProver tells a proving instance from a builder, by its client token.
func isProver(r Resource) bool { return strings.Contains(r.Name, "-prove") }

// again finds the image, gives everything a new expiry, so that no sweep takes
// it meanwhile, and removes a proving instance that was left half-way.
func (s *Session) again(ctx context.Context) error {
	name := s.plan.ImageName
	if s.image == "" {
		id, err := await.LookFor(ctx, s.Clock, s.findImage)
		if errors.Is(err, await.ErrNotYet) {
			return &goneError{fault.Newf(fault.Usage, "remove what it left: bake-ami abort "+s.plan.BakeID+", then bake again",
				"resuming %s: EC2 has no image %s: it was never made", s.plan.BakeID, name)}
		}
		if err != nil {
			return awsfault.New("ec2:DescribeImages", "looking for image "+name, err)
		}
		s.image = id
	}
	i, err := s.describeImage(ctx, ami.Filter("image-id", s.image))
	if err != nil {
		return awsfault.New("ec2:DescribeImages", "looking at image "+s.image, err)
	}
	if i == nil {
		return &goneError{fault.Newf(fault.Usage, "remove what it left: bake-ami abort "+s.plan.BakeID+", then bake again",
			"resuming %s: image %s is gone", s.plan.BakeID, s.image)}
	}
	s.snaps = ami.Snapshots(*i)
	if err := errors.Join(s.journal.intend(KindImage, name), s.journal.made(KindImage, name, s.image)); err != nil {
		return err
	}
	s.Reporter.Info(fmt.Sprintf("image %s of bake %s is %s", s.image, s.plan.BakeID, i.State))
	if err := s.refresh(ctx); err != nil {
		return err
	}
	return s.removeOldProver(ctx)
}

// refresh moves the expiry of everything on EC2 that the bake still owns.
func (s *Session) refresh(ctx context.Context) error {
	ids := append([]string{s.image}, s.snaps...)
	for _, r := range s.journal.remaining() {
		if (r.Kind == KindInstance || r.Kind == KindSecurityGroup) && r.ID != "" && r.Region == "" {
			ids = append(ids, r.ID)
		}
	}
	_, err := s.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: ids,
		Tags: []types.Tag{{Key: aws.String(ami.TagExpires), Value: aws.String(s.plan.Tags[ami.TagExpires])}}})
	return awsfault.New("ec2:CreateTags", "giving image "+s.image+" more time", err)
}

// removeOldProver removes what is left of a proof that was under way: the new
// one starts afresh.
func (s *Session) removeOldProver(ctx context.Context) error {
	for _, r := range s.journal.remaining() {
		if r.Kind != KindInstance || !isProver(r) {
			continue
		}
		child := &Session{World: s.World, plan: s.plan, journal: s.journal, token: r.Name, step: s.step}
		child.plan.tokenSuffix = strings.TrimPrefix(r.Name, s.plan.clientToken())
		if err := child.terminate(ctx); err != nil {
			return err
		}
		if child.instance == "" {
			continue
		}
		if err := (&prover{Session: child}).own(); err != nil { // it may have registered
			return err
		}
	}
	for _, r := range s.journal.remaining() {
		var err error
		switch {
		case r.Name == s.plan.nodeName():
			continue
		case r.Kind == KindChefClient:
			err = s.Chef.DeleteClient(ctx, r.Name)
		case r.Kind == KindChefNode:
			err = s.Chef.DeleteNode(ctx, r.Name)
		default:
			continue
		}
		if err != nil {
			return chefFault("deleting "+string(r.Kind)+" "+r.Name, err)
		}
		if err := s.journal.gone(r.Kind, r.Name); err != nil {
			return err
		}
	}
	return nil
}
