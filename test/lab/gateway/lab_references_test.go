//go:build lab

package gateway_test

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// references are the resources that use an image, as TYPE ID.
func (b *bench) references(image string, depth string) []string {
	b.t.Helper()
	in := &ec2.DescribeImageReferencesInput{ImageIds: []string{image}, IncludeAllResourceTypes: aws.Bool(true)}
	if depth != "" {
		in.ResourceTypes = []types.ResourceTypeRequest{{ResourceType: types.ImageReferenceResourceTypeEc2LaunchTemplate,
			ResourceTypeOptions: []types.ResourceTypeOption{{OptionName: types.ImageReferenceOptionNameVersionDepth, OptionValues: []string{depth}}}}}
	}
	out, err := b.ec2.DescribeImageReferences(b.ctx, in)
	if err != nil {
		b.t.Fatalf("DescribeImageReferences: %v", err)
	}
	var all []string
	for _, r := range out.ImageReferences {
		arn := aws.ToString(r.Arn)
		all = append(all, string(r.ResourceType)+" "+arn[strings.LastIndexAny(arn, "/:")+1:])
	}
	return all
}

func testReferences(b *bench) {
	id := b.bake("image-used")
	b.settle(id, nil)
	if refs := b.references(id, ""); len(refs) > 0 {
		b.t.Errorf("a fresh image is used by %v", refs)
	}
	i := b.run(func(in *ec2.RunInstancesInput) { in.ImageId = aws.String(id) })
	made, err := b.ec2.CreateLaunchTemplate(b.ctx, &ec2.CreateLaunchTemplateInput{LaunchTemplateName: aws.String("used"),
		LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String(id), InstanceType: types.InstanceTypeT3Small}})
	if err != nil {
		b.t.Fatal(err)
	}
	template := aws.ToString(made.LaunchTemplate.LaunchTemplateId)
	_, err = ssm.NewFromConfig(b.cfg).PutParameter(b.ctx, &ssm.PutParameterInput{Name: aws.String("/ref/image"), Value: aws.String(id),
		Type: ssmtypes.ParameterTypeString, DataType: aws.String("aws:ec2:image")})
	if err != nil {
		b.t.Fatal(err)
	}
	want := []string{"ec2:Instance " + *i.InstanceId, "ec2:LaunchTemplate " + template, "ssm:Parameter image"}
	if refs := b.references(id, ""); !slices.Equal(refs, want) {
		b.t.Errorf("references are %v, want %v", refs, want)
	}
	b.newVersion(template, baseImage)
	if refs := b.references(id, "1"); slices.Contains(refs, want[1]) {
		b.t.Errorf("with a depth of one version: %v", refs)
	}
	if refs := b.references(id, ""); !slices.Contains(refs, want[1]) {
		b.t.Errorf("with EC2's own depth: %v", refs)
	}
	_, err = b.ec2.DescribeImageReferences(b.ctx, &ec2.DescribeImageReferencesInput{ImageIds: []string{id}})
	wantCode(b.t, "no resource type", err, "MissingParameter")
}

// newVersion makes a version from the latest with another image, twice with
// one token.
func (b *bench) newVersion(template, image string) {
	b.t.Helper()
	in := &ec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: aws.String(template), SourceVersion: aws.String("1"), ClientToken: aws.String("one-" + template),
		LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String(image)}}
	for range 2 {
		out, err := b.ec2.CreateLaunchTemplateVersion(b.ctx, in)
		if err != nil {
			b.t.Fatal(err)
		}
		v := out.LaunchTemplateVersion
		if *v.VersionNumber != 2 || *v.LaunchTemplateData.ImageId != image || v.LaunchTemplateData.InstanceType != types.InstanceTypeT3Small {
			b.t.Errorf("version %d has %+v", *v.VersionNumber, v.LaunchTemplateData)
		}
	}
	all, err := b.ec2.DescribeLaunchTemplateVersions(b.ctx, &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: aws.String(template)})
	if err != nil || len(all.LaunchTemplateVersions) != 2 {
		b.t.Errorf("one token made %d versions, %v", len(all.LaunchTemplateVersions)-1, err)
	}
}

func testParameterFilters(b *bench) {
	client := ssm.NewFromConfig(b.cfg)
	tags := []ssmtypes.Tag{{Key: aws.String("bakehouse:role"), Value: aws.String("web")}}
	for name, kind := range map[string]string{"/filter/image": "aws:ec2:image", "/filter/text": "text"} {
		_, err := client.PutParameter(b.ctx, &ssm.PutParameterInput{Name: aws.String(name), Value: aws.String(baseImage), DataType: aws.String(kind),
			Type: ssmtypes.ParameterTypeString, Tags: tags})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	_, err := client.PutParameter(b.ctx, &ssm.PutParameterInput{Name: aws.String("/filter/image"), Value: aws.String(baseImage), Overwrite: aws.Bool(true), Tags: tags})
	wantCode(b.t, "tags with overwrite", err, "ValidationException")
	_, err = client.PutParameter(b.ctx, &ssm.PutParameterInput{Name: aws.String("/filter/image"), Value: aws.String(baseImage), Type: ssmtypes.ParameterTypeString})
	wantCode(b.t, "a parameter twice", err, "ParameterAlreadyExists")
	below := ssmtypes.ParameterStringFilter{Key: aws.String("Path"), Option: aws.String("Recursive"), Values: []string{"/filter"}}
	find := func(key, value string) []string {
		out, err := client.DescribeParameters(b.ctx, &ssm.DescribeParametersInput{ParameterFilters: []ssmtypes.ParameterStringFilter{below,
			{Key: aws.String(key), Option: aws.String("Equals"), Values: []string{value}}}})
		if err != nil {
			b.t.Fatal(err)
		}
		var names []string
		for _, p := range out.Parameters {
			names = append(names, aws.ToString(p.Name))
		}
		slices.Sort(names)
		return names
	}
	if got := find("DataType", "aws:ec2:image"); !slices.Equal(got, []string{"/filter/image"}) {
		b.t.Errorf("parameters of images are %v", got)
	}
	if got := find("tag:bakehouse:role", "web"); !slices.Equal(got, []string{"/filter/image", "/filter/text"}) {
		b.t.Errorf("parameters of role web are %v", got)
	}
}
