package bake

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// network is where the builder goes and who may reach it.
type network struct {
	places    []place // the best first
	vpc       string
	address   string // public or private
	allowFrom string // CIDR; empty with a given security group
}

// resolveNetwork finds the VPC, the kind of address to use, and the source
// that the builder's security group will admit.
func (w World) resolveNetwork(ctx context.Context, in Inputs) (network, error) {
	subnets, err := w.subnets(ctx, in.Subnets, forBuilder())
	if err != nil {
		return network{}, err
	}
	if in.Transport == TransportSSM {
		return network{vpc: aws.ToString(subnets[0].VpcId), places: places(in.Subnets, subnets)}, nil
	}
	cidrs := cidrsOf(subnets)
	if len(cidrs) == 0 {
		return network{}, fault.Newf(fault.AWS, "use a --subnet with an IPv4 range", "looking at the builder's subnet: it has no IPv4 range")
	}
	n := network{vpc: aws.ToString(subnets[0].VpcId), address: in.Address, allowFrom: in.AllowFrom, places: places(in.Subnets, subnets)}
	local, err := w.LocalAddr(cidrs[0].Addr().Next())
	if n.address == AddressAuto && in.Bastion.Address != "" {
		n.address = AddressPrivate // of a subnet that need not know the internet
	}
	if n.address == AddressAuto {
		n.address = chooseAddress(local, cidrs, allPublic(subnets))
	}
	if in.SecurityGroup != "" || n.allowFrom != "" {
		return n, nil
	}
	if n.address == AddressPublic {
		local, err = w.PublicAddr(ctx)
	}
	if err != nil {
		return n, fault.Newf(fault.Usage, "say it: --allow-from CIDR", "finding this machine's own address: %w", err)
	}
	n.allowFrom = netip.PrefixFrom(local, local.BitLen()).String()
	return n, nil
}

func cidrsOf(subnets []types.Subnet) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range subnets {
		if p, err := netip.ParsePrefix(aws.ToString(s.CidrBlock)); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// chooseAddress prefers the private address when this machine lives in the
// builder's subnets, or when there will be no other.
func chooseAddress(local netip.Addr, cidrs []netip.Prefix, public bool) string {
	if slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(local) }) || !public {
		return AddressPrivate
	}
	return AddressPublic
}

func allPublic(subnets []types.Subnet) bool {
	return !slices.ContainsFunc(subnets, func(s types.Subnet) bool { return !aws.ToBool(s.MapPublicIpOnLaunch) })
}

// inZone begins what stands for the default subnet of a zone; no setting does.
const inZone = "zone:"

// subnetUse says for whom subnets are looked up, for messages.
type subnetUse struct{ whose, flag string }

func forBuilder() subnetUse { return subnetUse{"the builder's", "--subnet"} }

// subnets returns the subnets asked for, in that order, or all default ones.
// Those that one tag finds are ordered by zone. They must share one VPC,
// because a security group belongs to one.
func (w World) subnets(ctx context.Context, asked []string, use subnetUse) ([]types.Subnet, error) {
	if len(asked) == 0 {
		asked = []string{""}
	}
	var all []types.Subnet
	for _, a := range asked {
		found, err := w.subnetsOf(ctx, a, use)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			if !slices.ContainsFunc(all, func(o types.Subnet) bool { return aws.ToString(o.SubnetId) == aws.ToString(s.SubnetId) }) {
				all = append(all, s)
			}
		}
	}
	for _, s := range all {
		if first := all[0]; aws.ToString(s.VpcId) != aws.ToString(first.VpcId) {
			return nil, fault.Newf(fault.Usage, "give "+use.flag+" of one VPC only", "looking for %s subnets: %s is in %s, %s in %s", use.whose,
				aws.ToString(first.SubnetId), aws.ToString(first.VpcId), aws.ToString(s.SubnetId), aws.ToString(s.VpcId))
		}
	}
	return all, nil
}

// subnetsOf finds what one --subnet names; "" stands for all default subnets.
func (w World) subnetsOf(ctx context.Context, asked string, use subnetUse) ([]types.Subnet, error) {
	filters := []types.Filter{ami.Filter("default-for-az", "true")}
	tag, byTag := strings.CutPrefix(asked, "tag:")
	zone, byZone := strings.CutPrefix(asked, inZone)
	switch {
	case byTag:
		key, value, _ := strings.Cut(tag, "=")
		filters[0] = ami.Filter("tag:"+key, value)
	case byZone:
		filters = append(filters, ami.Filter("availability-zone", zone))
	case asked != "":
		filters[0] = ami.Filter("subnet-id", asked)
	}
	out, err := w.EC2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: filters})
	if err != nil {
		return nil, awsfault.New("ec2:DescribeSubnets", "looking for "+use.whose+" subnet", err)
	}
	if len(out.Subnets) == 0 {
		if byZone {
			return nil, fault.Newf(fault.Usage, "use --prove-subnet", "looking for %s subnet: zone %s has no default subnet", use.whose, zone)
		}
		if asked != "" {
			return nil, fault.Newf(fault.Usage, "correct "+use.flag+": it must be in this region and account", "looking for %s subnet: there is no %s", use.whose, asked)
		}
		return nil, fault.Newf(fault.Usage, "name one: --subnet subnet-…", "looking for the builder's subnet: this account has no default subnets here")
	}
	slices.SortFunc(out.Subnets, func(a, b types.Subnet) int {
		return cmp.Or(cmp.Compare(aws.ToString(a.AvailabilityZone), aws.ToString(b.AvailabilityZone)), cmp.Compare(aws.ToString(a.SubnetId), aws.ToString(b.SubnetId)))
	})
	return out.Subnets, nil
}
