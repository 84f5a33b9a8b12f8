package bake

import (
	"fmt"
	"regexp"
	"strings"

	"bakehouse/internal/fault"
)

// The values of Inputs.Arch, as Ubuntu and Go name them.
const (
	archAMD = "amd64"
	archARM = "arm64"
)

// Disk says what the builder's volumes are like, and so the image's. The zero
// value leaves everything to the base image.
type Disk struct {
	Type       string `json:"type,omitempty"`       // of the root volume: gp2, gp3, io1, io2
	IOPS       int    `json:"iops,omitempty"`       // of the root volume
	Throughput int    `json:"throughput,omitempty"` // of the root volume, MiB/s
	Encrypted  bool   `json:"encrypted,omitempty"`  // all volumes
	KMSKey     string `json:"kms_key,omitempty"`    // empty: the account's default key for EBS
}

// String reads like "gp3, 4000 IOPS, encrypted with alias/images".
func (d Disk) String() string {
	var out []string
	if d.Type != "" {
		out = append(out, d.Type)
	}
	if d.IOPS > 0 {
		out = append(out, fmt.Sprintf("%d IOPS", d.IOPS))
	}
	if d.Throughput > 0 {
		out = append(out, fmt.Sprintf("%d MiB/s", d.Throughput))
	}
	switch {
	case d.KMSKey != "":
		out = append(out, "encrypted with "+d.KMSKey)
	case d.Encrypted:
		out = append(out, "encrypted with the default key")
	}
	return strings.Join(out, ", ")
}

// Metadata says what the builder's instance metadata service gives. Tokens
// (IMDSv2) are always required.
type Metadata struct {
	HopLimit int  `json:"hop_limit,omitempty"` // 0: EC2's default
	Tags     bool `json:"tags,omitempty"`
}

// volumeLimits are a volume type's bounds; 0 means that the type does not take
// the setting (docs.aws.amazon.com/ebs, "Amazon EBS volume types").
type volumeLimits struct {
	minIOPS, maxIOPS, maxThroughput int
	needsIOPS                       bool
}

func limitsOf(volumeType string) (volumeLimits, bool) {
	l, ok := map[string]volumeLimits{
		"gp2": {}, "gp3": {minIOPS: 3000, maxIOPS: 80000, maxThroughput: 2000},
		"io1": {minIOPS: 100, maxIOPS: 64000, needsIOPS: true}, "io2": {minIOPS: 100, maxIOPS: 256000, needsIOPS: true},
	}[volumeType]
	return l, ok
}

// check refuses what EC2 would refuse only after everything else is made.
func (d Disk) check(region string) error {
	l, known := limitsOf(d.Type)
	bad := func(next, format string, args ...any) error {
		return fault.Newf(fault.Usage, next, "checking inputs: "+format, args...)
	}
	switch {
	case d.Type == "" && (d.IOPS != 0 || d.Throughput != 0):
		return bad("add --root-volume-type gp3", "IOPS and throughput belong to a volume type, and none is given")
	case d.Type != "" && !known:
		return bad("use gp3, gp2, io1 or io2", "--root-volume-type %q is unknown", d.Type)
	case l.needsIOPS && d.IOPS == 0:
		return bad("add --root-volume-iops N", "a root volume of type %s needs a number of IOPS", d.Type)
	case d.IOPS != 0 && (d.IOPS < l.minIOPS || d.IOPS > l.maxIOPS):
		return bad("correct --root-volume-iops", "--root-volume-iops %d is not possible for %s (%d to %d)", d.IOPS, d.Type, l.minIOPS, l.maxIOPS)
	case d.Throughput != 0 && (d.Throughput < 125 || d.Throughput > l.maxThroughput):
		return bad("use 125 to 2000 MiB/s with gp3, none with other types", "--root-volume-throughput %d is not possible for %s", d.Throughput, d.Type)
	case d.Throughput > max(d.IOPS, 3000)/4:
		return bad("raise --root-volume-iops to "+fmt.Sprint(d.Throughput*4), "%d MiB/s need four IOPS each", d.Throughput)
	case d.KMSKey != "" && !isKMSKey(d.KMSKey):
		return bad("give a key id, an ARN or alias/NAME", "--kms-key %q has an unknown form", d.KMSKey)
	case d.KMSKey != "" && region != "" && strings.HasPrefix(d.KMSKey, "arn:") && strings.Split(d.KMSKey, ":")[3] != region:
		return bad("give a key of "+region, "KMS key %s is not in the builder's region", d.KMSKey)
	}
	return nil
}

// checkLaunch refuses launch settings that cannot be right.
func (in Inputs) checkLaunch() error {
	if in.Arch != "" && !oneOf(in.Arch, archAMD, archARM) {
		return fault.Newf(fault.Usage, "use amd64 or arm64", "checking inputs: architecture %q is unknown", in.Arch)
	}
	for _, t := range in.InstanceTypes {
		if !regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`).MatchString(t) {
			return fault.Newf(fault.Usage, "write it like t3.small", "checking inputs: --instance-type %q is none", t)
		}
	}
	for _, s := range in.Subnets {
		if !isSubnet(s) {
			return fault.Newf(fault.Usage, "write subnet-… or tag:KEY=VALUE", "checking inputs: --subnet %q has an unknown form", s)
		}
	}
	if h := in.Metadata.HopLimit; h < 0 || h > 64 {
		return fault.Newf(fault.Usage, "use 1 to 64", "checking inputs: --metadata-hop-limit %d is not possible", h)
	}
	if err := in.checkTransport(); err != nil {
		return err
	}
	return in.Disk.check(in.Region)
}

// encryption follows from a key that is named.
func (d Disk) encryption() Disk {
	d.Encrypted = d.Encrypted || d.KMSKey != ""
	return d
}

// forBase fills in what follows the base image.
func (in Inputs) forBase(b Base) Inputs {
	if len(in.InstanceTypes) == 0 {
		in.InstanceTypes = []string{DefaultInstanceType}
		if b.Architecture == imageArch(archARM) {
			in.InstanceTypes = []string{DefaultInstanceTypeARM}
		}
	}
	return in
}

// imageArch is EC2's name of an architecture, goArch ours.
func imageArch(arch string) string {
	if arch == archAMD {
		return "x86_64"
	}
	return arch
}

func goArch(architecture string) string {
	if architecture == "x86_64" {
		return archAMD
	}
	return architecture
}

func isKMSKey(s string) bool {
	return regexp.MustCompile(`^([0-9a-f-]{36}|mrk-[0-9a-f]{32}|alias/[A-Za-z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+)$`).MatchString(s)
}
