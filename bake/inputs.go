package bake

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/bake/publish"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// The values of Inputs.ChefMode.
const (
	ChefServerMode = "server" // converge against the Chef server
	ChefLocalMode  = "local"  // ship the chef-repo and converge without a server
)

// The values of Inputs.Address.
const (
	AddressAuto    = "auto" // private when this machine is in the builder's network, else public
	AddressPublic  = "public"
	AddressPrivate = "private"
)

// Defaults of Inputs, where a zero value would not do.
const (
	DefaultBase            = "ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
	DefaultBaseARM         = "ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/arm64/hvm/ebs-gp3/ami-id"
	DefaultInstanceType    = "t3.small"
	DefaultInstanceTypeARM = "t4g.small"
	DefaultSSHUser         = "ubuntu"
	DefaultTimeout         = time.Hour
	DefaultExpireAfter     = 2 * time.Hour
)

// Inputs are the wishes of whoever bakes, before the world was asked whether
// they can be met.
type Inputs struct {
	Role        string
	Environment string // Chef environment; empty: _default
	Policy      Policy // converged instead of a role's run list; Role is then its name

	Base      string // ami-…, ssm:NAME or name:GLOB
	BaseOwner string // account that must own the base image; needed for most name:GLOB
	ImageInputs
	Prove      ProveInputs
	Distribute distribute.Wishes // copies in other regions, shares with others
	Publish    publish.Wishes    // where the image is found from now on

	Region          string
	Arch            string   // amd64 or arm64; empty: the base image's
	InstanceTypes   []string // the first that AWS has; empty: DefaultInstanceType, or its like for arm64
	Subnets         []string // subnet-… or tag:KEY=VALUE; empty: any default subnet
	Spot            bool     // ask for spot capacity first
	SecurityGroup   string   // empty: one of our own, opened to AllowFrom
	AllowFrom       string   // CIDR; empty: this machine's address
	Address         string   // auto, public or private
	SSHUser         string
	RootVolumeGB    int // 0: the base image's
	Disk            Disk
	Transport       string           // ssh or ssm
	Bastion         host.BastionSpec // without an address: none
	Metadata        Metadata
	InstanceProfile string
	Tenancy         string // default, dedicated or host; empty: as the subnet's VPC has it
	// CapacityReservation is an id; empty: any open one that fits, which is EC2's default.
	CapacityReservation string

	ChefMode          string
	ChefServerURL     string
	ChefCAFile        string // PEM bundle on this machine
	ChefRepo          string // folder, local mode
	ChefPackage       string // path or http(s) URL of a .deb; empty: the base image has Chef
	ChefPackageSHA256 string

	Attributes  string            // JSON file of attributes that nodes start with; empty: none
	AgentBinary string            // path; empty: in AgentDir
	AgentDir    string            // folder with boot-agent-ARCH or boot-agent
	AgentEnv    map[string]string // environment of the agent's unit
	Agent       agentconf.Config  // role, environment, bake id and run list are filled in

	KeepOnFailure bool              // leave a failed bake as it is until it expires, but for an interrupted one
	AllowKeys     []string          // shell patterns of private keys that may stay in the image
	Tags          map[string]string // extra tags
	InventoryInS3 bool              // World.Inventories has a bucket
	CI            map[string]string // BUILD_URL, JOB_NAME, GIT_COMMIT, as far as set
	ExpireAfter   time.Duration     // builders and unfinished images count as lost after this
	Timeout       time.Duration     // of the whole bake
}

// withDefaults fills what may be left out.
func (in Inputs) withDefaults() Inputs {
	fill := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	fill(&in.Environment, "_default")
	if in.Arch == archARM {
		fill(&in.Base, DefaultBaseARM)
	}
	fill(&in.Base, DefaultBase)
	fill(&in.Address, AddressAuto)
	fill(&in.Transport, TransportSSH)
	fill(&in.SSHUser, DefaultSSHUser)
	fill(&in.ChefMode, ChefServerMode)
	in.ImageInputs = in.ImageInputs.withDefaults()
	fill(&in.Agent.Chef.ServerURL, in.ChefServerURL)
	fill(&in.Agent.Chef.ValidationClient, "chef-validator")
	in.Disk = in.Disk.encryption()
	if in.Timeout == 0 {
		in.Timeout = DefaultTimeout
	}
	if in.ExpireAfter == 0 {
		in.ExpireAfter = DefaultExpireAfter
	}
	return in
}

// validate finds what can be refused without asking anybody.
func (in Inputs) validate() error {
	if err := cmp.Or(in.checkPolicy(), in.checkForms()); err != nil {
		return err
	}
	checks := []struct {
		bad        bool
		what, next string
	}{
		{in.Role == "", "no role is named", "add --role NAME"},
		{in.Role != "" && !isChefName(in.Role), "role " + quote(in.Role) + " is not a Chef name", "use letters, digits, dot, dash and underscore"},
		{!isChefName(in.Environment), "environment " + quote(in.Environment) + " is not a Chef name", "use letters, digits, dot, dash and underscore"},
		{!oneOf(in.Address, AddressAuto, AddressPublic, AddressPrivate), "address " + quote(in.Address) + " is unknown", "use auto, public or private"},
		{!oneOf(in.ChefMode, ChefServerMode, ChefLocalMode), "chef mode " + quote(in.ChefMode) + " is unknown", "use server or local"},
		{in.ChefMode == ChefLocalMode && in.ChefRepo == "", "chef mode local needs a chef-repo", "add --chef-repo DIR"},
		{in.Agent.Chef.ServerURL == "", "no Chef server is named", "add --chef-server URL, or chef.server_url to bakehouse.yaml (images baked in local mode register at boot too)"},
		{in.Agent.Chef.ValidatorKey == "" && in.Agent.Chef.BrokerURL == "", "nothing says where instances get the validator key, nor which broker registers them", "add --validator-key ssm:/NAME or --broker-url URL, or chef.validator_key or chef.broker_url to bakehouse.yaml"},
		{in.Agent.Chef.BrokerURL != "" && !strings.HasPrefix(in.Agent.Chef.BrokerURL, "https://"), "broker " + quote(in.Agent.Chef.BrokerURL) + " is not an https URL", "write --broker-url https://HOST"},
		{in.ChefPackage != "" && !isSHA256(in.ChefPackageSHA256), "the Chef package has no SHA-256", "add --chef-package-sha256 with its 64 hex digits"},
		{in.ChefPackage == "" && in.ChefPackageSHA256 != "", "a SHA-256 is given for no Chef package", "add --chef-package PATH|URL"},
		{in.SecurityGroup != "" && in.AllowFrom != "", "a security group of yours is not opened to anybody", "drop either --security-group or --allow-from"},
		{in.Bastion.Address != "" && in.Address == AddressPublic, "the builder's public address and a bastion exclude each other", "drop either --bastion or --address public"},
		{in.Bastion.Address != "" && in.SecurityGroup == "" && in.AllowFrom == "", "nothing says by which address the bastion reaches the builder", "add --allow-from with the bastion's private address, or --security-group"},
		{in.AllowFrom != "" && !isCIDR(in.AllowFrom), "--allow-from " + quote(in.AllowFrom) + " is not a CIDR", "write it like 203.0.113.7/32"},
		{in.RootVolumeGB < 0 || in.RootVolumeGB > 16384, "--root-volume-gb is out of range", "use 1 to 16384 GB"},
		{in.ExpireAfter < in.Timeout, "the builder would expire (" + in.ExpireAfter.String() + ") before the time-out (" + in.Timeout.String() + ")", "raise --expire-after or lower --timeout"},
		{in.Timeout < time.Minute, "a time-out of " + in.Timeout.String() + " is too short for any bake", "use --timeout 1m at least"},
	}
	for _, c := range checks {
		if c.bad {
			return fault.Newf(fault.Usage, c.next, "checking inputs: %s", c.what)
		}
	}
	if err := cmp.Or(in.checkLaunch(), in.ImageInputs.check(), in.Prove.check(in.Agent.Chef),
		in.Distribute.Check(in.planned()), in.Publish.Check()); err != nil {
		return err
	}
	return checkTags(in.Tags)
}

// checkTags refuses tags that EC2 would refuse, and ours.
func checkTags(tags map[string]string) error {
	for k, v := range tags {
		switch {
		case strings.HasPrefix(strings.ToLower(k), ami.TagPrefix) || strings.HasPrefix(strings.ToLower(k), "aws:"):
			return fault.Newf(fault.Usage, "choose another key", "checking inputs: tag %q: the prefix is reserved", k)
		case k == "" || utf8.RuneCountInString(k) > 128 || utf8.RuneCountInString(v) > ami.MaxTagValue:
			return fault.Newf(fault.Usage, "EC2 takes keys of 1 to 128 and values of up to 256 characters", "checking inputs: tag %q is empty or too long", k)
		}
	}
	return nil
}

func quote(s string) string { return `"` + s + `"` }

func oneOf(s string, all ...string) bool {
	for _, a := range all {
		if s == a {
			return true
		}
	}
	return false
}

func isChefName(s string) bool { return regexp.MustCompile(`^[A-Za-z0-9_.-]+$`).MatchString(s) }

func isSHA256(s string) bool { return regexp.MustCompile(`^[0-9a-fA-F]{64}$`).MatchString(s) }

func isCIDR(s string) bool {
	_, err := netip.ParsePrefix(s)
	return err == nil
}

// isURL says whether a Chef package is fetched by the guest itself.
func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}
