package publish

import (
	"context"
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

// imageType is the data type of parameters whose value SSM holds to be an image.
const imageType = "aws:ec2:image"

// Plan looks what the wishes mean for the image and changes nothing. What
// cannot work is refused: a template that is not there, a parameter that is
// no plain string. Errors: fault.Usage, fault.AWS.
func (p Publisher) Plan(ctx context.Context, w Wishes, t Target) (Plan, error) {
	out := Plan{Role: t.Image.Role, BakeID: t.Image.BakeID, owner: t.Owner, Changes: []Change{}}
	if len(t.Places) > 0 {
		out.ImageID = t.Places[0].ImageID
	}
	for _, place := range t.Places {
		for _, name := range w.Parameters {
			c, err := p.parameter(ctx, place, name)
			if err != nil {
				return out, err
			}
			out.Changes = append(out.Changes, c)
		}
	}
	for i, place := range t.Places {
		if w.LaunchTemplate == "" || i > 0 && isTemplateID(w.LaunchTemplate) {
			break
		}
		c, err := p.template(ctx, place, w, i == 0)
		if err != nil {
			return out, err
		}
		out.Changes = append(out.Changes, c)
	}
	for _, place := range t.Places {
		if !w.Deprecate {
			break
		}
		all, err := ami.List(ctx, p.Region(place.Region).EC2, ami.Filter("tag:"+ami.TagRole, t.Image.Role))
		if err != nil {
			return out, err
		}
		out.Changes = append(out.Changes, Predecessors(all, t.Image, place, deprecateAt(p.Clock.Now(), w.After))...)
	}
	return out, nil
}

func (p Publisher) parameter(ctx context.Context, place Place, name string) (Change, error) {
	c := Change{Kind: KindParameter, Region: place.Region, Name: name, Now: place.ImageID, Result: Planned, Reason: "the parameter is new"}
	out, err := p.Region(place.Region).SSM.GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String(name)})
	if awserr.IsNotFound(err) {
		return c, nil
	}
	if err != nil {
		return c, awsfault.New("ssm:GetParameter", "reading parameter "+name+" in "+place.Region, err)
	}
	have := out.Parameter
	if have.Type != ssmtypes.ParameterTypeString {
		return c, fault.Newf(fault.Usage, "choose another --publish-ssm, or delete that parameter", "publishing in %s: parameter %s is a %s, not a String", place.Region, name, have.Type)
	}
	c.Was, c.dataType, c.Version, c.Reason = aws.ToString(have.Value), aws.ToString(have.DataType), have.Version, "it names another image"
	if c.Was == c.Now && c.Now != "" {
		c.Result, c.Reason = Unchanged, "it names "+c.Now+" already"
	}
	return c, nil
}

// template plans a version of a launch template. A new one starts from the
// latest, so that what somebody changed in the template since stays changed.
func (p Publisher) template(ctx context.Context, place Place, w Wishes, home bool) (Change, error) {
	c := Change{Kind: KindTemplate, Region: place.Region, Name: w.LaunchTemplate, Now: place.ImageID, Result: Planned}
	api := p.Region(place.Region).EC2
	in := &ec2.DescribeLaunchTemplatesInput{}
	if isTemplateID(w.LaunchTemplate) {
		in.Filters = []types.Filter{} // an id has no filter of its own
		in.LaunchTemplateIds = []string{w.LaunchTemplate}
	} else {
		in.Filters = []types.Filter{ami.Filter("launch-template-name", w.LaunchTemplate)}
	}
	out, err := api.DescribeLaunchTemplates(ctx, in)
	if err != nil && !isNoTemplate(err) {
		return c, awsfault.New("ec2:DescribeLaunchTemplates", "looking for launch template "+w.LaunchTemplate+" in "+place.Region, err)
	}
	if err != nil || len(out.LaunchTemplates) == 0 {
		if !home {
			c.Result, c.Reason = Unchanged, "this region has no such template"
			return c, nil
		}
		return c, fault.Newf(fault.Usage, "make it first, or correct --publish-launch-template", "publishing in %s: there is no launch template %s", place.Region, w.LaunchTemplate)
	}
	t := out.LaunchTemplates[0]
	c.ID, c.Name = aws.ToString(t.LaunchTemplateId), aws.ToString(t.LaunchTemplateName)
	c.source = aws.ToInt64(t.LatestVersionNumber)
	if c.Was, err = imageOf(ctx, api, c.ID, c.source); err != nil {
		return c, err
	}
	c.makeVersion = c.Was != c.Now || c.Now == ""
	c.makeDefault = w.MakeDefault && (c.makeVersion || aws.ToInt64(t.DefaultVersionNumber) != c.source)
	switch {
	case c.makeVersion && c.makeDefault:
		c.Reason = fmt.Sprintf("a version after %d, and the default", c.source)
	case c.makeVersion:
		c.Reason = fmt.Sprintf("a version after %d", c.source)
	case c.makeDefault:
		c.Version, c.Reason = c.source, fmt.Sprintf("version %d becomes the default", c.source)
	default:
		c.Version, c.Result, c.Reason = c.source, Unchanged, fmt.Sprintf("version %d launches %s already", c.source, c.Now)
	}
	return c, nil
}

// isNoTemplate says that EC2 knows no such launch template. The codes are
// EC2's, whose names end in NotFound with another word after the dot.
func isNoTemplate(err error) bool {
	code := awserr.Code(err)
	return strings.HasPrefix(code, "InvalidLaunchTemplate") && strings.Contains(code, "NotFound")
}

// imageOf is the image that a version of a template launches.
func imageOf(ctx context.Context, api EC2, template string, version int64) (string, error) {
	out, err := api.DescribeLaunchTemplateVersions(ctx, &ec2.DescribeLaunchTemplateVersionsInput{
		LaunchTemplateId: aws.String(template), Versions: []string{strconv.FormatInt(version, 10)}})
	if err != nil {
		return "", awsfault.New("ec2:DescribeLaunchTemplateVersions", "reading launch template "+template, err)
	}
	for _, v := range out.LaunchTemplateVersions {
		if v.LaunchTemplateData != nil {
			return aws.ToString(v.LaunchTemplateData.ImageId), nil
		}
	}
	return "", nil
}

// deprecateAt is when earlier images are deprecated: EC2 takes no time that
// has passed, and rounds to the minute.
func deprecateAt(now time.Time, after time.Duration) time.Time {
	return now.UTC().Add(max(after, 2*time.Minute)).Truncate(time.Minute)
}

// Predecessors says which images of a place came before an image, and what
// becomes of each. Bake ids are ULIDs: their order is that of the bakes, also
// where a copy is younger than its image.
func Predecessors(all []ami.Image, of ami.Image, place Place, at time.Time) []Change {
	var out []Change
	for _, k := range all {
		if k.ID == place.ImageID || k.ID == of.ID || k.BakeID == of.BakeID {
			continue
		}
		c := Change{Kind: KindPredecessor, Region: place.Region, Name: k.ID, Result: Unchanged, at: at}
		if !k.Deprecated.IsZero() {
			c.Was = k.Deprecated.UTC().Format(time.RFC3339)
		}
		switch {
		case k.Role != of.Role:
			continue
		case !k.Finished():
			c.Reason = "it is unfinished: left to sweep"
		case k.Arch != of.Arch:
			c.Reason = "it is of another architecture, " + k.Arch
		case k.Environment != of.Environment:
			c.Reason = "it is of another environment, " + k.Environment
		case of.BakeID != "" && k.BakeID > of.BakeID:
			c.Reason = "it is newer"
		case !k.Deprecated.IsZero() && !k.Deprecated.After(at):
			c.Reason = "it is deprecated at " + c.Was
		default:
			c.Result, c.Now = Planned, at.UTC().Format(time.RFC3339)
			c.Reason = "an earlier image of the role, deprecated at " + c.Now
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return out
}
