package main

import (
	"path/filepath"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/host"
)

// builder reads what the builder is like: flags win over the file.
func builder(c *cli.Context, b config.Bake, in *bake.Inputs) {
	in.InstanceTypes, in.Subnets = list(c, "instance-type", b.InstanceType), list(c, "subnet", b.Subnet)
	in.Transport = cliapp.String(c, "transport", b.Transport)
	in.Spot, in.Arch = yes(c, "spot", b.Spot), cliapp.String(c, "arch", b.Arch)
	in.Disk = bake.Disk{
		Type:       cliapp.String(c, "root-volume-type", b.RootVolumeType),
		IOPS:       pick(c, "root-volume-iops", c.Int("root-volume-iops"), b.RootVolumeIOPS),
		Throughput: pick(c, "root-volume-throughput", c.Int("root-volume-throughput"), b.RootVolumeThroughput),
		Encrypted:  yes(c, "encrypt", b.Encrypt), KMSKey: cliapp.String(c, "kms-key", b.KMSKey),
	}
	in.Tenancy = cliapp.String(c, "tenancy", b.Tenancy)
	in.CapacityReservation = cliapp.String(c, "capacity-reservation", b.CapacityReservation)
	in.Metadata = bake.Metadata{HopLimit: pick(c, "metadata-hop-limit", c.Int("metadata-hop-limit"), b.MetadataHopLimit),
		Tags: yes(c, "metadata-tags", b.MetadataTags)}
}

// bastion reads how SSH gets to the builder.
func (d deps) bastion(c *cli.Context, b config.Bake) host.BastionSpec {
	spec := host.BastionSpec{Address: cliapp.String(c, "bastion", b.Bastion), KeyFile: cliapp.String(c, "bastion-key", b.BastionKey),
		KnownHosts: cliapp.String(c, "bastion-known-hosts", b.BastionKnownHosts), AgentSocket: d.Getenv("SSH_AUTH_SOCK")}
	if spec.KnownHosts == "" {
		spec.KnownHosts = filepath.Join(d.Getenv("HOME"), ".ssh", "known_hosts")
	}
	return spec
}

// list returns a repeatable flag's values when it was given, else the file's.
func list(c *cli.Context, flag string, fromFile []string) []string {
	if c.IsSet(flag) {
		return c.StringSlice(flag)
	}
	return fromFile
}

// yes returns a switch's value when it was given (--spot=false, too), else the file's.
func yes(c *cli.Context, flag string, fromFile bool) bool {
	if c.IsSet(flag) {
		return c.Bool(flag)
	}
	return fromFile
}
