package retain

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/bake/ami"
	"bakehouse/internal/awsfault"
)

// EC2 is the part of EC2 that retention uses.
type EC2 interface {
	ami.Lister
	DescribeImageReferences(context.Context, *ec2.DescribeImageReferencesInput, ...func(*ec2.Options)) (*ec2.DescribeImageReferencesOutput, error)
	DescribeImageAttribute(context.Context, *ec2.DescribeImageAttributeInput, ...func(*ec2.Options)) (*ec2.DescribeImageAttributeOutput, error)
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
	DescribeLaunchTemplateVersions(context.Context, *ec2.DescribeLaunchTemplateVersionsInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error)
	DeregisterImage(context.Context, *ec2.DeregisterImageInput, ...func(*ec2.Options)) (*ec2.DeregisterImageOutput, error)
	DeleteSnapshot(context.Context, *ec2.DeleteSnapshotInput, ...func(*ec2.Options)) (*ec2.DeleteSnapshotOutput, error)
}

// Groups is the part of Auto Scaling that retention uses.
type Groups interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	DescribeLaunchConfigurations(context.Context, *autoscaling.DescribeLaunchConfigurationsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeLaunchConfigurationsOutput, error)
}

// Parameters is the part of Systems Manager that retention uses.
type Parameters interface {
	DescribeParameters(context.Context, *ssm.DescribeParametersInput, ...func(*ssm.Options)) (*ssm.DescribeParametersOutput, error)
	GetParameters(context.Context, *ssm.GetParametersInput, ...func(*ssm.Options)) (*ssm.GetParametersOutput, error)
}

// API is the clients of one region.
type API struct {
	EC2    EC2
	Groups Groups
	SSM    Parameters
}

// Actions lists the IAM actions that looking for references takes.
func Actions() []string {
	return []string{"ec2:DescribeImages", "ec2:DescribeImageReferences", "ec2:DescribeInstances", "ec2:DescribeLaunchTemplateVersions",
		"autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeLaunchConfigurations", "ssm:DescribeParameters", "ssm:GetParameters"}
}

// Sizes of batches: of images per DescribeImageReferences, of filter values
// (EC2 takes 200), of names per GetParameters (SSM takes 10).
const (
	refBatch    = 10
	filterBatch = 200
	nameBatch   = 10
)

// References finds who uses the images in a region: instances that are not
// terminated, launch templates (the latest versions, as many as given, the
// default, and those that groups name), groups, SSM parameters that hold
// images, and whatever else EC2 knows of.
func References(ctx context.Context, api API, images []ami.Image, templates int) ([]Reference, error) {
	if len(images) == 0 {
		return nil, nil
	}
	g := &gatherer{api: api, depth: cmp.Or(templates, defaultTemplates), wanted: map[string]bool{}}
	var ids, roles []string
	for _, k := range images {
		ids, g.wanted[k.ID] = append(ids, k.ID), true
		if k.Role != "" && !slices.Contains(roles, k.Role) {
			roles = append(roles, k.Role)
		}
	}
	for _, look := range []func(context.Context) error{
		func(ctx context.Context) error { return g.instances(ctx, ids) },
		g.templates, g.groups,
		func(ctx context.Context) error { return g.parameters(ctx, roles) },
		func(ctx context.Context) error { return g.told(ctx, ids) },
	} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return g.found, nil
}

// gatherer collects references in one region.
type gatherer struct {
	api      API
	depth    int
	wanted   map[string]bool // image ids
	resolved []string        // SSM parameters that templates launch
	found    []Reference
}

// add records a reference when it is to one of the images.
func (g *gatherer) add(image, kind, name string) {
	if g.wanted[image] {
		g.found = append(g.found, Reference{image, kind, name})
	}
}

func (g *gatherer) instances(ctx context.Context, ids []string) error {
	for batch := range slices.Chunk(ids, filterBatch) {
		pages := ec2.NewDescribeInstancesPaginator(g.api.EC2, &ec2.DescribeInstancesInput{Filters: []types.Filter{ami.Filter("image-id", batch...),
			ami.Filter("instance-state-name", "pending", "running", "stopping", "stopped", "shutting-down")}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return awsfault.New("ec2:DescribeInstances", "looking for instances of the images", err)
			}
			for _, r := range page.Reservations {
				for _, i := range r.Instances {
					g.add(aws.ToString(i.ImageId), KindInstance, aws.ToString(i.InstanceId))
				}
			}
		}
	}
	return nil
}

// told asks EC2 itself, which also knows Image Builder's recipes. Terminated
// instances, which it would count, use nothing any more.
func (g *gatherer) told(ctx context.Context, ids []string) error {
	for batch := range slices.Chunk(ids, refBatch) {
		pages := ec2.NewDescribeImageReferencesPaginator(g.api.EC2, &ec2.DescribeImageReferencesInput{ImageIds: batch, IncludeAllResourceTypes: aws.Bool(true),
			ResourceTypes: []types.ResourceTypeRequest{
				{ResourceType: types.ImageReferenceResourceTypeEc2Instance, ResourceTypeOptions: []types.ResourceTypeOption{{
					OptionName: types.ImageReferenceOptionNameStateName, OptionValues: []string{"pending", "running", "shutting-down", "stopping", "stopped"}}}},
				{ResourceType: types.ImageReferenceResourceTypeEc2LaunchTemplate, ResourceTypeOptions: []types.ResourceTypeOption{{
					OptionName: types.ImageReferenceOptionNameVersionDepth, OptionValues: []string{strconv.Itoa(g.depth)}}}},
			}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return awsfault.New("ec2:DescribeImageReferences", "asking EC2 who uses the images", err)
			}
			for _, r := range page.ImageReferences {
				g.add(aws.ToString(r.ImageId), KindReference, string(r.ResourceType)+" "+aws.ToString(r.Arn))
			}
		}
	}
	return nil
}

// sharesOf finds which images others may launch.
func sharesOf(ctx context.Context, api EC2, images []ami.Image) ([]Reference, error) {
	var out []Reference
	for _, k := range images {
		a, err := api.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: aws.String(k.ID), Attribute: types.ImageAttributeNameLaunchPermission})
		if err != nil {
			return nil, awsfault.New("ec2:DescribeImageAttribute", "asking who may launch "+k.ID, err)
		}
		for _, l := range a.LaunchPermissions {
			who := cmp.Or(aws.ToString(l.UserId), aws.ToString(l.OrganizationArn), aws.ToString(l.OrganizationalUnitArn), string(l.Group))
			out = append(out, Reference{k.ID, KindShare, "with " + who})
		}
	}
	return out, nil
}
