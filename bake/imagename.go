package bake

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// DefaultImageName is the name template of images; the bake id makes every
// name a new one.
const DefaultImageName = "{role}-{bake}"

// maxDescription is EC2's limit for an image's description, in characters.
const maxDescription = 255

// maxDeprecation is EC2's limit, ten years.
const maxDeprecation = 3650 * 24 * time.Hour

// ImageInputs are the wishes that concern the image itself.
type ImageInputs struct {
	ImageName      string        // template, see NamePlaceholders; empty: DefaultImageName
	Description    string        // template
	DeprecateAfter time.Duration // age at which EC2 stops offering the image; 0: never
	Protect        bool          // against being deregistered
	Rebake         bool          // also when there is an image of the same inputs
}

func (in ImageInputs) withDefaults() ImageInputs {
	in.ImageName = cmp.Or(in.ImageName, DefaultImageName)
	in.Description = cmp.Or(in.Description, "Chef role {role} on {base}, bake {bake}")
	return in
}

// check finds what can be refused without asking anybody.
func (in ImageInputs) check() error {
	if in.DeprecateAfter < 0 || in.DeprecateAfter > maxDeprecation {
		return fault.Newf(fault.Usage, "use 1h to 3650d", "checking inputs: --deprecate-after is out of range: EC2 takes up to ten years")
	}
	return cmp.Or(checkTemplate("--image-name", in.ImageName), checkTemplate("--description", in.Description))
}

// placeholder matches {word}.
func placeholder() *regexp.Regexp { return regexp.MustCompile(`\{[^{}]*\}`) }

// NamePlaceholders lists what image names and descriptions may hold.
func NamePlaceholders() []string {
	return []string{"{role}", "{environment}", "{bake}", "{date}", "{time}", "{arch}", "{base}", "{inputs}"}
}

// checkTemplate finds placeholders that nobody fills, and braces that are none.
func checkTemplate(option, text string) error {
	rest := text
	for _, p := range placeholder().FindAllString(text, -1) {
		if !slices.Contains(NamePlaceholders(), p) {
			return fault.Newf(fault.Usage, "use "+strings.Join(NamePlaceholders(), " "), "checking inputs: %s %q: there is no %s", option, text, p)
		}
		rest = strings.ReplaceAll(rest, p, "")
	}
	if strings.ContainsAny(rest, "{}") {
		return fault.Newf(fault.Usage, "use "+strings.Join(NamePlaceholders(), " "), "checking inputs: %s %q has a lonely brace", option, text)
	}
	return nil
}

// fill puts the plan's values into a template.
func (p Plan) fill(template string, now time.Time) string {
	at := now.UTC()
	return strings.NewReplacer("{role}", p.Recipe.Role, "{environment}", p.Recipe.Environment, "{bake}", p.BakeID,
		"{date}", at.Format("2006-01-02"), "{time}", at.Format("150405"), "{arch}", p.Recipe.Base.Architecture,
		"{base}", p.Recipe.Base.ID, "{inputs}", short(p.Digest)).Replace(template)
}

// nameImage fills name and description, and refuses what EC2 would refuse
// after the whole bake. The character set is that of CreateImage's Name.
func (p *Plan) nameImage(now time.Time) error {
	p.ImageName = p.fill(p.inputs.ImageName, now)
	if !regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`).MatchString(p.ImageName) {
		return fault.Newf(fault.Usage, "use 3 to 128 letters, digits, blanks and ( ) [ ] . / - ' @ _ in --image-name",
			"naming the image: EC2 takes no name like %q", p.ImageName)
	}
	p.Description = p.fill(p.inputs.Description, now)
	if n := len([]rune(p.Description)); n > maxDescription {
		return fault.Newf(fault.Usage, "shorten --description", "describing the image: EC2 takes %d characters, these are %d", maxDescription, n)
	}
	return nil
}

// unique says that no two bakes make the same name of the template: the bake id
// is in it, which is a ULID.
func unique(template string) bool { return template == "" || strings.Contains(template, "{bake}") }

// nameIsFree looks for an image of the same name before anything is launched.
func (w World) nameIsFree(ctx context.Context, name string) error {
	out, err := w.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{ami.Filter("name", name)}})
	if err != nil {
		return awsfault.New("ec2:DescribeImages", "looking for images named "+name, err)
	}
	for _, i := range out.Images {
		return fault.Newf(fault.Usage, "choose another --image-name ({bake} in it makes it unique), or deregister that image",
			"naming the image: %q is the name of %s already", name, aws.ToString(i.ImageId))
	}
	return nil
}
