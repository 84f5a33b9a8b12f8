package bake

import (
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Tags of everything that a bake makes. What carries TagExpires and is past it
// was lost by a bake that died; a finished image does not carry it.
const (
	tagPrefix   = "bakehouse:"
	TagBakeID   = "bakehouse:bake-id"
	TagRole     = "bakehouse:role"
	TagOwner    = "bakehouse:owner"      // ARN of who baked
	TagExpires  = "bakehouse:expires-at" // RFC 3339, UTC
	TagBase     = "bakehouse:base-image"
	TagDigest   = "bakehouse:inputs-digest"
	TagInputs   = "bakehouse:inputs" // digests of the groups of inputs
	maxTagValue = 256                // characters, EC2's limit
)

// ciTags names the tags that carry Jenkins' variables.
func ciTags() map[string]string {
	return map[string]string{
		"BUILD_URL": "bakehouse:build-url", "JOB_NAME": "bakehouse:job-name", "GIT_COMMIT": "bakehouse:git-commit",
	}
}

// commonTags are the tags of every resource of a bake.
func commonTags(in Inputs, id, owner string, expires time.Time) map[string]string {
	tags := maps.Clone(in.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	for env, key := range ciTags() {
		if v := in.CI[env]; v != "" {
			tags[key] = v[:min(len(v), maxTagValue)]
		}
	}
	tags[TagBakeID], tags[TagRole], tags[TagOwner] = id, in.Role, owner
	tags[TagExpires] = expires.UTC().Format(time.RFC3339)
	return tags
}

// tagSpec renders tags for a create call, in a stable order.
func tagSpec(kind types.ResourceType, name string, sets ...map[string]string) types.TagSpecification {
	all := map[string]string{"Name": name}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	spec := types.TagSpecification{ResourceType: kind}
	for _, k := range slices.Sorted(maps.Keys(all)) {
		spec.Tags = append(spec.Tags, types.Tag{Key: aws.String(k), Value: aws.String(all[k])})
	}
	return spec
}

// filter is one EC2 filter.
func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}
