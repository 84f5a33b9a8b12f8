// Package publish makes a finished image the one that others find: it writes
// SSM parameters, adds launch template versions and deprecates the images that
// came before. Every change looks first whether it is needed, so publishing
// again finishes what an earlier try left undone.
package publish

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
)

// Wishes say where an image is to be found from now on.
type Wishes struct {
	Parameters []string // names of SSM parameters, in every region that has the image
	// LaunchTemplate is the id or the name of one; it gets a new version. A name
	// is looked for in every region, an id only in the image's own.
	LaunchTemplate string
	MakeDefault    bool // that version becomes the template's default
	// Deprecate has EC2 stop offering the role's earlier images, After from now.
	Deprecate bool
	After     time.Duration
}

// Empty says that nothing is wished for.
func (w Wishes) Empty() bool {
	return len(w.Parameters) == 0 && w.LaunchTemplate == "" && !w.Deprecate
}

// maxName is SSM's limit for a parameter's name.
const maxName = 1011

// Check finds what can be refused without asking anybody; fault.Usage.
func (w Wishes) Check() error {
	for i, name := range w.Parameters {
		bare := strings.ToLower(strings.TrimPrefix(name, "/"))
		switch {
		case !regexp.MustCompile(`^/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$`).MatchString(name) || len(name) > maxName || strings.Count(name, "/") > 15:
			return fault.Newf(fault.Usage, "use letters, digits, . - _ and up to 15 levels: /ami/web/current", "checking inputs: --publish-ssm %q is no name of an SSM parameter", name)
		case strings.Contains(name[1:], "/") && !strings.HasPrefix(name, "/"):
			return fault.Newf(fault.Usage, "write /"+name, "checking inputs: --publish-ssm %q: a name with levels begins with /", name)
		case strings.HasPrefix(bare, "aws") || strings.HasPrefix(bare, "ssm"):
			return fault.Newf(fault.Usage, "choose a name that begins neither with aws nor with ssm", "checking inputs: --publish-ssm %q: the prefix is AWS's own", name)
		case slices.Contains(w.Parameters[:i], name):
			return fault.Newf(fault.Usage, "name it once", "checking inputs: --publish-ssm %s is given twice", name)
		}
	}
	if t := w.LaunchTemplate; t != "" && !isTemplateID(t) && !regexp.MustCompile(`^[A-Za-z0-9().\-/_]{3,128}$`).MatchString(t) {
		return fault.Newf(fault.Usage, "use lt-… or 3 to 128 letters, digits and ( ) . - / _", "checking inputs: --publish-launch-template %q is neither id nor name of a launch template", t)
	}
	if w.MakeDefault && w.LaunchTemplate == "" {
		return fault.Newf(fault.Usage, "add --publish-launch-template NAME, or drop --launch-template-default", "checking inputs: there is no launch template whose default could change")
	}
	return nil
}

func isTemplateID(s string) bool { return regexp.MustCompile(`^lt-[0-9a-f]{8,17}$`).MatchString(s) }

// Actions lists the IAM actions that the wishes take.
func (w Wishes) Actions() []string {
	var out []string
	if len(w.Parameters) > 0 {
		out = append(out, "ssm:GetParameter", "ssm:PutParameter", "ssm:AddTagsToResource")
	}
	if w.LaunchTemplate != "" {
		out = append(out, "ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions", "ec2:CreateLaunchTemplateVersion")
	}
	if w.MakeDefault {
		out = append(out, "ec2:ModifyLaunchTemplate")
	}
	if w.Deprecate {
		out = append(out, "ec2:DescribeImages", "ec2:EnableImageDeprecation")
	}
	return out
}

// EC2 is the part of EC2 that publishing uses.
type EC2 interface {
	ami.Lister
	DescribeLaunchTemplates(context.Context, *ec2.DescribeLaunchTemplatesInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplatesOutput, error)
	DescribeLaunchTemplateVersions(context.Context, *ec2.DescribeLaunchTemplateVersionsInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error)
	CreateLaunchTemplateVersion(context.Context, *ec2.CreateLaunchTemplateVersionInput, ...func(*ec2.Options)) (*ec2.CreateLaunchTemplateVersionOutput, error)
	ModifyLaunchTemplate(context.Context, *ec2.ModifyLaunchTemplateInput, ...func(*ec2.Options)) (*ec2.ModifyLaunchTemplateOutput, error)
	EnableImageDeprecation(context.Context, *ec2.EnableImageDeprecationInput, ...func(*ec2.Options)) (*ec2.EnableImageDeprecationOutput, error)
}

// SSM is the part of Systems Manager that publishing uses.
type SSM interface {
	GetParameter(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
	PutParameter(context.Context, *ssm.PutParameterInput, ...func(*ssm.Options)) (*ssm.PutParameterOutput, error)
	AddTagsToResource(context.Context, *ssm.AddTagsToResourceInput, ...func(*ssm.Options)) (*ssm.AddTagsToResourceOutput, error)
}

// API is the clients of one region.
type API struct {
	EC2 EC2
	SSM SSM
}

// Clock is the time as publishing sees it.
type Clock interface {
	Now() time.Time
	// Sleep waits for d, or until ctx ends, whose error it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Publisher publishes images. All fields are required.
type Publisher struct {
	Region func(region string) API
	Clock  Clock
	Say    func(line string) // progress
}

// Place is an image's id in a region.
type Place struct {
	Region  string `json:"region"`
	ImageID string `json:"image_id"` // empty: the image is still to be made
}

// Target is the image to publish.
type Target struct {
	Places []Place // the image's own region first, then its copies'
	Image  ami.Image
	Owner  string // ARN of who publishes, for tags
}

// The kinds of changes, in the order in which they are made: what is new
// first, what is old last.
const (
	KindParameter   = "parameter"
	KindTemplate    = "launch-template"
	KindPredecessor = "predecessor"
)

// What has become of a change.
const (
	Planned   = "planned"
	Unchanged = "unchanged" // it is as wished already, or must not be touched
	Done      = "done"
	Failed    = "failed"
	NotTried  = "not tried" // one before it failed
)

// Change is one thing that publishing does.
type Change struct {
	Kind    string `json:"kind"`
	Region  string `json:"region"`
	Name    string `json:"name"`              // of the parameter or template; id of the earlier image
	ID      string `json:"id,omitempty"`      // of the template
	Was     string `json:"was,omitempty"`     // value before; empty: there was none
	Now     string `json:"now,omitempty"`     // value wished: an image, or the time of a deprecation
	Version int64  `json:"version,omitempty"` // of template or parameter, once it is made
	Reason  string `json:"reason"`
	Result  string `json:"result"`

	source      int64 // version that a new one starts from
	makeVersion bool
	makeDefault bool
	dataType    string // of an existing parameter
	at          time.Time
}

// Plan is what publishing will do, or what has become of it.
type Plan struct {
	ImageID string   `json:"image_id,omitempty"`
	Role    string   `json:"role"`
	BakeID  string   `json:"bake_id,omitempty"`
	Changes []Change `json:"changes"`

	owner string
}

// Empty says whether there is nothing to do.
func (p Plan) Empty() bool {
	return !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Result == Planned || c.Result == Failed || c.Result == NotTried })
}

// Text renders the plan for people, one change a line.
func (p Plan) Text() string {
	if len(p.Changes) == 0 {
		return "nothing is to be published\n"
	}
	var b strings.Builder
	for _, c := range p.Changes {
		fmt.Fprintf(&b, "%-9s %s\n", c.Result, c.Text())
	}
	return b.String()
}

// Text says what the change is, without its result.
func (c Change) Text() string {
	what := fmt.Sprintf("%s %s in %s", strings.ReplaceAll(c.Kind, "-", " "), c.Name, c.Region)
	if c.ID != "" && c.ID != c.Name {
		what = fmt.Sprintf("%s (%s)", what, c.ID)
	}
	now := c.Now
	if now == "" {
		now = "the new image"
	}
	switch {
	case c.Kind == KindPredecessor || c.Result == Unchanged:
		return what + ": " + c.Reason
	case c.Was == "":
		return what + ": " + now
	}
	return what + ": " + c.Was + " -> " + now
}
