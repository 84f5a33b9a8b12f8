package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// describeImageReferences answers what moto lacks: which instances, launch
// templates and SSM parameters use images. Image Builder's recipes are not in
// the lab. It follows docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html:
// all instance states and the latest 20 versions of a template, unless the
// call says otherwise.
func (g *Gateway) describeImageReferences(ctx context.Context, c *call) (reply, error) {
	images := flat(c.form, "ImageId")
	wanted := referenceOptions(c.form)
	switch {
	case len(images) == 0:
		return reply{}, refuse("MissingParameter", "The request must contain the parameter ImageId")
	case len(wanted) == 0:
		return reply{}, refuse("MissingParameter", "Either IncludeAllResourceTypes or ResourceTypes must be specified")
	}
	if err := refuseDryRun(c); err != nil {
		return reply{}, err
	}
	var found []string
	add := func(image, kind, arn string) {
		if slices.Contains(images, image) {
			found = append(found, "<item><imageId>"+image+"</imageId><resourceType>"+kind+"</resourceType><arn>"+escape(arn)+"</arn></item>")
		}
	}
	for kind, look := range map[string]func(context.Context, *call, string, func(image, kind, arn string)) error{
		"ec2:Instance": g.instanceReferences, "ec2:LaunchTemplate": g.templateReferences, "ssm:Parameter": g.parameterReferences,
	} {
		option, asked := wanted[kind]
		if !asked {
			continue
		}
		if err := look(ctx, c, option, add); err != nil {
			return reply{}, err
		}
	}
	slices.Sort(found)
	return ec2Reply(c, "<imageReferenceSet>"+strings.Join(found, "")+"</imageReferenceSet>"), nil
}

// referenceOptions are the resource types asked for, each with the values of
// its option, comma between.
func referenceOptions(form url.Values) map[string]string {
	out := map[string]string{}
	if form.Get("IncludeAllResourceTypes") == "true" {
		out["ec2:Instance"], out["ec2:LaunchTemplate"], out["ssm:Parameter"] = "", "20", ""
	}
	for _, t := range indexed(form, "ResourceType") {
		kind := t.Get("ResourceType")
		if _, known := out[kind]; !known && kind == "ec2:LaunchTemplate" {
			out[kind] = "20"
		} else if !known {
			out[kind] = ""
		}
		for _, o := range indexed(t, "ResourceTypeOption") {
			out[kind] = strings.Join(flat(o, "OptionValue"), ",")
		}
	}
	return out
}

func (g *Gateway) instanceReferences(ctx context.Context, c *call, states string, add func(image, kind, arn string)) error {
	own := *c
	own.form = url.Values{"Action": {"DescribeInstances"}, "Version": {"2016-11-15"}}
	own.action = "DescribeInstances"
	rep, err := g.describeInstances(ctx, &own)
	if err != nil || rep.status != http.StatusOK {
		return err
	}
	doc, err := parseXML(rep.body)
	if err != nil {
		return err
	}
	for _, r := range doc.items("reservationSet") {
		for _, i := range r.items("instancesSet") {
			if state := i.value("instanceState", "name"); states == "" || slices.Contains(strings.Split(states, ","), state) {
				add(i.value("imageId"), "ec2:Instance", fmt.Sprintf("arn:aws:ec2:%s:%s:instance/%s", c.region, r.value("ownerId"), i.value("instanceId")))
			}
		}
	}
	return nil
}

func (g *Gateway) templateReferences(ctx context.Context, c *call, depth string, add func(image, kind, arn string)) error {
	most, err := strconv.Atoi(depth)
	if err != nil || most < 1 || most > 10000 {
		return refuse("InvalidParameterValue", "version-depth %q is no number from 1 to 10000", depth)
	}
	doc, err := g.ask(ctx, c, "DescribeLaunchTemplates", url.Values{})
	if err != nil {
		return err
	}
	for _, t := range doc.items("launchTemplates") {
		id := t.value("launchTemplateId")
		versions, err := g.ask(ctx, c, "DescribeLaunchTemplateVersions", url.Values{"LaunchTemplateId": {id}, "MaxResults": {"10000"}})
		if err != nil {
			return err
		}
		all := versions.items("launchTemplateVersionSet")
		slices.SortFunc(all, func(a, b *node) int { return versionNumber(b) - versionNumber(a) })
		for _, v := range all[:min(most, len(all))] {
			add(v.value("launchTemplateData", "imageId"), "ec2:LaunchTemplate", fmt.Sprintf("arn:aws:ec2:%s:%s:launch-template/%s", c.region, labAccount, id))
		}
	}
	return nil
}

// labAccount is moto's only account.
const labAccount = "123456789012"

func versionNumber(v *node) int {
	n, _ := strconv.Atoi(v.value("versionNumber")) // moto's own number
	return n
}

// parameterReferences looks at parameters of the data type aws:ec2:image, as
// EC2 does.
func (g *Gateway) parameterReferences(ctx context.Context, c *call, _ string, add func(image, kind, arn string)) error {
	var list struct {
		Parameters []struct{ Name, DataType, ARN string }
	}
	for token := ""; ; {
		body := map[string]any{"MaxResults": 50}
		if token != "" {
			body["NextToken"] = token
		}
		var page struct {
			Parameters []struct{ Name, DataType, ARN string }
			NextToken  string
		}
		if err := g.askSSM(ctx, c, "DescribeParameters", body, &page); err != nil {
			return err
		}
		list.Parameters = append(list.Parameters, page.Parameters...)
		if token = page.NextToken; token == "" {
			break
		}
	}
	for _, p := range list.Parameters {
		if p.DataType != "aws:ec2:image" {
			continue
		}
		var one struct {
			Parameter struct{ Value, ARN string }
		}
		if err := g.askSSM(ctx, c, "GetParameter", map[string]any{"Name": p.Name}, &one); err != nil {
			return err
		}
		add(one.Parameter.Value, "ssm:Parameter", one.Parameter.ARN)
	}
	return nil
}

// askSSM makes a call of the gateway's own to Systems Manager.
func (g *Gateway) askSSM(ctx context.Context, c *call, action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	own := *c
	own.service, own.signing, own.action = "ssm", "ssm", action
	rep, err := g.send(ctx, &own, "application/x-amz-json-1.1", "AmazonSSM."+action, body)
	if err != nil {
		return err
	}
	if rep.status >= 400 {
		return fmt.Errorf("asking the emulator for parameters: %s", rep.body)
	}
	return json.Unmarshal(rep.body, out)
}

// describeParameters applies the filter DataType, which moto does not know and
// takes for one that nothing matches.
func (g *Gateway) describeParameters(ctx context.Context, c *call) (reply, error) {
	in := map[string]any{}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	filters, _ := in["ParameterFilters"].([]any)
	var left, kinds []any
	for _, f := range filters {
		m, _ := f.(map[string]any)
		if m["Key"] != "DataType" {
			left = append(left, f)
			continue
		}
		values, _ := m["Values"].([]any)
		kinds = append(kinds, values...)
	}
	if len(kinds) == 0 {
		return g.forward(ctx, c)
	}
	delete(in, "ParameterFilters")
	if len(left) > 0 {
		in["ParameterFilters"] = left
	}
	rep, err := g.forwardChanged(ctx, c, in)
	if err != nil || rep.status != http.StatusOK {
		return rep, err
	}
	out := map[string]any{}
	if err := json.Unmarshal(rep.body, &out); err != nil {
		return reply{}, fmt.Errorf("reading the emulator's parameters: %w", err)
	}
	all, _ := out["Parameters"].([]any)
	out["Parameters"] = slices.DeleteFunc(all, func(p any) bool {
		m, _ := p.(map[string]any)
		return !slices.Contains(kinds, m["DataType"])
	})
	return jsonReply(out)
}
