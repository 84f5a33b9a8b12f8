package bake

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

// refusedWith resolves and wants one line with every one of parts in it.
func refusedWith(t *testing.T, f *fakes, kind fault.Kind, parts ...string) {
	t.Helper()
	_, err := f.Resolve(t.Context(), f.in)
	if err == nil {
		t.Fatalf("resolved; want an error with %q", parts)
	}
	if fault.KindOf(err) != kind {
		t.Errorf("kind %v of %v, want %v", fault.KindOf(err), err, kind)
	}
	if fault.NextOf(err) == "" {
		t.Errorf("%v names no next step", err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%q lacks %q", err, p)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%q shows a password", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has more than one line", err)
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("a refusal left %v", left)
	}
}

func TestBadInputsAreRefusedBeforeAnybodyIsAsked(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*Inputs){
		"no role":             func(in *Inputs) { in.Role = "" },
		`role "a b"`:          func(in *Inputs) { in.Role = "a b" },
		`environment "x/y"`:   func(in *Inputs) { in.Environment = "x/y" },
		`address "maybe"`:     func(in *Inputs) { in.Address = "maybe" },
		`--chef-mode "solo"`:  func(in *Inputs) { in.ChefMode = "solo" },
		"needs a chef-repo":   func(in *Inputs) { in.ChefMode = ChefLocalMode },
		"no Chef server":      func(in *Inputs) { in.ChefServerURL = "" },
		"validator key":       func(in *Inputs) { in.Agent.Chef.ValidatorKey = "" },
		"is not an https URL": func(in *Inputs) { in.Agent.Chef.BrokerURL = "http://b" },
		"no SHA-256":          func(in *Inputs) { in.ChefPackage = "/x.deb" },
		"for no Chef":         func(in *Inputs) { in.ChefPackageSHA256 = strings.Repeat("a", 64) },
		"of yours":            func(in *Inputs) { in.SecurityGroup, in.AllowFrom = "sg-1", "10.0.0.1/32" },
		"not a CIDR":          func(in *Inputs) { in.AllowFrom = "me" },
		"out of range":        func(in *Inputs) { in.RootVolumeGB = -1 },
		"would expire":        func(in *Inputs) { in.ExpireAfter = time.Minute },
		"too short":           func(in *Inputs) { in.Timeout = time.Second },
		`"bakehouse:role"`:    func(in *Inputs) { in.Tags = map[string]string{"bakehouse:role": "x"} },
		"unknown form":        func(in *Inputs) { in.Base = "ubuntu" },
		"reading --chef-pac":  func(in *Inputs) { in.ChefPackage, in.ChefPackageSHA256 = "/none.deb", strings.Repeat("a", 64) },
		"--chef-package carries a user name or a password": func(in *Inputs) {
			in.ChefPackage, in.ChefPackageSHA256 = "https://u:hunter2@h/x.deb", strings.Repeat("a", 64)
		},
		"--chef-server carries a user name or a password": func(in *Inputs) { in.ChefServerURL = "https://u:hunter2@h/organizations/o" },
		"--broker-url carries a user name or a password":  func(in *Inputs) { in.Agent.Chef.BrokerURL = "https://u:hunter2@h" },
		"Chef server's CA": func(in *Inputs) { in.ChefCAFile = "/none.pem" },
	} {
		f := newFakes(t)
		spoil(&f.in)
		refusedWith(t, f, fault.Usage, want)
		if len(f.ec2.calls) > 0 {
			t.Errorf("%s: EC2 was asked: %v", want, f.ec2.calls)
		}
	}
}

func TestAChefPackageOfAnotherDigestIsRefused(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.ChefPackage, f.in.ChefPackageSHA256 = filepath.Join(t.TempDir(), "chef.deb"), strings.Repeat("a", 64)
	if err := os.WriteFile(f.in.ChefPackage, []byte("deb"), 0o600); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, f, fault.Usage, "SHA-256", "chef.deb", strings.Repeat("a", 64))
}

func TestChefRefusalsComeBeforeAnythingIsLaunched(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Role = "nosuch"
	refusedWith(t, f, fault.Chef, `role "nosuch"`)

	f = newFakes(t)
	f.chef.roles["web"] = chefrepo.Role{Name: "web", RunList: []string{"role[base]"}}
	refusedWith(t, f, fault.Chef, `role "base"`, `asked for by role "web"`)

	f = newFakes(t)
	f.in.Environment = "staging"
	refusedWith(t, f, fault.Chef, `environment "staging"`)

	f = newFakes(t)
	f.chef.refuse = "SolveCookbooks"
	refusedWith(t, f, fault.Chef, "cookbooks of role web")
}

func TestLocalModeReadsTheRepository(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(path, content string) {
		t.Helper()
		full := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	f := newFakes(t)
	f.Chef, f.in.ChefMode, f.in.ChefRepo = nil, ChefLocalMode, dir
	write("roles/web.json", `{"name":"web","run_list":["recipe[web]"]}`)
	refusedWith(t, f, fault.Usage, "missing", `cookbook "web"`)

	write("cookbooks/web/metadata.rb", "name 'web'\nversion '1.0.0'\n")
	write("cookbooks/web/recipes/default.rb", "log 'w'\n")
	before := f.plan(t)
	if before.Recipe.Cookbooks["web"] != "1.0.0" || slices.Contains(before.stepNames(), "chef node") {
		t.Errorf("cookbooks %v, steps %v", before.Recipe.Cookbooks, before.Steps)
	}
	write("cookbooks/web/recipes/default.rb", "log 'x'\n")
	if after := f.plan(t); after.Digest == before.Digest {
		t.Error("another cookbook content has the same digest")
	}
	write("roles/web.json", "{\"name\":\"web\",\n \"run_list\":[}")
	refusedWith(t, f, fault.Usage, "web.json:2:")
}

// parameter is SSM with one parameter.
type parameter struct{ name, value string }

func (p parameter) GetParameter(_ context.Context, in *ssm.GetParameterInput, _ ...func(*ssm.Options)) (*ssm.GetParameterOutput, error) {
	if aws.ToString(in.Name) != p.name {
		return nil, &ssmtypes.ParameterNotFound{}
	}
	return &ssm.GetParameterOutput{Parameter: &ssmtypes.Parameter{Value: aws.String(p.value)}}, nil
}

func TestBaseImagesByParameter(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.SSM, f.in.Base = parameter{"/base", "ami-base"}, "ssm:/base"
	if p := f.plan(t); p.Recipe.Base.ID != "ami-base" || p.Recipe.Base.RootGB != 8 {
		t.Errorf("base %+v", p.Recipe.Base)
	}
	f.in.Base = "ssm:/other"
	refusedWith(t, f, fault.Usage, "/other")
	f.SSM, f.in.Base = parameter{"/base", "hello"}, "ssm:/base"
	refusedWith(t, f, fault.Usage, `"hello"`)
	f.in.Base = "ami-none"
	refusedWith(t, f, fault.Usage, "no image matches ami-none")
	f.in.Base, f.in.RootVolumeGB = "ami-base", 4
	refusedWith(t, f, fault.Usage, "8 GB")
}

func TestPickImageTrustsNamesOnlyOfKnownOwners(t *testing.T) {
	t.Parallel()
	img := func(id, owner, date string) types.Image {
		return types.Image{ImageId: aws.String(id), OwnerId: aws.String(owner), CreationDate: aws.String(date)}
	}
	byName := selector{"name", "x*"}
	for _, c := range []struct {
		name  string
		found []types.Image
		owner string
		want  string // image, or a part of the error
	}{
		{"nothing", nil, "", "no image matches"},
		{"the newest of ours", []types.Image{img("a", "1", "2030"), img("b", "1", "2031")}, "", "b"},
		{"two owners", []types.Image{img("a", "1", "2030"), img("b", "2", "2031")}, "", "2 owners: 1, 2"},
		{"a stranger", []types.Image{img("a", "666", "2030")}, "", "foreign account, 666"},
		{"a stranger by consent", []types.Image{img("a", "666", "2030")}, "666", "a"},
		{"Canonical", []types.Image{img("a", canonical, "2030")}, "", "a"},
	} {
		got, err := pickImage(c.found, Inputs{Base: "name:x*", BaseOwner: c.owner}, byName, "1")
		if err != nil && !strings.Contains(err.Error(), c.want) || err == nil && aws.ToString(got.ImageId) != c.want {
			t.Errorf("%s: image %q, error %v; want %q", c.name, aws.ToString(got.ImageId), err, c.want)
		}
	}
}

func TestChooseAddress(t *testing.T) {
	t.Parallel()
	cidrs := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("10.2.0.0/16")}
	for _, c := range []struct {
		local  string
		public bool
		want   string
	}{
		{"10.2.3.4", true, AddressPrivate}, {"192.168.1.2", true, AddressPublic}, {"192.168.1.2", false, AddressPrivate},
	} {
		if got := chooseAddress(netip.MustParseAddr(c.local), cidrs, c.public); got != c.want {
			t.Errorf("from %s with public=%v: %s, want %s", c.local, c.public, got, c.want)
		}
	}
}

func TestAPublicBuilderAdmitsThePublicAddress(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Address = AddressPublic
	if p := f.plan(t); p.Launch.AllowFrom != "198.51.100.7/32" {
		t.Errorf("admits %s", p.Launch.AllowFrom)
	}
	f.PublicAddr = func(context.Context) (netip.Addr, error) { return netip.Addr{}, errBoom }
	refusedWith(t, f, fault.Usage, "own address")
}

func TestTheAgentMustFitTheImage(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.AgentBinary = filepath.Join(t.TempDir(), "agent")
	refusedWith(t, f, fault.Usage, "agent")
	if err := os.WriteFile(f.in.AgentBinary, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	refusedWith(t, f, fault.Usage, "not a Linux program")
}

func TestAWSRefusalsNameTheMissingPermission(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.ec2.refuse["DescribeImages"] = "UnauthorizedOperation"
	_, err := f.Resolve(t.Context(), f.in)
	if fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "ec2:DescribeImages") {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
}

func TestThePlanReadsWell(t *testing.T) {
	t.Parallel()
	p := newFakes(t).plan(t)
	text := p.Text()
	for _, want := range []string{p.BakeID, "ami-base", "web 1.2.3", "172.31.0.1/32", "wait for image"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan's text lacks %q:\n%s", want, text)
		}
	}
	if p.Empty() || !(Plan{}).Empty() {
		t.Error("Empty is wrong")
	}
	if err := chefFault("x", chefapi.ErrUnauthorized); !strings.Contains(fault.NextOf(err), "--chef-key") {
		t.Errorf("bad credentials say %q", fault.NextOf(err))
	}
}
