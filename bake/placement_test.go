package bake

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

func TestPlacementsAndWhatAFailureRulesOut(t *testing.T) {
	t.Parallel()
	all := placements([]string{"t3.small", "m5.large"}, []place{{"subnet-1", "a"}, {"subnet-2", "b"}}, true)
	name := func(list []Placement) string {
		var out []string
		for _, p := range list {
			out = append(out, p.Market[:1]+p.InstanceType[:1]+p.Subnet[len(p.Subnet)-1:])
		}
		return strings.Join(out, " ")
	}
	if got, want := name(all), "st1 st2 sm1 sm2 ot1 ot2 om1 om2"; got != want {
		t.Fatalf("order %s, want %s", got, want)
	}
	for code, want := range map[string]string{
		"InsufficientInstanceCapacity":      "st2 sm1 sm2 ot1 ot2 om1 om2",
		"Unsupported":                       "st2 sm1 sm2 ot1 ot2 om1 om2",
		"SpotMaxPriceTooLow":                "st2 sm1 sm2 ot1 ot2 om1 om2",
		"InsufficientFreeAddressesInSubnet": "st2 sm2 ot2 om2",
		"MaxSpotInstanceCountExceeded":      "ot1 ot2 om1 om2",
		"VcpuLimitExceeded":                 "sm1 sm2 ot1 ot2 om1 om2",
	} {
		if got := name(remaining(all, all[0], code)); got != want {
			t.Errorf("after %s: %s, want %s", code, got, want)
		}
	}
	if got := placements([]string{"x.y"}, places(nil, nil), false); len(got) != 1 || got[0].Subnet != "" || got[0].Market != MarketOnDemand {
		t.Errorf("without wishes: %v", got)
	}
}

func TestALaunchWalksOnToWhereThereIsCapacity(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.InstanceTypes, f.in.Subnets, f.in.Spot = []string{"t3.small", "m5.large"}, []string{"subnet-2", "subnet-1"}, true
	tokens := map[string]bool{}
	f.ec2.deny = func(action string, p url.Values) string {
		if action != "RunInstances" {
			return ""
		}
		tokens[p.Get("ClientToken")] = true
		switch {
		case p.Get("InstanceMarketOptions.MarketType") == "spot":
			return "MaxSpotInstanceCountExceeded"
		case p.Get("InstanceType") == "t3.small":
			return "InsufficientInstanceCapacity"
		}
		return ""
	}
	p := f.plan(t)
	r, err := f.Bake(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Placement{MarketOnDemand, "m5.large", "subnet-2", "b"}); r.Launch.Placement != want {
		t.Errorf("the builder ran as %+v, want %+v", r.Launch.Placement, want)
	}
	var tried []string
	for _, a := range r.Tried {
		tried = append(tried, a.Placement.String()+": "+a.Reason)
	}
	if want := []string{"t3.small (spot) in subnet-2 (b): MaxSpotInstanceCountExceeded: no", "t3.small in subnet-2 (b): InsufficientInstanceCapacity: no",
		"t3.small in subnet-1 (a): InsufficientInstanceCapacity: no"}; !slices.Equal(tried, want) {
		t.Errorf("tried %q, want %q", tried, want)
	}
	if n := f.ec2.called("RunInstances"); n != 4 || len(tokens) != 4 {
		t.Errorf("%d calls with %d client tokens, want 4 and 4: EC2 refuses a token with other parameters", n, len(tokens))
	}
}

func TestNoCapacityAnywhereNamesEveryPlacement(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.InstanceTypes = []string{"t3.small", "m5.large"}
	f.ec2.refuse["RunInstances"] = "InsufficientInstanceCapacity"
	r, err := f.Bake(t.Context(), f.plan(t))
	if fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "m5.large in subnet-1 (a): InsufficientInstanceCapacity") || !strings.Contains(fault.NextOf(err), "--subnet") {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
	if len(r.Tried) != 4 || len(f.left(t)) > 0 {
		t.Errorf("tried %v, left %v", r.Tried, f.left(t))
	}
}

func TestASpotBuilderIsBoughtForOneTime(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Spot = true
	r, err := f.Bake(t.Context(), f.plan(t))
	if err != nil || r.Launch.Market != MarketSpot {
		t.Errorf("%v, market %s", err, r.Launch.Market)
	}
	if run := f.ec2.instances[0].params; run.Get("InstanceMarketOptions.SpotOptions.SpotInstanceType") != "one-time" {
		t.Errorf("launched with %v", run)
	}
}

func TestSubnetsByTagAndOneVPC(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Subnets = []string{"tag:tier=build", "subnet-1"}
	if got := f.plan(t).Launch.Placements; len(got) != 2 || got[0].Subnet != "subnet-1" || got[1].Subnet != "subnet-2" {
		t.Errorf("placements %v, want each subnet once, by zone", got)
	}
	f.in.Subnets = []string{"subnet-1", "subnet-3"}
	refusedWith(t, f, fault.Usage, "subnet-1 is in vpc-1", "subnet-3 in vpc-2")
	f.in.Subnets = []string{"tag:tier=none"}
	refusedWith(t, f, fault.Usage, "no tag:tier=none")
}

func TestTheBuildersVolumesAndMetadata(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.RootVolumeGB, f.in.Disk = 20, Disk{Type: "gp3", IOPS: 4000, Throughput: 250, KMSKey: "alias/images"}
	f.in.Metadata = Metadata{HopLimit: 2, Tags: true}
	before := f.plan(t)
	if _, err := f.Bake(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	run := f.ec2.instances[0].params
	for key, want := range map[string]string{
		"BlockDeviceMapping.1.Ebs.VolumeSize": "20", "BlockDeviceMapping.1.Ebs.VolumeType": "gp3", "BlockDeviceMapping.1.Ebs.Iops": "4000",
		"BlockDeviceMapping.1.Ebs.Throughput": "250", "BlockDeviceMapping.1.Ebs.Encrypted": "true", "BlockDeviceMapping.1.Ebs.KmsKeyId": "alias/images",
		"MetadataOptions.HttpPutResponseHopLimit": "2", "MetadataOptions.InstanceMetadataTags": "enabled", "MetadataOptions.HttpTokens": "required",
	} {
		if got := run.Get(key); got != want {
			t.Errorf("RunInstances %s = %q, want %q", key, got, want)
		}
	}
	f.in.Disk.KMSKey = ""
	if f.plan(t).Digest == before.Digest {
		t.Error("an image without encryption has the same inputs digest")
	}
}

func TestLaunchSettingsThatCannotBeRight(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*Inputs){
		"belong to a volume type":               func(in *Inputs) { in.Disk.IOPS = 4000 },
		`type "floppy" is unknown`:              func(in *Inputs) { in.Disk.Type = "floppy" },
		"needs a number of IOPS":                func(in *Inputs) { in.Disk.Type = "io2" },
		"--root-volume-iops 99 is not possible": func(in *Inputs) { in.Disk = Disk{Type: "gp3", IOPS: 99} },
		"--root-volume-throughput 100 is not":   func(in *Inputs) { in.Disk = Disk{Type: "gp3", Throughput: 100} },
		"--root-volume-throughput 200 is not":   func(in *Inputs) { in.Disk = Disk{Type: "io1", IOPS: 1000, Throughput: 200} },
		"need four IOPS each":                   func(in *Inputs) { in.Disk = Disk{Type: "gp3", IOPS: 3000, Throughput: 1000} },
		`--kms-key "my key"`:                    func(in *Inputs) { in.Disk.KMSKey = "my key" },
		"not in the builder's region":           func(in *Inputs) { in.Disk.KMSKey = "arn:aws:kms:eu-west-1:123456789012:key/a" },
		`--arch "mips"`:                         func(in *Inputs) { in.Arch = "mips" },
		"--arch says arm64":                     func(in *Inputs) { in.Arch = "arm64" },
		`--instance-type "small"`:               func(in *Inputs) { in.InstanceTypes = []string{"small"} },
		`subnet "vpc-1"`:                        func(in *Inputs) { in.Subnets = []string{"vpc-1"} },
		"exclude each other":                    func(in *Inputs) { in.Bastion.Address, in.Address = "a@b", AddressPublic },
		"by which address the bastion":          func(in *Inputs) { in.Bastion.Address = "a@b" },
		"names no user and host":                func(in *Inputs) { in.Bastion.Address, in.AllowFrom = "b", "10.0.0.1/32" },
		"the bastion's known hosts":             func(in *Inputs) { in.Bastion.Address, in.AllowFrom = "a@b", "10.0.0.1/32" },
		`--transport "telnet"`:                  func(in *Inputs) { in.Transport = "telnet" },
		"opens no port":                         func(in *Inputs) { in.Transport, in.AllowFrom = TransportSSM, "10.0.0.1/32" },
		"goes through no bastion":               func(in *Inputs) { in.Transport, in.Bastion.Address, in.SecurityGroup = TransportSSM, "a@b", "sg-1" },
		"--metadata-hop-limit 65":               func(in *Inputs) { in.Metadata.HopLimit = 65 },
	} {
		f := newFakes(t)
		spoil(&f.in)
		refusedWith(t, f, fault.Usage, want)
	}
}

func TestTypeAndAgentFollowTheArchitecture(t *testing.T) {
	t.Parallel()
	if got := (Inputs{Arch: "arm64"}).withDefaults().Base; got != DefaultBaseARM {
		t.Errorf("base %s", got)
	}
	if got := (Inputs{}).forBase(Base{Architecture: "arm64"}).InstanceTypes; !slices.Equal(got, []string{DefaultInstanceTypeARM}) {
		t.Errorf("types %v", got)
	}
	dir := t.TempDir()
	for _, name := range []string{"boot-agent", "boot-agent-arm64"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for arch, want := range map[string]string{"arm64": "boot-agent-arm64", "x86_64": "boot-agent"} {
		if got := filepath.Base(agentIn(dir, arch)); got != want {
			t.Errorf("%s takes %s, want %s", arch, got, want)
		}
	}
}

func TestTheBastionIsOnTheWayToTheBuilder(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	dir := t.TempDir()
	key, err := newKeyPair("jump")
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "key"), []byte(key.privatePEM), 0o600), os.WriteFile(filepath.Join(dir, "known"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	f.in.Bastion = host.BastionSpec{Address: "a@b", KeyFile: filepath.Join(dir, "key"), KnownHosts: filepath.Join(dir, "known")}
	f.in.AllowFrom = "10.0.0.1/32"
	f.LocalAddr = func(netip.Addr) (netip.Addr, error) { return netip.ParseAddr("192.0.2.1") } // far from the builder
	var target host.Target
	f.Connect = func(_ context.Context, to host.Target) (Machine, error) { target = to; return f.machine, nil }
	p := f.plan(t)
	if _, err := f.Bake(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if target.Via == nil || p.Launch.Address != AddressPrivate || !strings.Contains(p.Text(), "a@b") {
		t.Errorf("via %v, by the %s address", target.Via, p.Launch.Address)
	}
}
