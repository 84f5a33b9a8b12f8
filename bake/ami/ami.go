// Package ami is the noun that bakes leave behind: an image that bake-ami made,
// read from EC2's words and its tags. Bakes, copies, publication and retention
// all speak of it.
package ami

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/awsfault"
)

// Tags of everything that a bake makes. What carries TagExpires and is past it
// was lost by a bake that died; a finished image does not carry it.
const (
	TagPrefix   = "bakehouse:"
	TagBakeID   = "bakehouse:bake-id"
	TagRole     = "bakehouse:role"
	TagOwner    = "bakehouse:owner"      // ARN of who baked
	TagExpires  = "bakehouse:expires-at" // RFC 3339, UTC
	TagBase     = "bakehouse:base-image"
	TagDigest   = "bakehouse:inputs-digest"
	TagEnv      = "bakehouse:environment" // Chef's
	TagInputs   = "bakehouse:inputs"      // digests of the groups of inputs
	TagProof    = "bakehouse:proof"       // Proven or ProofFailed; absent: nobody tried
	TagCopyOf   = "bakehouse:copy-of"     // REGION/AMI of the image that a copy was made of
	MaxTagValue = 256                     // characters, EC2's limit
)

// The values of TagProof.
const (
	Proven      = "proven"
	ProofFailed = "failed"
)

// Image is an image that a bake has made, as EC2 and its tags tell.
type Image struct {
	ID     string `json:"image_id"`
	Name   string `json:"name"`
	BakeID string `json:"bake_id"`
	Role   string `json:"role"`
	Base   string `json:"base_image"`
	Arch   string `json:"architecture"`
	// Environment is Chef's; images of old bakes do not say.
	Environment string            `json:"environment,omitempty"`
	State       string            `json:"state"`
	Created     time.Time         `json:"created_at"`
	Deprecated  time.Time         `json:"deprecated_at,omitzero"`
	Protected   bool              `json:"protected,omitempty"`
	Unfinished  bool              `json:"unfinished,omitempty"` // it still carries an expiry
	Digest      string            `json:"inputs_digest"`
	Parts       map[string]string `json:"inputs,omitempty"` // part → digest
	Snapshots   []string          `json:"snapshots,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
}

// From reads an image's own words and tags.
func From(i types.Image) Image {
	k := Image{ID: aws.ToString(i.ImageId), Name: aws.ToString(i.Name), State: string(i.State), Snapshots: Snapshots(i),
		Created: timeOf(i.CreationDate), Deprecated: timeOf(i.DeprecationTime), Tags: map[string]string{}}
	for _, t := range i.Tags {
		k.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	guard := aws.ToString(i.DeregistrationProtection)
	k.Protected = guard != "" && guard != "disabled"
	_, k.Unfinished = k.Tags[TagExpires]
	k.BakeID, k.Role, k.Base, k.Digest = k.Tags[TagBakeID], k.Tags[TagRole], k.Tags[TagBase], k.Tags[TagDigest]
	k.Arch, k.Environment = string(i.Architecture), k.Tags[TagEnv]
	k.Parts = ParseParts(k.Tags[TagInputs])
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

// Usable says whether an image can stand for a new one: one that is being
// made, is to be swept, failed its proof or is deprecated cannot.
func (k Image) Usable(now time.Time) bool {
	return k.Finished() && k.Tags[TagProof] != ProofFailed && (k.Deprecated.IsZero() || k.Deprecated.After(now))
}

// Finished says that the bake of the image came to its end.
func (k Image) Finished() bool {
	return k.State == string(types.ImageStateAvailable) && !k.Unfinished
}

// Snapshots lists the ids of the snapshots behind an image.
func Snapshots(i types.Image) []string {
	var ids []string
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs != nil && m.Ebs.SnapshotId != nil {
			ids = append(ids, *m.Ebs.SnapshotId)
		}
	}
	return ids
}

// ParseParts reads the value of TagInputs: NAME=DIGEST, blank between.
func ParseParts(tag string) map[string]string {
	out := map[string]string{}
	for _, word := range strings.Fields(tag) {
		if name, d, ok := strings.Cut(word, "="); ok {
			out[name] = d
		}
	}
	return out
}

// Filter is one EC2 filter.
func Filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// Lister is the call that List makes.
type Lister interface {
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
}

// List returns this account's images that bakes made and that pass the
// filters, newest first. Deprecated ones are among them: their owner sees them.
// Errors are fault.AWS.
func List(ctx context.Context, api Lister, by ...types.Filter) ([]Image, error) {
	found, err := Describe(ctx, api, by...)
	if err != nil {
		return nil, awsfault.New("ec2:DescribeImages", "looking for baked images", err)
	}
	return Newest(found), nil
}

// Describe returns what List does in EC2's own words and order. Errors are EC2's.
func Describe(ctx context.Context, api Lister, by ...types.Filter) ([]types.Image, error) {
	in := &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: append(by, Filter("tag-key", TagBakeID))}
	var all []types.Image
	for {
		out, err := api.DescribeImages(ctx, in)
		if err != nil {
			return nil, err
		}
		all = append(all, out.Images...)
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}

// Newest reads images, and puts the newest first.
func Newest(found []types.Image) []Image {
	var all []Image
	for _, i := range found {
		all = append(all, From(i))
	}
	slices.SortFunc(all, func(a, b Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.BakeID, a.BakeID))
	})
	return all
}
