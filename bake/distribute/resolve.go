package distribute

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// CheckKeys asks KMS about every key that is named, in the key's region: it
// must be there, be usable and, when the image is to be shared, not be AWS's
// own. KMS is not called for a key that nobody named. Errors are fault.Usage,
// or fault.AWS when KMS does not answer.
func (w World) CheckKeys(ctx context.Context, wishes Wishes, s Source) error {
	sharing := !wishes.Share.Empty()
	if sharing && s.Encrypted && s.KMSKey != "" {
		if err := w.checkKey(ctx, s.Region, s.KMSKey, true); err != nil {
			return err
		}
	}
	for _, t := range wishes.Copies {
		if t.KMSKey != "" {
			if err := w.checkKey(ctx, t.Region, t.KMSKey, sharing); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w World) checkKey(ctx context.Context, region, key string, shared bool) error {
	out, err := w.KMS(region).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(key)})
	if awserr.IsNotFound(err) {
		return refuse("name a key of that region (aws kms list-aliases --region "+region+")", "there is no KMS key %s in %s", key, region)
	}
	if err != nil {
		return awsfault.New("kms:DescribeKey", "looking at KMS key "+key+" in "+region, err)
	}
	meta := out.KeyMetadata
	switch {
	case meta.KeyState != "" && meta.KeyState != kmstypes.KeyStateEnabled:
		return refuse("enable it, or name another", "KMS key %s in %s cannot be used: it is %s", key, region, meta.KeyState)
	case shared && meta.KeyManager == kmstypes.KeyManagerTypeAws:
		return refuse("encrypt with a key of your own, or share nothing",
			"the image in %s is to be shared, and KMS key %s is managed by AWS: no other account can use it", region, key)
	}
	return nil
}

// Standing is what stands in a target's region under the image's name.
type Standing struct {
	Target
	Existing *ami.Image // nil: nothing
}

// Look asks every target's region for an image of the name. One of the same
// bake is a copy that exists; any other is in the way, and one that its maker
// has not finished is, too. Errors are fault.Usage or fault.AWS.
func (w World) Look(ctx context.Context, targets []Target, name, bakeID string) ([]Standing, error) {
	var all []Standing
	for _, t := range targets {
		out, err := w.EC2(t.Region).DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{ami.Filter("name", name)}})
		if err != nil {
			return nil, awsfault.New("ec2:DescribeImages", "looking for images named "+name+" in "+t.Region, err)
		}
		st := Standing{Target: t}
		for _, i := range out.Images {
			k := ami.From(i)
			if err := inTheWay(k, t.Region, bakeID); err != nil {
				return nil, err
			}
			st.Existing = &k
		}
		all = append(all, st)
	}
	return all, nil
}

func inTheWay(k ami.Image, region, bakeID string) error {
	switch {
	case k.BakeID != bakeID || bakeID == "":
		return refuse("deregister that image, or choose a name with {bake} in it", "%q is the name of %s in %s already", k.Name, k.ID, region)
	case !k.Finished():
		return refuse(fmt.Sprintf("wait for whoever makes it, or remove it: bake-ami abort --region %s %s", region, bakeID),
			"an unfinished copy, %s, is in %s already (it is %s)", k.ID, region, k.State)
	}
	return nil
}

// CheckDefaults asks EC2 whether accounts encrypt every volume by default,
// which settings alone do not tell: an image that was to be plain then has a
// key that nobody named. Errors are fault.Usage or fault.AWS.
func (w World) CheckDefaults(ctx context.Context, wishes Wishes, s Source) error {
	if wishes.Empty() {
		return nil
	}
	if !s.Encrypted {
		on, err := w.encryptsByDefault(ctx, s.Region)
		if err != nil {
			return err
		}
		if s.Encrypted = on; on {
			if err := wishes.Check(s); err != nil {
				return fmt.Errorf("%s encrypts every volume by default: %w", s.Region, err)
			}
		}
	}
	if wishes.Share.Empty() {
		return nil
	}
	for _, t := range wishes.Copies {
		if t.KMSKey != "" {
			continue
		}
		on, err := w.encryptsByDefault(ctx, t.Region)
		if err != nil {
			return err
		}
		if on {
			return refuse("add a key of that region: "+t.Region+"=alias/NAME",
				"%s encrypts every volume by default, and the copy there, which is to be shared, has no key", t.Region)
		}
	}
	return nil
}

func (w World) encryptsByDefault(ctx context.Context, region string) (bool, error) {
	out, err := w.EC2(region).GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
	if err != nil {
		return false, awsfault.New("ec2:GetEbsEncryptionByDefault", "asking whether "+region+" encrypts every volume", err)
	}
	return aws.ToBool(out.EbsEncryptionByDefault), nil
}

// CheckMade checks the wishes against the image as it was made, of which EC2
// may know more than anybody said: its key. Errors are fault.Usage or
// fault.AWS.
func (w World) CheckMade(ctx context.Context, wishes Wishes, region string, image types.Image) error {
	s := Source{Region: region, Account: aws.ToString(image.OwnerId), Encrypted: Encrypted(image)}
	if s.Encrypted {
		var err error
		if s.KMSKey, err = w.KeyOf(ctx, region, image); err != nil {
			return err
		}
	}
	if err := wishes.Check(s); err != nil {
		return err
	}
	if wishes.Share.Empty() || !s.Encrypted {
		return nil
	}
	return w.CheckKeys(ctx, Wishes{Share: wishes.Share}, s)
}
