package main

import (
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/urfave/cli/v2"

	"bakehouse/bake/distribute"
	"bakehouse/internal/config"
)

// distributeFlags say where the image is to be, and who may use it.
func distributeFlags() []cli.Flag {
	const group = "image"
	return []cli.Flag{
		&cli.StringSliceFlag{Category: group, Name: "copy-to", Usage: "copy the image to `REGION[=KMSKEY]`, repeatable; the key is of that region and encrypts the copy (image.copy_to)"},
		&cli.StringSliceFlag{Category: group, Name: "share-with", Usage: "share the image and its copies with `WHOM`: an account's 12 digits, or the ARN of an organisation or of one of its units; repeatable (image.share_with)"},
	}
}

// distributeInputs reads distributeFlags; a flag replaces the file's whole list.
func distributeInputs(c *cli.Context, file config.Image) (w distribute.Wishes, err error) {
	option, copies := "--copy-to", c.StringSlice("copy-to")
	if len(copies) == 0 {
		option, copies = "image.copy_to", pairs(file.CopyTo)
	}
	if w.Copies, err = distribute.ParseTargets(option, copies); err != nil {
		return w, err
	}
	option, share := "--share-with", c.StringSlice("share-with")
	if len(share) == 0 {
		option, share = "image.share_with", file.ShareWith
	}
	w.Share, err = distribute.ParseAudience(option, share)
	return w, err
}

// pairs renders a map as KEY=VALUE, or KEY where there is no value, sorted.
func pairs(m map[string]string) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if m[k] != "" {
			k += "=" + m[k]
		}
		out = append(out, k)
	}
	return out
}

// regions makes EC2 clients for copies and shares, one a call: they share
// cfg's connections.
func regions(cfg aws.Config) func(region string) distribute.EC2 {
	return func(region string) distribute.EC2 {
		return ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.Region = region })
	}
}

// keyService makes KMS clients.
func keyService(cfg aws.Config) func(region string) distribute.KMS {
	return func(region string) distribute.KMS {
		return kms.NewFromConfig(cfg, func(o *kms.Options) { o.Region = region })
	}
}
