package bake

import (
	"maps"
	"slices"
	"time"

	"bakehouse/bake/ami"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
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
			r := []rune(v)
			tags[key] = string(r[:min(len(r), ami.MaxTagValue)])
		}
	}
	tags[ami.TagBakeID], tags[ami.TagRole], tags[ami.TagOwner] = id, in.Role, owner
	tags[ami.TagExpires] = expires.UTC().Format(time.RFC3339)
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
