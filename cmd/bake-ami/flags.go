package main

import (
	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
)

// flags lists what bake-ami takes. Most have a key in bakehouse.yaml, too;
// the flag wins, then the environment, then the file.
func flags() []cli.Flag {
	all := []cli.Flag{
		&cli.StringSliceFlag{Name: "role", Aliases: []string{"r"}, EnvVars: []string{"BAKEHOUSE_ROLE"}, Usage: "bake the Chef role `NAME`, repeatable: several roles are baked side by side"},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "resolve everything, ask EC2 for each right by dry runs, look for bucket and channel, print the plan, change nothing"},
		&cli.StringFlag{Name: "report", Usage: "write the report (JSON) to `FILE`, also when the bake fails"},
		&cli.StringFlag{Name: "state-dir", EnvVars: []string{"BAKEHOUSE_STATE_DIR"}, Usage: "keep the journals of running bakes in `DIR` (default: $XDG_STATE_HOME/bakehouse)"},
		&cli.BoolFlag{Name: "keep-on-failure", Usage: "leave the builder of a failed bake as it is, and say how to get in; it still destroys itself when it expires"},
		cliapp.ConfigFlag(),
		cliapp.OutputFlag(),
	}
	all = append(append(append(all, artifactFlags()...), launchFlags()...), builderFlags()...)
	return append(append(append(all, imageFlags()...), chefFlags()...), appFlags()...)
}

func launchFlags() []cli.Flag {
	const group = "launch"
	return []cli.Flag{
		&cli.StringFlag{Category: group, Name: "region", EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}, Usage: "AWS `REGION` (region)"},
		&cli.StringFlag{Category: group, Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
		&cli.StringFlag{Category: group, Name: "base", Usage: "start from `IMAGE`: ami-…, ssm:PARAMETER or name:GLOB (bake.base; default: Ubuntu 24.04 by its public parameter)"},
		&cli.StringFlag{Category: group, Name: "base-owner", Usage: "`ACCOUNT` that must own the base image; needed for name:GLOB unless it is yours, Amazon's or Canonical's"},
		&cli.StringSliceFlag{Category: group, Name: "instance-type", Usage: "`TYPE` of the builder, repeatable: the first that AWS has capacity for (bake.instance_type; default: " + bake.DefaultInstanceType + ", on arm64 " + bake.DefaultInstanceTypeARM + ")"},
		&cli.StringSliceFlag{Category: group, Name: "subnet", Usage: "launch the builder in `SUBNET`, subnet-… or tag:KEY=VALUE, repeatable: the first with capacity (bake.subnet; default: any default subnet)"},
		&cli.StringFlag{Category: group, Name: "security-group", Usage: "use `GROUP` for the builder (bake.security_group; default: an own one that admits --allow-from only)"},
		&cli.StringFlag{Category: group, Name: "allow-from", Usage: "`CIDR` that may reach the builder's SSH (default: this machine; its address towards the subnet, or, for a builder with a public address, what checkip.amazonaws.com sees)"},
		&cli.StringFlag{Category: group, Name: "address", Value: bake.AddressAuto, Usage: "reach the builder by its `KIND` of address: public, private or auto (private from within its subnets) (bake.address)"},
		&cli.StringFlag{Category: group, Name: "ssh-user", Value: bake.DefaultSSHUser, Usage: "`USER` that the base image's cloud-init makes (bake.ssh_user)"},
		&cli.IntFlag{Category: group, Name: "root-volume-gb", DefaultText: "the base image's", Usage: "size of the root volume, `GB` (bake.root_volume_gb)"},
		&cli.StringFlag{Category: group, Name: "instance-profile", Usage: "instance profile `NAME` of the builder (bake.instance_profile)"},
		&cli.StringSliceFlag{Category: group, Name: "tag", Usage: "further `KEY=VALUE` on everything made, repeatable (bake.tags)"},
		&cli.DurationFlag{Category: group, Name: "timeout", Value: bake.DefaultTimeout, Usage: "give up and undo after `DURATION` (bake.timeout)"},
		&cli.DurationFlag{Category: group, Name: "expire-after", Value: bake.DefaultExpireAfter, Usage: "the builder destroys itself after `DURATION`, whatever became of bake-ami (bake.expire_after)"},
	}
}

// builderFlags say what the builder and its volumes are like.
func builderFlags() []cli.Flag {
	const group = "launch"
	return []cli.Flag{
		&cli.StringFlag{Category: group, Name: "transport", Value: bake.TransportSSH, Usage: "reach the builder by `KIND`: ssh, or ssm: Systems Manager's Run Command, with no open port, key or security group (bake.transport)"},
		&cli.StringFlag{Category: group, Name: "bastion", Usage: "reach the builder through `USER@HOST[:PORT]` (bake.bastion)"},
		&cli.StringFlag{Category: group, Name: "bastion-key", Usage: "private key `FILE` for the bastion, without passphrase (bake.bastion_key; default: the SSH agent's keys)"},
		&cli.StringFlag{Category: group, Name: "bastion-known-hosts", Usage: "known_hosts `FILE` with the bastion's host key (bake.bastion_known_hosts; default: ~/.ssh/known_hosts)"},
		&cli.BoolFlag{Category: group, Name: "spot", Usage: "try spot capacity first, then on-demand (bake.spot)"},
		&cli.StringFlag{Category: group, Name: "tenancy", Usage: "run the builder on hardware of this `KIND`: default, dedicated, or host: a reserved host (bake.tenancy; default: the VPC's)"},
		&cli.StringFlag{Category: group, Name: "capacity-reservation", Usage: "launch the builder into the capacity reservation `ID` (bake.capacity_reservation)"},
		&cli.StringFlag{Category: group, Name: "arch", Usage: "`ARCH` of the image, amd64 or arm64; base image, type and agent follow it (bake.arch; default: the base image's)"},
		&cli.StringFlag{Category: group, Name: "root-volume-type", Usage: "`TYPE` of the root volume: gp3, gp2, io1 or io2 (bake.root_volume_type)"},
		&cli.IntFlag{Category: group, Name: "root-volume-iops", DefaultText: "EC2's", Usage: "`IOPS` of the root volume (bake.root_volume_iops)"},
		&cli.IntFlag{Category: group, Name: "root-volume-throughput", DefaultText: "EC2's", Usage: "throughput of the root volume in `MIBPS` (bake.root_volume_throughput)"},
		&cli.BoolFlag{Category: group, Name: "encrypt", Usage: "encrypt the builder's volumes, and so the image, from the launch on (bake.encrypt)"},
		&cli.StringFlag{Category: group, Name: "kms-key", Usage: "encrypt with `KEY`: id, ARN or alias/NAME (bake.kms_key; default: the account's for EBS)"},
		&cli.IntFlag{Category: group, Name: "metadata-hop-limit", DefaultText: "EC2's", Usage: "let the builder's metadata answers go `N` hops; containers in it need 2 (bake.metadata_hop_limit)"},
		&cli.BoolFlag{Category: group, Name: "metadata-tags", Usage: "let the builder read its tags from its metadata (bake.metadata_tags)"},
	}
}

func chefFlags() []cli.Flag {
	const group = "chef"
	return []cli.Flag{
		&cli.StringFlag{Category: group, Name: "environment", Aliases: []string{"E"}, Usage: "Chef `ENVIRONMENT` (chef.environment; default: _default)"},
		&cli.StringFlag{Category: group, Name: "policy", Usage: "bake the Chef policy `NAME` (Policyfile) instead of a role; the image's role is its name"},
		&cli.StringFlag{Category: group, Name: "policy-group", Usage: "policy `GROUP` that --policy is taken from"},
		&cli.StringFlag{Category: group, Name: "chef-server", EnvVars: []string{"CHEF_SERVER_URL"}, Usage: "`URL` of the Chef server, with its organisation (chef.server_url)"},
		&cli.StringFlag{Category: group, Name: "chef-client", EnvVars: []string{"CHEF_CLIENT_NAME"}, Usage: "`NAME` of the Chef client or user to sign as (chef.client_name)"},
		&cli.StringFlag{Category: group, Name: "chef-key", EnvVars: []string{"CHEF_CLIENT_KEY"}, Usage: "`FILE` with the private key of --chef-client (chef.client_key)"},
		&cli.StringFlag{Category: group, Name: "chef-ca-file", Usage: "PEM `FILE` that the Chef server's certificate is checked by, here, in the builder and in the image (chef.ca_file)"},
		&cli.StringFlag{Category: group, Name: "validation-client", Usage: "`NAME` that instances register with (chef.validation_client)"},
		&cli.StringFlag{Category: group, Name: "validator-key", Usage: "where instances fetch the key of --validation-client at boot: `ssm:NAME`, secretsmanager:NAME or file:PATH (chef.validator_key)"},
		&cli.StringFlag{Category: group, Name: "broker-url", Usage: "`URL` of the chef-broker that registers instances, in place of --validator-key (chef.broker_url)"},
		&cli.StringFlag{Category: group, Name: "chef-mode", Value: bake.ChefServerMode, Usage: "converge by `MODE`: server, against the Chef server, or local, from --chef-repo (bake.chef_mode)"},
		&cli.StringFlag{Category: group, Name: "chef-repo", Usage: "`DIR` of the chef-repo that --chef-mode local ships to the builder (bake.chef_repo)"},
		&cli.StringFlag{Category: group, Name: "chef-package", Usage: "install Chef from this .deb, `PATH|URL`, if the base image has none; by converging you accept its licence (bake.chef_package)"},
		&cli.StringFlag{Category: group, Name: "chef-package-sha256", Usage: "`HEX` digest of --chef-package (bake.chef_package_sha256)"},
		&cli.StringFlag{Category: group, Name: "attributes", Usage: "JSON `FILE` of attributes that the builder's and every instance's node start with (bake.attributes)"},
		&cli.StringFlag{Category: group, Name: "agent-binary", Usage: "boot-agent to install, `PATH` (bake.agent_binary; default: beside bake-ami)"},
		&cli.StringSliceFlag{Category: group, Name: "allow-key", Usage: "let private keys stay in the image whose path matches `PATTERN` of the shell, repeatable"},
	}
}
