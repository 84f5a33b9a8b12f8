package bake

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/bake/publish"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/host"
)

// Recipe is all that decides what is in the image. Two bakes of the same
// recipe make the same image, as far as the outside (package repositories)
// plays along.
type Recipe struct {
	Role        string            `json:"role"`
	Environment string            `json:"environment"`
	Policy      *Policy           `json:"policy,omitempty"` // nil: the role's run list
	RunList     []string          `json:"run_list"`
	Roles       []string          `json:"roles"`     // the role and those it includes
	Recipes     []string          `json:"recipes"`   // what the run list expands to
	Cookbooks   map[string]string `json:"cookbooks"` // name → version
	Contents    map[string]string `json:"contents"`  // role or cookbook → digest of its content, where known
	Base        Base              `json:"base"`
	ChefMode    string            `json:"chef_mode"`
	ChefPackage string            `json:"chef_package,omitempty"`
	ChefSHA256  string            `json:"chef_package_sha256,omitempty"`
	AgentSHA256 string            `json:"agent_sha256"`
	AgentEnv    map[string]string `json:"agent_env,omitempty"`
	Agent       agentconf.Config  `json:"agent"` // without the bake id
	RootGB      int32             `json:"root_volume_gb"`
	Disk        Disk              `json:"root_volume"`
}

// Base is the image that the bake starts from.
type Base struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Owner        string   `json:"owner"`
	Architecture string   `json:"architecture"` // x86_64 or arm64
	RootDevice   string   `json:"root_device"`
	BootMode     string   `json:"boot_mode,omitempty"`
	RootGB       int32    `json:"root_gb"`   // smallest root volume; 0: not told
	OtherDevices []string `json:"-"`         // further EBS volumes
	Encrypted    bool     `json:"-"`         // its volumes, and so the builder's
	AskedFor     string   `json:"asked_for"` // the selector it was found by
	RootType     string   `json:"-"`         // type of the root volume, for its price
}

// Plan says what a bake will do. It is made by Resolve and only read.
type Plan struct {
	BakeID string `json:"bake_id"` // ULID
	Recipe Recipe `json:"recipe"`
	Digest string `json:"inputs_digest"`
	Launch Launch `json:"launch"`
	// ProveAt is where the image is proven; nil: where the builder ran.
	ProveAt   *ProvePlace `json:"prove_at,omitempty"`
	ImageName string      `json:"image_name"`
	// Description is the image's, filled in.
	Description string    `json:"description"`
	Steps       []Planned `json:"steps"`
	Tags        TagSet    `json:"tags"`       // of everything the bake makes
	Deadline    time.Time `json:"deadline"`   // when the bake gives up
	ExpiresAt   time.Time `json:"expires_at"` // when the builder destroys itself

	// Reuse is a finished image of the same inputs; a bake then returns it.
	Reuse *ami.Image `json:"reuse,omitempty"`
	// Publish is what publishing would change as things are now.
	Publish *publish.Plan `json:"publish,omitempty"`
	// Redo is what that image lacks of the copies and shares wished; nil: nothing.
	Redo *Redo `json:"redo,omitempty"`

	tokenSuffix string // of client tokens: "" for the builder
	stock       string // digest of the inventory; empty: not taken yet

	inputs    Inputs
	owner     Identity
	agentFile packageFile
	chefFile  packageFile
	chefCA    []byte
	bastion   *host.Bastion // nil: none
	started   time.Time
	resolved  StepTime
}

// Planned is one step that the bake will take.
type Planned struct {
	Name    string   `json:"name"`
	Actions []string `json:"iam_actions,omitempty"`
}

// stepNames lists the names of the planned steps.
func (p Plan) stepNames() []string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.Name)
	}
	return out
}

// TagSet is tags by key.
type TagSet map[string]string

// Launch says how the builder runs.
type Launch struct {
	Region  string `json:"region"`
	Account string `json:"account"`
	// Placement is the first choice; in a report, where the builder ran.
	Placement
	Placements      []Placement `json:"placements"` // all choices, the best first
	VPC             string      `json:"vpc"`
	SecurityGroup   string      `json:"security_group,omitempty"` // empty: the bake makes its own
	AllowFrom       string      `json:"allow_from,omitempty"`     // who may reach port 22 of our own group
	Transport       string      `json:"transport"`                // ssh or ssm
	Address         string      `json:"address,omitempty"`        // public or private; empty for ssm
	SSHUser         string      `json:"ssh_user"`
	InstanceProfile string      `json:"instance_profile,omitempty"`
	Metadata        Metadata    `json:"metadata"`
}

// access says how the builder is reached.
func (l Launch) access() string {
	if l.Transport == TransportSSM {
		return "through SSM Run Command"
	}
	return "by its " + l.Address + " address as " + l.SSHUser
}

// network says who can reach the builder.
func (l Launch) network() string {
	switch {
	case l.SecurityGroup != "":
		return "security group " + l.SecurityGroup
	case l.Transport == TransportSSM:
		return l.VPC + " and its default security group, nothing is opened"
	}
	return "own security group in " + l.VPC + ", port 22 from " + l.AllowFrom
}

// Empty says whether there is nothing to do: the image exists.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && p.Redo == nil }

// Text renders the plan for people.
func (p Plan) Text() string {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", what, fmt.Sprintf(format, args...))
	}
	r, l := p.Recipe, p.Launch
	line("bake", "%s (inputs %s)", p.BakeID, short(p.Digest))
	if r.Policy != nil {
		line("policy", "%s, group %s, revision %s", r.Policy.Name, r.Policy.Group, short(r.Contents["role:"+r.Policy.Name]))
	} else {
		line("role", "%s, environment %s", r.Role, r.Environment)
	}
	line("recipes", "%s", orNone(strings.Join(r.Recipes, ", ")))
	line("cookbooks", "%s", orNone(cookbookText(r.Cookbooks)))
	line("base", "%s %s, %s, owner %s (%s)", r.Base.ID, r.Base.Name, r.Base.Architecture, r.Base.Owner, r.Base.AskedFor)
	line("builder", "%s in %s, account %s, %s", l.Placement, l.Region, l.Account, l.access())
	if len(l.Placements) > 1 {
		line("or else", "%s", placementText(l.Placements[1:]))
	}
	if r.Disk != (Disk{}) {
		line("volume", "%s", r.Disk)
	}
	line("network", "%s", l.network())
	if via := p.inputs.Bastion.Address; via != "" {
		line("bastion", "%s", via)
	}
	line("chef", "%s mode, package: %s", r.ChefMode, orNone(r.ChefPackage))
	line("agent", "boot-agent %s, nodes register at %s", short(r.AgentSHA256), r.Agent.Chef.ServerURL)
	if p.Reuse != nil && p.Redo != nil {
		line("image", "%s exists and has the same inputs: it is reused (--rebake bakes anew)", p.Reuse.ID)
		return b.String() + p.Redo.Text()
	}
	if p.Reuse != nil {
		line("image", "%s exists and has the same inputs: nothing to do (--rebake bakes anew)", p.Reuse.ID)
		return b.String()
	}
	line("image", "%s (%s)", p.ImageName, p.Description)
	for _, t := range p.inputs.Distribute.Copies {
		line("copy to", "%s", t)
	}
	if to := p.inputs.Distribute.Share; !to.Empty() {
		line("share with", "%s", strings.Join(to.All(), ", "))
	}
	if p.ProveAt != nil {
		line("proof in", "%s", p.ProveAt)
	}
	line("steps", "%s", strings.Join(p.stepNames(), ", "))
	line("gives up", "%s; the builder destroys itself at %s", p.Deadline.UTC().Format(time.RFC3339), p.ExpiresAt.UTC().Format(time.RFC3339))
	return b.String()
}

func short(digest string) string { return digest[:min(12, len(digest))] }

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func cookbookText(versions map[string]string) string {
	var out []string
	for name, v := range versions {
		out = append(out, name+" "+v)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
