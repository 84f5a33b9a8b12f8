package bake

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// canonical is the account that publishes Ubuntu's images
// (documentation.ubuntu.com, "Find Ubuntu images on AWS").
const canonical = "099720109477"

// selector is a parsed --base.
type selector struct {
	kind  string // id, ssm or name
	value string
}

// parseBase reads ami-…, ssm:NAME or name:GLOB.
func parseBase(s string) (selector, error) {
	kind, value, ok := strings.Cut(s, ":")
	switch {
	case strings.HasPrefix(s, "ami-") && len(s) > len("ami-"):
		return selector{"id", s}, nil
	case ok && oneOf(kind, "ssm", "name") && value != "":
		return selector{kind, value}, nil
	}
	return selector{}, fault.Newf(fault.Usage, "write ami-…, ssm:NAME or name:GLOB", "reading base image %q: unknown form", s)
}

// resolveBase finds the one image that the selector names.
func (w World) resolveBase(ctx context.Context, in Inputs, who Identity) (Base, error) {
	sel, err := parseBase(in.Base)
	if err != nil {
		return Base{}, err
	}
	id := sel.value
	if sel.kind == "ssm" {
		if id, err = w.parameter(ctx, sel.value); err != nil {
			return Base{}, err
		}
	}
	req := &ec2.DescribeImagesInput{Filters: []types.Filter{ami.Filter("image-id", id)}}
	if sel.kind == "name" {
		req.Filters = []types.Filter{ami.Filter("name", sel.value), ami.Filter("state", "available")}
	}
	if in.BaseOwner != "" {
		req.Owners = []string{in.BaseOwner}
	}
	out, err := w.EC2.DescribeImages(ctx, req)
	if err != nil {
		return Base{}, awsfault.New("ec2:DescribeImages", "looking for base image "+in.Base, err)
	}
	img, err := pickImage(out.Images, in, sel, who.Account)
	if err != nil {
		return Base{}, err
	}
	base := baseOf(img)
	base.AskedFor = in.Base
	return base, checkBase(base, in)
}

// parameter reads an SSM parameter that holds an image id.
func (w World) parameter(ctx context.Context, name string) (string, error) {
	out, err := w.SSM.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	if awserr.IsNotFound(err) {
		return "", fault.Newf(fault.Usage, "correct --base: the parameter must exist in this region",
			"looking for base image: there is no SSM parameter %s", name)
	}
	if err != nil {
		return "", awsfault.New("ssm:GetParameter", "reading SSM parameter "+name, err)
	}
	value := aws.ToString(out.Parameter.Value)
	if !strings.HasPrefix(value, "ami-") {
		return "", fault.Newf(fault.Usage, "name a parameter that holds an image id", "looking for base image: SSM parameter %s holds %q", name, value)
	}
	return value, nil
}

// pickImage chooses among what EC2 found: the newest, if one account owns all
// of them. Anybody can publish an image of any name, so a name alone is
// trusted only when the image is the caller's, Amazon's or Canonical's.
func pickImage(found []types.Image, in Inputs, sel selector, account string) (types.Image, error) {
	if len(found) == 0 {
		next := "correct --base: the image must exist in this region and be shared with this account"
		if in.BaseOwner != "" {
			next = "correct --base or --base-owner " + in.BaseOwner
		}
		return types.Image{}, fault.Newf(fault.Usage, next, "looking for base image: no image matches %s", in.Base)
	}
	var owners []string
	for _, i := range found {
		owners = append(owners, aws.ToString(i.OwnerId))
	}
	slices.Sort(owners)
	if owners = slices.Compact(owners); len(owners) > 1 {
		return types.Image{}, fault.Newf(fault.Usage, "say whose you mean: --base-owner "+owners[0]+" (or another of them)",
			"looking for base image: %s matches images of %d owners: %s", in.Base, len(owners), strings.Join(owners, ", "))
	}
	newest := slices.MaxFunc(found, func(a, b types.Image) int {
		return cmp.Or(cmp.Compare(aws.ToString(a.CreationDate), aws.ToString(b.CreationDate)), cmp.Compare(aws.ToString(a.ImageId), aws.ToString(b.ImageId)))
	})
	trusted := owners[0] == account || owners[0] == canonical || aws.ToString(newest.ImageOwnerAlias) == "amazon"
	if sel.kind == "name" && in.BaseOwner == "" && !trusted {
		return types.Image{}, fault.Newf(fault.Usage, "if you trust that account, add --base-owner "+owners[0],
			"looking for base image: %s matches only images of a foreign account, %s", in.Base, owners[0])
	}
	return newest, nil
}

// baseOf keeps of an image what a bake needs to know.
func baseOf(i types.Image) Base {
	b := Base{ID: aws.ToString(i.ImageId), Name: aws.ToString(i.Name), Owner: aws.ToString(i.OwnerId),
		Architecture: string(i.Architecture), RootDevice: aws.ToString(i.RootDeviceName), BootMode: string(i.BootMode), Encrypted: distribute.Encrypted(i)}
	for _, m := range i.BlockDeviceMappings {
		if m.Ebs == nil {
			continue
		}
		if name := aws.ToString(m.DeviceName); name == b.RootDevice {
			b.RootGB, b.RootType = aws.ToInt32(m.Ebs.VolumeSize), string(m.Ebs.VolumeType)
		} else {
			b.OtherDevices = append(b.OtherDevices, name)
		}
	}
	if b.RootDevice == "" {
		b.RootDevice = "/dev/sda1"
	}
	return b
}

// checkBase refuses what cannot become a builder.
func checkBase(b Base, in Inputs) error {
	if in.RootVolumeGB > 0 && int32(in.RootVolumeGB) < b.RootGB {
		return fault.Newf(fault.Usage, fmt.Sprintf("raise --root-volume-gb to at least %d, or drop it", b.RootGB),
			"checking base image %s: its root volume has %d GB, more than the %d asked for", b.ID, b.RootGB, in.RootVolumeGB)
	}
	if !oneOf(b.Architecture, "x86_64", "arm64") {
		return fault.Newf(fault.Usage, "choose an x86_64 or arm64 image", "checking base image %s: architecture %q is not supported", b.ID, b.Architecture)
	}
	if in.Arch != "" && imageArch(in.Arch) != b.Architecture {
		return fault.Newf(fault.Usage, "correct --base (bake.base), or drop --arch", "checking base image %s: it is %s, and --arch says %s", b.ID, b.Architecture, in.Arch)
	}
	return nil
}
