package bake

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/fault"
)

// form is what the text of one option must look like.
type form struct {
	option, text, pattern, like string
}

// forms are the options whose form shows a mistake before anybody is asked.
// Each is given by its flag; bakehouse.yaml checks its keys itself.
func (in Inputs) forms() []form {
	return []form{
		{"--region", in.Region, `[a-z]{2}(-[a-z]+)+-[0-9]+`, "us-east-1"},
		{"--base", in.Base, `ami-[0-9a-z]+|ssm:[A-Za-z0-9/_.-]+|name:.+`, "ami-…, ssm:PARAMETER or name:GLOB"},
		{"--base-owner", in.BaseOwner, `[0-9]{12}|self|amazon|aws-marketplace|canonical`, "an account's 12 digits"},
		{"--security-group", in.SecurityGroup, `sg-[0-9a-z]+`, "sg-…"},
		{"--address", in.Address, `auto|public|private`, "auto, public or private"},
		{"--ssh-user", in.SSHUser, `[a-z_][a-z0-9_-]{0,31}`, "ubuntu"},
		{"--instance-profile", in.InstanceProfile, `[A-Za-z0-9+=,.@_-]{1,128}`, "the profile's name, not its ARN"},
		{"--prove-instance-profile", in.Prove.InstanceProfile, `[A-Za-z0-9+=,.@_-]{1,128}`, "the profile's name, not its ARN"},
		{"--prove-channel", in.Prove.Channel, `[a-z0-9][a-z0-9._-]{0,62}`, "production"},
		{"--chef-mode", in.ChefMode, `server|local`, "server or local"},
		{"--chef-server", in.ChefServerURL, `https?://[^\s/@]+(/\S*)?`, "https://HOST/organizations/NAME"},
		{"--validation-client", in.Agent.Chef.ValidationClient, `[A-Za-z0-9_.:-]+`, "chef-validator"},
		{"--validator-key", in.Agent.Chef.ValidatorKey, `ssm:[A-Za-z0-9/_.:-]+|secretsmanager:[A-Za-z0-9/_+=.@:-]+|file:/.+`, "ssm:/NAME, secretsmanager:NAME or file:/PATH"},
		{"--transport", in.Transport, `ssh|ssm`, "ssh or ssm"},
		{"--arch", in.Arch, `amd64|arm64`, "amd64 or arm64"},
		{"--environment", in.Environment, `[A-Za-z0-9_.-]+`, "letters, digits, dot, dash and underscore"},
		{"--role", in.Role, `[A-Za-z0-9_.-]+`, "letters, digits, dot, dash and underscore"},
		{"--chef-package", in.ChefPackage, `https?://[^\s/]+/\S+|[^\x00]*\.deb`, "the path or http(s) URL of a .deb"},
		{"--chef-package-sha256", in.ChefPackageSHA256, `[0-9a-fA-F]{64}`, "64 hex digits"},
		{"--tenancy", in.Tenancy, `default|dedicated|host`, "default, dedicated or host"},
		{"--capacity-reservation", in.CapacityReservation, `cr-[0-9a-f]{8,17}`, "cr-…"},
	}
}

// checkForms refuses what is misspelt, by the name of its option. What was left
// out is not judged here.
func (in Inputs) checkForms() error {
	if err := in.checkLogins(); err != nil {
		return err
	}
	for _, f := range in.forms() {
		if f.text != "" && !regexp.MustCompile(`^(?:`+f.pattern+`)$`).MatchString(f.text) {
			return fault.Newf(fault.Usage, "write it like "+f.like, "checking inputs: %s %q has an unknown form", f.option, clipped(f.text))
		}
	}
	for _, p := range in.AllowKeys {
		if _, err := path.Match(p, ""); err != nil {
			return fault.Newf(fault.Usage, "write a shell pattern such as /etc/ssl/private/*.key", "checking inputs: --allow-key %q: %w", p, err)
		}
	}
	return in.checkCapacity()
}

// checkLogins refuses URLs with a password, and does not say it again. The
// configuration refuses them too.
func (in Inputs) checkLogins() error {
	urls := map[string]string{"--chef-package": in.ChefPackage, "--chef-server": in.ChefServerURL, "--broker-url": in.Agent.Chef.BrokerURL}
	for _, option := range slices.Sorted(maps.Keys(urls)) {
		if regexp.MustCompile(`^https?://[^/]*@`).MatchString(urls[option]) {
			return fault.Newf(fault.Usage, "give a URL that needs none", "checking inputs: %s carries a user name or a password: reports and lists of processes would show it", option)
		}
	}
	return nil
}

// clipped shows the beginning of a long value: somebody may have pasted a key.
func clipped(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if r := []rune(s); len(r) > 60 {
		return string(r[:20]) + "…"
	}
	return s
}

// checkCapacity refuses spot where AWS sells none.
func (in Inputs) checkCapacity() error {
	switch {
	case in.Spot && in.Tenancy == "host":
		return fault.Newf(fault.Usage, "drop either --spot or --tenancy host", "checking inputs: --spot does not go with a reserved host: spot instances run on none")
	case in.Spot && in.CapacityReservation != "":
		return fault.Newf(fault.Usage, "drop either --spot or --capacity-reservation", "checking inputs: --spot does not go with reserved capacity, which is on-demand")
	case in.Tenancy == "host" && in.CapacityReservation != "":
		return fault.Newf(fault.Usage, "drop either --tenancy host or --capacity-reservation", "checking inputs: --capacity-reservation is for shared or dedicated hardware, not for a reserved host")
	}
	return nil
}

// reserve puts tenancy and capacity reservation into a launch.
func (in Inputs) reserve(req *ec2.RunInstancesInput) {
	if in.Tenancy != "" {
		req.Placement = &types.Placement{Tenancy: types.Tenancy(in.Tenancy)}
	}
	if in.CapacityReservation != "" {
		req.CapacityReservationSpecification = &types.CapacityReservationSpecification{
			CapacityReservationTarget: &types.CapacityReservationTarget{CapacityReservationId: aws.String(in.CapacityReservation)}}
	}
}
