package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/chefrepo"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

// recordedEC2 notes what is called and refuses everything.
type recordedEC2 struct {
	mu    sync.Mutex
	calls []string
}

func (r *recordedEC2) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_ = req.ParseForm()
	r.mu.Lock()
	r.calls = append(r.calls, req.Form.Get("Action"))
	r.mu.Unlock()
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(w, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>not in this test</Message></Error></Errors></Response>")
}

// making are the calls among these that could change something.
func (r *recordedEC2) making() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.calls), func(a string) bool { return strings.HasPrefix(a, "Describe") || strings.HasPrefix(a, "Get") })
}

// noChef is a Chef server without roles.
type noChef struct{ bake.ChefServer }

func (noChef) Role(context.Context, string) (chefrepo.Role, error) {
	return chefrepo.Role{}, fmt.Errorf("not in this test")
}

// refuse runs the tool in dir against an EC2 that refuses everything, with the
// real reader of bakehouse.yaml.
func refuse(t *testing.T, dir string, args ...string) (r ran, made []string) {
	t.Helper()
	var out, errs bytes.Buffer
	api := &recordedEC2{}
	srv := httptest.NewServer(api)
	defer srv.Close()
	p := cliapp.Process{Args: append([]string{"bake-ami"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }}
	d := deps{Process: p, now: time.Now, config: func(path string, must bool) (config.Config, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return config.Load(path, must)
	}}
	d.world = func(context.Context, *options) (bake.World, error) {
		return bake.World{EC2: ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
			Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")}), Chef: noChef{}, Clock: clock{},
			Identity:  func(context.Context) (bake.Identity, error) { return bake.Identity{Account: "1"}, nil },
			LocalAddr: func(netip.Addr) (netip.Addr, error) { return netip.IPv4Unspecified(), nil }}, nil
	}
	r.code = cliapp.Run(t.Context(), p, newApp(d), nil)
	r.stdout, r.stderr = out.String(), errs.String()
	return r, api.making()
}

// goodArgs alone bake: what a row adds to them is what is wrong.
func goodArgs() []string {
	return []string{"--role", "web", "--region", "us-east-1", "--chef-server", "https://chef/organizations/x", "--validator-key", "ssm:/v", "--prove-instance-profile", "web"}
}

// bad is a row of the table: arguments after goodArgs, or after the command
// that starts them, or why no value is wrong.
type bad struct {
	args  []string
	alone bool   // without goodArgs
	says  string // in the error or its next step; the flag's name when empty
	why   string // no value is wrong, or it is refused elsewhere; where
}

// before are the arguments that a row's own follow.
func (b bad) before() []string {
	if b.alone {
		return nil
	}
	return goodArgs()
}

func badly(args ...string) bad { return bad{args: args} }

// flagRows has a row for every flag of every command.
func flagRows() map[string]bad {
	anyPath := bad{why: "any path may be meant: it is made when it is not there"}
	rows := map[string]bad{
		"role": {args: []string{"--role", "a b", "--region", "us-east-1"}, alone: true}, "dry-run": badly("--dry-run=maybe"), "state-dir": anyPath,
		"config": badly("--config", "/no/such.yaml"), "output": badly("--output", "xml"),
		"profile":     {why: "the SDK looks it up when it connects: TestLoadSaysWhatIsMissing in internal/awscfg"},
		"chef-client": {why: "connectChef checks it: TestAChefLoginThatCannotWorkIsRefused"}, "chef-key": {why: "as chef-client"},
		"region": badly("--region", "mars"), "base": badly("--base", "ubuntu"), "base-owner": badly("--base-owner", "me!"),
		"instance-type": badly("--instance-type", "big"), "subnet": badly("--subnet", "1"), "security-group": badly("--security-group", "web"),
		"allow-from": badly("--allow-from", "home"), "address": badly("--address", "both"), "ssh-user": badly("--ssh-user", "Root!"),
		"root-volume-gb": badly("--root-volume-gb", "-1"), "instance-profile": badly("--instance-profile", "arn:aws:iam::1:x/y"),
		"tag": badly("--tag", "x"), "timeout": badly("--timeout", "1s"), "expire-after": badly("--expire-after", "1m"),
		"transport": badly("--transport", "telnet"), "bastion": badly("--bastion", "a@b@c", "--allow-from", "10.0.0.1/32"),
		"bastion-key":         badly("--bastion", "a@b", "--allow-from", "10.0.0.1/32", "--bastion-key", "/no/such", "--bastion-known-hosts", os.DevNull),
		"bastion-known-hosts": badly("--bastion", "a@b", "--allow-from", "10.0.0.1/32", "--bastion-key", "/no/such", "--bastion-known-hosts", "/no/such"),
		"spot":                badly("--spot", "--tenancy", "host"), "tenancy": badly("--tenancy", "mine"), "capacity-reservation": badly("--capacity-reservation", "x"),
		"arch": badly("--arch", "mips"), "root-volume-type": badly("--root-volume-type", "floppy"),
		"root-volume-iops":       badly("--root-volume-type", "gp3", "--root-volume-iops", "1"),
		"root-volume-throughput": badly("--root-volume-type", "gp3", "--root-volume-throughput", "1"),
		"encrypt":                badly("--encrypt=maybe"), "kms-key": badly("--kms-key", "k"), "metadata-hop-limit": badly("--metadata-hop-limit", "65"),
		"metadata-tags": badly("--metadata-tags=maybe"), "environment": badly("--environment", "a b"), "chef-server": badly("--chef-server", "chef"),
		"chef-ca-file": badly("--chef-ca-file", "/no/such.pem"), "validation-client": badly("--validation-client", "a b"),
		"validator-key": badly("--validator-key", "-----BEGIN"), "chef-mode": badly("--chef-mode", "solo"),
		"chef-repo":    badly("--chef-mode", "local", "--chef-repo", "/no/such"),
		"chef-package": badly("--chef-package", "chef.rpm", "--chef-package-sha256", strings.Repeat("0", 64)), "chef-package-sha256": badly("--chef-package-sha256", "x"),
		"attributes": badly("--attributes", "/no/such.json"), "agent-binary": badly("--agent-binary", "/no/such"), "allow-key": badly("--allow-key", "[a"),
		"public-key": badly("--public-key", "x"), "no-prove": badly("--no-prove", "--keep-unproven"), "keep-unproven": badly("--no-prove", "--keep-unproven"),
		"prove-instance-profile": badly("--prove-instance-profile", "a/b"), "prove-channel": badly("--prove-channel", "A B"),
		"prove-subnet": badly("--prove-subnet", "x"), "prove-group": badly("--prove-group", "a", "--prove-subnet", "subnet-1"), "prove-timeout": badly("--prove-timeout", "1s"),
		"image-name": badly("--image-name", "{nope}"), "description": badly("--description", "{nope}"), "deprecate-after": badly("--deprecate-after", "soon"),
		"protect": badly("--protect=maybe"), "rebake": badly("--rebake=maybe"), "keep-on-failure": badly("--keep-on-failure=maybe"),
	}
	maps.Copy(rows, map[string]bad{
		"policy": {args: []string{"--policy", "a b", "--policy-group", "prod", "--region", "us-east-1"}, alone: true}, "policy-group": badly("--policy-group", "prod"),
		"sbom": badly("--sbom", "/no/such/folder/x"), "report-dir": badly("--report-dir", "/no/such"), "inventory": badly("--inventory", "bucket"),
		"copy-to": badly("--copy-to", "mars"), "share-with": badly("--share-with", "everybody"), "publish-ssm": badly("--publish-ssm", "a b"),
		"publish-launch-template": badly("--publish-launch-template", "a b"), "launch-template-default": badly("--launch-template-default"),
		"deprecate-predecessors": badly("--deprecate-predecessors", "soon"), "broker-url": badly("--broker-url", "http://broker"),
	})
	for _, file := range []string{"report", "properties", "junit", "html"} {
		rows[file] = badly("--"+file, "/no/such/folder/x")
	}
	return rows
}

// commandRows has the rows of flags that only a command has, by "COMMAND FLAG".
func commandRows() map[string]bad {
	noChef := badly("--no-chef=maybe")
	return map[string]bad{
		"sweep no-chef": noChef, "abort no-chef": noChef, "config schema": badly("--schema=maybe"), "diff exit-code": badly("--exit-code=maybe", "ami-1", "ami-2"),
		"copy to": badly("--to", "mars", "ami-1"), "share with": badly("--with", "everybody", "ami-1"), "publish unproven": badly("--unproven=maybe", "ami-1"),
		"prune keep": badly("--role", "web", "--keep", "-1"), "prune older-than": badly("--role", "web", "--older-than", "long"), "prune despite-shares": badly("--despite-shares=maybe"),
		"prune template-versions": badly("--keep", "1", "--role", "web", "--template-versions", "-1"), "prune yes": badly("--yes=maybe"),
	}
}

// asOfBake says whether a command takes the bake's flags as they are.
func asOfBake(flag cli.Flag) bool {
	return slices.ContainsFunc(flags(), func(f cli.Flag) bool { return f.Names()[0] == flag.Names()[0] })
}

func TestEveryFlagHasARefusal(t *testing.T) {
	t.Parallel()
	rows, seen := flagRows(), map[string]bool{}
	for _, f := range newApp(deps{}).Flags {
		name := f.Names()[0]
		seen[name] = true
		row, ok := rows[name]
		if !ok {
			t.Errorf("--%s has no row: which value is refused, and how?", name)
			continue
		}
		if row.why == "" {
			t.Run(name, func(t *testing.T) { t.Parallel(); refused(t, "--"+name, row, append(row.before(), row.args...)) })
		}
	}
	for name := range rows {
		if !seen[name] {
			t.Errorf("there is a row for --%s, and no such flag", name)
		}
	}
	for _, c := range newApp(deps{}).Commands {
		for _, f := range c.Flags {
			key := c.Name + " " + f.Names()[0]
			row, ok := commandRows()[key]
			if !ok && !asOfBake(f) && f.Names()[0] != "help" {
				t.Errorf("%q has no row: which value is refused, and how?", key)
			}
			if ok && row.why == "" {
				t.Run(key, func(t *testing.T) {
					t.Parallel()
					refused(t, "--"+f.Names()[0], row, append([]string{c.Name}, row.args...))
				})
			}
		}
	}
}

// refused asserts a refusal: exit code 2, one line that names the option, and
// nothing made.
func refused(t *testing.T, option string, row bad, args []string) {
	t.Helper()
	r, made := refuse(t, t.TempDir(), args...)
	var lines []string
	for _, l := range strings.Split(r.stderr, "\n") {
		if strings.Contains(l, "error: ") || strings.Contains(l, "next: ") {
			lines = append(lines, l)
		}
	}
	says := row.says
	if says == "" {
		says = option
	}
	if r.code != 2 || len(lines) == 0 || len(lines) > 2 || !strings.Contains(strings.Join(lines, "\n"), says) || r.stdout != "" {
		t.Errorf("%v: exit %d, want 2 and words of %s:\n%s%s", args, r.code, says, r.stderr, r.stdout)
	}
	if len(made) > 0 {
		t.Errorf("%v: it called %v", args, made)
	}
}

func TestSettingsThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	for what, args := range map[string][]string{
		"--spot":                 {"--spot", "--tenancy", "host"},
		"--capacity-reservation": {"--spot", "--capacity-reservation", "cr-0123456789abcdef0"},
		"--tenancy host":         {"--tenancy", "host", "--capacity-reservation", "cr-0123456789abcdef0"},
		"--allow-from":           {"--security-group", "sg-12345678", "--allow-from", "10.0.0.0/8"},
		"--bastion":              {"--bastion", "a@b", "--address", "public"},
		"--prove-group":          {"--prove-group", "web", "--prove-subnet", "subnet-1"},
		"--no-prove":             {"--no-prove", "--prove-channel", "x"},
		"--expire-after":         {"--timeout", "3h"},
		"--chef-package":         {"--chef-package-sha256", strings.Repeat("0", 64)},
		"--root-volume-iops":     {"--root-volume-type", "io2"},
		"to be shared, and is encrypted with the account": {"--encrypt", "--share-with", "123456789012"},
		"managed by AWS":                   {"--kms-key", "alias/aws/ebs", "--share-with", "123456789012"},
		"the copy to eu-west-1 has no key": {"--encrypt", "--kms-key", "alias/mine", "--copy-to", "eu-west-1"},
		"gp3":                              {"--root-volume-iops", "3000"},
	} {
		refused(t, what, bad{}, append(goodArgs(), args...))
	}
}

func TestEveryKeyHasARefusalThatNamesItsPlace(t *testing.T) {
	t.Parallel()
	// Free text takes anything that is a line.
	candidates := []string{`"\x01"`, `" "`, `""`, "-1", "maybe"}
	for _, key := range config.Describe() {
		path := strings.NewReplacer("NAME", "web").Replace(key.Path)
		if strings.HasPrefix(key.Type, "the keys of ") {
			continue // of another section, which is in the list itself
		}
		values := candidates
		if strings.HasPrefix(key.Type, "map of") {
			values = []string{"[a]", "{\"\": x}"}
		} else if strings.HasPrefix(key.Type, "list of") {
			values = []string{"plain", "{a: b}"}
		}
		values = append(values, "{a: {b: c}}")
		if scalar := refusedValues(t, path, values); len(scalar) == 0 {
			t.Errorf("%s (%s): no bad value is refused", key.Path, key.Type)
		}
	}
}

// refusedValues tells which values of a key are refused; each refusal is
// checked.
func refusedValues(t *testing.T, path string, values []string) (out []string) {
	t.Helper()
	for _, v := range values {
		text, parts := "", strings.Split(path, ".")
		for i, p := range parts[:len(parts)-1] {
			text += strings.Repeat("  ", i) + p + ":\n"
		}
		text += strings.Repeat("  ", len(parts)-1) + parts[len(parts)-1] + ": " + v + "\n"
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "bakehouse.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load(filepath.Join(dir, "bakehouse.yaml"), true); err == nil {
			continue
		}
		out = append(out, v)
		refused(t, fmt.Sprintf("bakehouse.yaml:%d:", len(parts)), bad{}, append(goodArgs(), "--config", filepath.Join(dir, "bakehouse.yaml")))
	}
	return out
}

func TestPruneNeedsToBeToldWhat(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"prune"}, {"prune", "--role", "web"}, {"prune", "--keep", "3"}} {
		refused(t, "--", bad{}, args)
	}
}

func TestAChefLoginThatCannotWorkIsRefused(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := bake.Inputs{ChefServerURL: "https://chef/organizations/x"}
	for says, o := range map[string]options{
		"--chef-client": {in: server, keyFile: file}, "--chef-key": {in: server, client: "me", keyFile: "/no/such"},
		"key": {in: server, client: "me", keyFile: file}, "name": {in: server, client: "../x", keyFile: file},
	} {
		err := connectChef(&bake.World{}, &o)
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error()+fault.NextOf(err), says) {
			t.Errorf("%s: %v, next: %s", says, err, fault.NextOf(err))
		}
	}
}
