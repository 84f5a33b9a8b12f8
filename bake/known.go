package bake

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Known is an image that a bake has made, as EC2 and its tags tell.
type Known struct {
	ID         string            `json:"image_id"`
	Name       string            `json:"name"`
	BakeID     string            `json:"bake_id"`
	Role       string            `json:"role"`
	Base       string            `json:"base_image"`
	State      string            `json:"state"`
	Created    time.Time         `json:"created_at"`
	Deprecated time.Time         `json:"deprecated_at,omitzero"`
	Protected  bool              `json:"protected,omitempty"`
	Unfinished bool              `json:"unfinished,omitempty"` // it still carries an expiry
	Digest     string            `json:"inputs_digest"`
	Parts      map[string]string `json:"inputs,omitempty"` // part → digest
	Snapshots  []string          `json:"snapshots,omitempty"`
	Tags       map[string]string `json:"tags,omitempty"`
}

// knownFrom reads an image's own words and tags.
func knownFrom(i types.Image) Known {
	k := Known{ID: aws.ToString(i.ImageId), Name: aws.ToString(i.Name), State: string(i.State), Snapshots: snapshotsOf(&i),
		Created: timeOf(i.CreationDate), Deprecated: timeOf(i.DeprecationTime), Tags: map[string]string{}}
	for _, t := range i.Tags {
		k.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	guard := aws.ToString(i.DeregistrationProtection)
	k.Protected = guard != "" && guard != "disabled"
	_, k.Unfinished = k.Tags[TagExpires]
	k.BakeID, k.Role, k.Base, k.Digest = k.Tags[TagBakeID], k.Tags[TagRole], k.Tags[TagBase], k.Tags[TagDigest]
	k.Parts = parseParts(k.Tags[TagInputs])
	return k
}

// timeOf reads one of EC2's dates; no date is the zero time.
func timeOf(s *string) time.Time {
	t, err := time.Parse(time.RFC3339, aws.ToString(s))
	if err != nil {
		return time.Time{}
	}
	return t
}

// known lists this account's images that bakes made and that pass the
// filters, newest first. Deprecated ones are among them: their owner sees them.
func (w World) known(ctx context.Context, by ...types.Filter) ([]Known, error) {
	out, err := w.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: append(by, filter("tag-key", TagBakeID))})
	if err != nil {
		return nil, awsFault("ec2:DescribeImages", "looking for earlier images", err)
	}
	var all []Known
	for _, i := range out.Images {
		all = append(all, knownFrom(i))
	}
	slices.SortFunc(all, func(a, b Known) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.BakeID, a.BakeID))
	})
	return all, nil
}

// reusable finds the newest finished image of the same inputs, or nil.
func (w World) reusable(ctx context.Context, p Plan) (*Known, error) {
	found, err := w.known(ctx, filter("tag:"+TagDigest, p.Digest))
	if err != nil {
		return nil, err
	}
	for _, k := range found {
		if k.usable(w.Clock.Now()) && (p.inputs.Prove.Skip || k.Tags[TagProof] == proven) {
			return &k, nil
		}
	}
	return nil, nil
}

// usable says whether an image can stand for a new one: one that is being
// made, is to be swept, failed its proof or is deprecated cannot.
func (k Known) usable(now time.Time) bool {
	if k.Tags[TagProof] == proofFailed {
		return false
	}
	return k.State == string(types.ImageStateAvailable) && !k.Unfinished && (k.Deprecated.IsZero() || k.Deprecated.After(now))
}

// reused reports the image that made the bake unnecessary.
func (p Plan) reused(now time.Time) Report {
	k := p.Reuse
	return Report{BakeID: k.BakeID, Result: "reused", Reused: true, Role: p.Recipe.Role, Region: p.Launch.Region, Account: p.Launch.Account,
		ImageID: k.ID, ImageName: k.Name, Snapshots: k.Snapshots, Digest: p.Digest, Inputs: p.Recipe, Launch: p.Launch, Tags: k.Tags,
		StartedAt: p.started.UTC(), EndedAt: now.UTC(), Seconds: now.Sub(p.started).Seconds(), Steps: []StepTime{p.resolved}}
}

// reuseOrName looks for an image that makes the bake unnecessary; without one,
// the new one's name must be free.
func (w World) reuseOrName(ctx context.Context, p Plan) (Plan, error) {
	if !p.inputs.Rebake {
		k, err := w.reusable(ctx, p)
		if err != nil {
			return p, err
		}
		if k != nil {
			p.Reuse, p.Steps, p.ImageName = k, nil, k.Name
			return p, nil
		}
	}
	return p, w.nameIsFree(ctx, p.ImageName)
}
