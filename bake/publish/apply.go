package publish

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// settleTime bounds the wait until SSM shows a parameter's new value.
const settleTime = time.Minute

// Apply makes the planned changes in their order and stops at the first that
// fails: predecessors stay as they are when the new image was not published.
// Nothing is taken back, since every change is right by itself; the plan it
// returns says what is done and what is not. The error is a fault.Unpublished.
func (p Publisher) Apply(ctx context.Context, plan Plan) (Plan, error) {
	plan.Changes = slices.Clone(plan.Changes)
	var failed error
	for i := range plan.Changes {
		c := &plan.Changes[i]
		if c.Result != Planned {
			continue
		}
		if failed == nil && ctx.Err() != nil {
			failed = context.Cause(ctx)
		}
		if failed != nil {
			c.Result = NotTried
			continue
		}
		p.Say(c.Text())
		if failed = p.make(ctx, plan, c); failed != nil {
			c.Result = Failed
			continue
		}
		c.Result = Done
	}
	if failed == nil {
		return plan, nil
	}
	return plan, fault.New(fault.Unpublished, fault.NextOf(failed), fmt.Errorf("publishing %s: %w; %s", plan.ImageID, failed, plan.sum()))
}

// sum says what is done and what is not, on one line.
func (p Plan) sum() string {
	var done, missing []string
	for _, c := range p.Changes {
		what := strings.ReplaceAll(c.Kind, "-", " ") + " " + c.Name + " (" + c.Region + ")"
		switch c.Result {
		case Done:
			done = append(done, what)
		case Failed, NotTried:
			missing = append(missing, what)
		}
	}
	return "done: " + cmp.Or(strings.Join(done, ", "), "nothing") + "; not done: " + strings.Join(missing, ", ")
}

func (p Publisher) make(ctx context.Context, plan Plan, c *Change) error {
	api := p.Region(c.Region)
	switch c.Kind {
	case KindParameter:
		return p.put(ctx, api.SSM, plan, c)
	case KindTemplate:
		return addVersion(ctx, api.EC2, plan, c)
	}
	_, err := api.EC2.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: aws.String(c.Name), DeprecateAt: aws.Time(c.at)})
	return awsfault.New("ec2:EnableImageDeprecation", "deprecating "+c.Name, err)
}

// put writes a parameter. SSM takes tags only with a new one (Tags and
// Overwrite exclude each other), so one that was there is tagged after.
func (p Publisher) put(ctx context.Context, api SSM, plan Plan, c *Change) error {
	doing := "writing parameter " + c.Name + " in " + c.Region
	in := &ssm.PutParameterInput{Name: aws.String(c.Name), Value: aws.String(c.Now), Type: ssmtypes.ParameterTypeString,
		DataType: aws.String(cmp.Or(c.dataType, imageType))}
	isNew := c.Was == ""
	if isNew {
		in.Tags = plan.tags()
		in.Description = aws.String("The image of Chef role " + plan.Role + ", written by bake-ami")
	} else {
		in.Overwrite = aws.Bool(true)
	}
	out, err := api.PutParameter(ctx, in)
	if isNew && awserr.IsExists(err) { // made since we looked, maybe by a lost try of ours
		in.Tags, in.Description, in.Overwrite = nil, nil, aws.Bool(true)
		isNew = false
		out, err = api.PutParameter(ctx, in)
	}
	if err != nil {
		return awsfault.New("ssm:PutParameter", doing, err)
	}
	c.Version = out.Version
	if !isNew {
		_, err := api.AddTagsToResource(ctx, &ssm.AddTagsToResourceInput{ResourceType: ssmtypes.ResourceTypeForTaggingParameter,
			ResourceId: aws.String(c.Name), Tags: plan.tags()})
		if err != nil {
			return awsfault.New("ssm:AddTagsToResource", "tagging parameter "+c.Name+" in "+c.Region, err)
		}
	}
	if aws.ToString(in.DataType) != imageType {
		return nil
	}
	return p.settle(ctx, api, c)
}

// settle waits until SSM shows the new value: of the data type aws:ec2:image
// it is checked after the call has succeeded, and dropped when it is wrong.
func (p Publisher) settle(ctx context.Context, api SSM, c *Change) error {
	start := p.Clock.Now()
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 3*time.Second) {
		out, err := api.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(c.Name)})
		if err == nil && aws.ToString(out.Parameter.Value) == c.Now {
			return nil
		}
		if err != nil && !awserr.IsNotFound(err) {
			return awsfault.New("ssm:GetParameter", "reading parameter "+c.Name+" in "+c.Region, err)
		}
		if p.Clock.Now().Sub(start) > settleTime {
			return fault.Newf(fault.AWS, "see that the caller may call ec2:DescribeImages in "+c.Region+", which SSM checks the image with",
				"writing parameter %s in %s: SSM took the value and does not show it after %s", c.Name, c.Region, settleTime)
		}
		if err := p.Clock.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// tags are those of a parameter.
func (p Plan) tags() []ssmtypes.Tag {
	var out []ssmtypes.Tag
	for _, t := range [][2]string{{ami.TagRole, p.Role}, {ami.TagBakeID, p.BakeID}, {ami.TagOwner, p.owner}} {
		if t[1] != "" {
			out = append(out, ssmtypes.Tag{Key: aws.String(t[0]), Value: aws.String(t[1])})
		}
	}
	return out
}

// addVersion makes a version of a launch template, and the default of it.
func addVersion(ctx context.Context, api EC2, plan Plan, c *Change) error {
	if c.makeVersion {
		out, err := api.CreateLaunchTemplateVersion(ctx, &ec2.CreateLaunchTemplateVersionInput{
			LaunchTemplateId: aws.String(c.ID), SourceVersion: aws.String(strconv.FormatInt(c.source, 10)),
			LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String(c.Now)},
			VersionDescription: aws.String(clip("bake "+plan.BakeID+" of role "+plan.Role, 255)),
			ClientToken:        aws.String(token(c)),
		})
		if err != nil {
			return awsfault.New("ec2:CreateLaunchTemplateVersion", "adding a version to launch template "+c.Name+" in "+c.Region, err)
		}
		c.Version = aws.ToInt64(out.LaunchTemplateVersion.VersionNumber)
		c.makeVersion = false
	}
	if !c.makeDefault {
		return nil
	}
	_, err := api.ModifyLaunchTemplate(ctx, &ec2.ModifyLaunchTemplateInput{LaunchTemplateId: aws.String(c.ID),
		DefaultVersion: aws.String(strconv.FormatInt(c.Version, 10)), ClientToken: aws.String(token(c))})
	return awsfault.New("ec2:ModifyLaunchTemplate", fmt.Sprintf("making version %d the default of launch template %s in %s", c.Version, c.Name, c.Region), err)
}

// token makes one version of the same wish: a reply that was lost and a run
// that was repeated both meet the version that is there.
func token(c *Change) string {
	sum := sha256.Sum256([]byte(c.Region + " " + c.ID + " " + strconv.FormatInt(c.source, 10) + " " + c.Now))
	return hex.EncodeToString(sum[:16])
}

func clip(s string, n int) string { return s[:min(n, len(s))] }
