package retain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
)

// templates looks at the latest and the default version of every template, in
// one listing. Older versions are EC2's to tell (told).
func (g *gatherer) templates(ctx context.Context) error {
	return g.versions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{Versions: []string{"$Latest", "$Default"}}, "looking at launch templates", "")
}

// versions reads versions of templates. by names the group that uses them, if
// it is one.
func (g *gatherer) versions(ctx context.Context, in *ec2.DescribeLaunchTemplateVersionsInput, doing, by string) error {
	pages := ec2.NewDescribeLaunchTemplateVersionsPaginator(g.api.EC2, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return awsfault.New("ec2:DescribeLaunchTemplateVersions", doing, err)
		}
		for _, v := range page.LaunchTemplateVersions {
			g.version(v, by)
		}
	}
	return nil
}

func (g *gatherer) version(v types.LaunchTemplateVersion, by string) {
	if v.LaunchTemplateData == nil {
		return
	}
	kind, name := KindTemplate, fmt.Sprintf("%s version %d", aws.ToString(v.LaunchTemplateName), aws.ToInt64(v.VersionNumber))
	if by != "" {
		kind, name = KindGroup, by+" by launch template "+name
	}
	g.launches(aws.ToString(v.LaunchTemplateData.ImageId), kind, name)
}

// launches records what a template or group launches: an image, or the
// parameter that holds one at launch time.
func (g *gatherer) launches(image, kind, name string) {
	if parameter, ok := strings.CutPrefix(image, "resolve:ssm:"); ok {
		g.resolved = append(g.resolved, parameter)
		return
	}
	g.add(image, kind, name)
}

// groups looks at what Auto Scaling groups launch. Versions are looked up for
// each group's own template, as a group may name one that is neither the
// latest nor the default.
func (g *gatherer) groups(ctx context.Context) error {
	old := map[string]string{} // launch configuration → group
	pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(g.api.Groups, &autoscaling.DescribeAutoScalingGroupsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return awsfault.New("autoscaling:DescribeAutoScalingGroups", "looking at Auto Scaling groups", err)
		}
		for _, group := range page.AutoScalingGroups {
			name := aws.ToString(group.AutoScalingGroupName)
			if c := aws.ToString(group.LaunchConfigurationName); c != "" {
				old[c] = name
			}
			for _, t := range g.specifications(group) {
				if err := g.specification(ctx, t, name); err != nil {
					return err
				}
			}
		}
	}
	return g.configurations(ctx, old)
}

// specifications are the templates that a group launches from.
func (g *gatherer) specifications(group astypes.AutoScalingGroup) []astypes.LaunchTemplateSpecification {
	var out []astypes.LaunchTemplateSpecification
	add := func(s *astypes.LaunchTemplateSpecification) {
		if s != nil {
			out = append(out, *s)
		}
	}
	add(group.LaunchTemplate)
	if group.MixedInstancesPolicy != nil && group.MixedInstancesPolicy.LaunchTemplate != nil {
		mixed := group.MixedInstancesPolicy.LaunchTemplate
		add(mixed.LaunchTemplateSpecification)
		for _, o := range mixed.Overrides {
			add(o.LaunchTemplateSpecification)
			g.launches(aws.ToString(o.ImageId), KindGroup, aws.ToString(group.AutoScalingGroupName))
		}
	}
	for _, i := range group.Instances { // what it would replace them with is above; this is what they run
		add(i.LaunchTemplate)
	}
	slices.SortFunc(out, func(a, b astypes.LaunchTemplateSpecification) int { return strings.Compare(key(a), key(b)) })
	return slices.CompactFunc(out, func(a, b astypes.LaunchTemplateSpecification) bool { return key(a) == key(b) })
}

func key(s astypes.LaunchTemplateSpecification) string {
	return cmp.Or(aws.ToString(s.LaunchTemplateId), aws.ToString(s.LaunchTemplateName)) + " " + cmp.Or(aws.ToString(s.Version), "$Default")
}

func (g *gatherer) specification(ctx context.Context, s astypes.LaunchTemplateSpecification, group string) error {
	in := &ec2.DescribeLaunchTemplateVersionsInput{Versions: []string{cmp.Or(aws.ToString(s.Version), "$Default")}}
	if in.LaunchTemplateId = s.LaunchTemplateId; in.LaunchTemplateId == nil {
		in.LaunchTemplateName = s.LaunchTemplateName
	}
	err := g.versions(ctx, in, "looking at the launch template of group "+group, group)
	if code := awserr.Code(err); strings.HasPrefix(code, "InvalidLaunchTemplate") && strings.Contains(code, "NotFound") {
		return nil // a group whose template is gone launches nothing
	}
	return err
}

// configurations looks at launch configurations, which old groups still have.
func (g *gatherer) configurations(ctx context.Context, groups map[string]string) error {
	for batch := range slices.Chunk(slices.Sorted(maps.Keys(groups)), 50) {
		pages := autoscaling.NewDescribeLaunchConfigurationsPaginator(g.api.Groups, &autoscaling.DescribeLaunchConfigurationsInput{LaunchConfigurationNames: batch})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return awsfault.New("autoscaling:DescribeLaunchConfigurations", "looking at launch configurations", err)
			}
			for _, c := range page.LaunchConfigurations {
				g.add(aws.ToString(c.ImageId), KindGroup, groups[aws.ToString(c.LaunchConfigurationName)])
			}
		}
	}
	return nil
}

// parameters looks at those that hold images, at those that bakes wrote for
// the roles, and at those that templates launch by.
func (g *gatherer) parameters(ctx context.Context, roles []string) error {
	names := slices.Clone(g.resolved)
	filters := []ssmtypes.ParameterStringFilter{{Key: aws.String("DataType"), Option: aws.String("Equals"), Values: []string{"aws:ec2:image"}}}
	if len(roles) > 0 {
		filters = append(filters, ssmtypes.ParameterStringFilter{Key: aws.String("tag:" + ami.TagRole), Option: aws.String("Equals"), Values: roles})
	}
	for _, f := range filters {
		pages := ssm.NewDescribeParametersPaginator(g.api.SSM, &ssm.DescribeParametersInput{ParameterFilters: []ssmtypes.ParameterStringFilter{f}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return awsfault.New("ssm:DescribeParameters", "looking for SSM parameters", err)
			}
			for _, p := range page.Parameters {
				names = append(names, aws.ToString(p.Name))
			}
		}
	}
	slices.Sort(names)
	for batch := range slices.Chunk(slices.Compact(names), nameBatch) {
		out, err := g.api.SSM.GetParameters(ctx, &ssm.GetParametersInput{Names: batch})
		if err != nil {
			return awsfault.New("ssm:GetParameters", "reading SSM parameters", err)
		}
		for _, p := range out.Parameters {
			g.add(aws.ToString(p.Value), KindParameter, aws.ToString(p.Name)+" (version "+strconv.FormatInt(p.Version, 10)+")")
		}
	}
	return nil
}
