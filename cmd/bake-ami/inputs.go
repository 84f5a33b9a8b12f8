package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/inventory"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// options is what one run of bake-ami was asked for.
type options struct {
	in       bake.Inputs   // of the first role
	roles    []bake.Inputs // of all roles
	profile  string
	client   string // Chef client to sign as
	keyFile  string // its private key
	stateDir string
	report   string
	files    artifacts
	bucket   inventory.Bucket // of inventories; without a name: none
	started  time.Time
	dryRun   bool
	output   cliapp.Output
}

// readOptions merges flags, environment and bakehouse.yaml.
func (d deps) readOptions(c *cli.Context) (options, error) {
	if err := noArguments(c); err != nil {
		return options{}, err
	}
	output, err := cliapp.OutputOf(c)
	if err != nil {
		return options{}, err
	}
	file, err := d.readFile(c)
	if err != nil {
		return options{}, err
	}
	o := options{output: output, profile: c.String("profile"), report: c.String("report"), dryRun: c.Bool("dry-run"),
		client: cliapp.String(c, "chef-client", file.Chef.ClientName), keyFile: cliapp.String(c, "chef-key", file.Chef.ClientKey)}
	if o.files, err = readArtifacts(c); err != nil {
		return o, err
	}
	if o.bucket, err = inventoryBucket(cliapp.String(c, "inventory", file.Image.Inventory)); err != nil {
		return o, err
	}
	if o.stateDir = c.String("state-dir"); o.stateDir == "" {
		o.stateDir = d.defaultState()
	}
	roles, err := rolesOf(c)
	if err != nil {
		return o, err
	}
	for _, role := range roles {
		in, err := d.inputs(c, file.ForRole(role), role)
		if err != nil {
			return o, err
		}
		in.InventoryInS3 = o.bucket.Name != ""
		o.roles = append(o.roles, in)
	}
	o.in = o.roles[0]
	return o, nil
}

// rolesOf are the roles to bake; one without a name when none is given.
func rolesOf(c *cli.Context) ([]string, error) {
	roles := c.StringSlice("role")
	if policy := c.String("policy"); policy != "" {
		if len(roles) > 0 {
			return nil, cliapp.Usagef("--policy %s and --role %s exclude each other: a policy has its own run list", policy, strings.Join(roles, ", "))
		}
		return []string{policy}, nil
	}
	for i, r := range roles {
		if slices.Contains(roles[:i], r) {
			return nil, cliapp.Usagef("--role %s is given twice", r)
		}
	}
	if len(roles) == 0 {
		return []string{""}, nil
	}
	if name := c.String("image-name"); len(roles) > 1 && name != "" && !strings.Contains(name, "{role}") && !strings.Contains(name, "{bake}") {
		return nil, cliapp.Usagef("--image-name %s: several roles need several names; put {role} into it", name)
	}
	return roles, nil
}

// readFile reads the file that --config names, or the one that lies here.
func (d deps) readFile(c *cli.Context) (config.Config, error) {
	if path := c.String("config"); path != "" {
		return d.config(path, true)
	}
	return d.config(config.Find(), false)
}

// defaultState follows the XDG base directory specification.
func (d deps) defaultState() string {
	if dir := d.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bakehouse")
	}
	return filepath.Join(d.Getenv("HOME"), ".local", "state", "bakehouse")
}

// inputs gathers what the bake itself needs to know.
func (d deps) inputs(c *cli.Context, file config.Config, role string) (bake.Inputs, error) {
	b := file.Bake
	in := bake.Inputs{
		Role: role, Environment: cliapp.String(c, "environment", file.Chef.Environment),
		Policy: bake.Policy{Name: c.String("policy"), Group: c.String("policy-group")},
		Base:   cliapp.String(c, "base", b.Base), BaseOwner: c.String("base-owner"),
		Region:        cliapp.String(c, "region", file.Region),
		SecurityGroup: cliapp.String(c, "security-group", b.SecurityGroup), AllowFrom: c.String("allow-from"),
		Address: cliapp.String(c, "address", b.Address), SSHUser: cliapp.String(c, "ssh-user", b.SSHUser),
		RootVolumeGB:    pick(c, "root-volume-gb", c.Int("root-volume-gb"), b.RootVolumeGB),
		InstanceProfile: cliapp.String(c, "instance-profile", b.InstanceProfile),
		ChefMode:        cliapp.String(c, "chef-mode", b.ChefMode), ChefRepo: cliapp.String(c, "chef-repo", b.ChefRepo),
		ChefServerURL: cliapp.String(c, "chef-server", file.Chef.ServerURL), ChefCAFile: cliapp.String(c, "chef-ca-file", file.Chef.CAFile),
		ChefPackage: cliapp.String(c, "chef-package", b.ChefPackage), ChefPackageSHA256: cliapp.String(c, "chef-package-sha256", b.ChefPackageSHA256),
		AgentBinary: cliapp.String(c, "agent-binary", b.AgentBinary), AgentEnv: file.Agent.Environment,
		Attributes: cliapp.String(c, "attributes", b.Attributes),
		AllowKeys:  c.StringSlice("allow-key"), CI: d.ci(), KeepOnFailure: c.Bool("keep-on-failure"),
		ExpireAfter: pick(c, "expire-after", c.Duration("expire-after"), b.ExpireAfter),
		Timeout:     pick(c, "timeout", c.Duration("timeout"), b.Timeout),
	}
	in.AgentDir = ownFolder()
	builder(c, b, &in)
	in.Bastion = d.bastion(c, b)
	var err error
	if in.Tags, err = tags(b.Tags, c.StringSlice("tag")); err != nil {
		return in, err
	}
	proveInputs(c, file, &in)
	if err = imageInputs(c, file.Image, &in); err != nil {
		return in, err
	}
	if err = checkFiles(c, in); err != nil {
		return in, err
	}
	in.Agent, err = agentConfig(c, file, in.Role)
	return in, err
}

// pick returns the flag's value when it was given, else the file's, else the
// flag's default.
func pick[T int | time.Duration](c *cli.Context, flag string, value, fromFile T) T {
	if c.IsSet(flag) || fromFile == 0 {
		return value
	}
	return fromFile
}

// ci collects the variables that Jenkins sets and that become tags.
func (d deps) ci() map[string]string {
	out := map[string]string{}
	for _, name := range []string{"BUILD_URL", "JOB_NAME", "GIT_COMMIT"} {
		if v := d.Getenv(name); v != "" {
			out[name] = v
		}
	}
	return out
}

// tags adds KEY=VALUE pairs to those of the file.
func tags(fromFile map[string]string, pairs []string) (map[string]string, error) {
	out := maps.Clone(fromFile)
	if out == nil {
		out = map[string]string{}
	}
	for _, p := range pairs {
		k, v, ok := strings.Cut(p, "=")
		if !ok || k == "" {
			return nil, cliapp.Usagef("--tag %q is not KEY=VALUE", p)
		}
		out[k] = v
	}
	return out, nil
}

// ownFolder is the folder of the running program, or "".
func ownFolder() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return filepath.Dir(self)
}

// agentConfig is what the image's agent is told, but for what the bake knows.
func agentConfig(c *cli.Context, file config.Config, role string) (agentconf.Config, error) {
	conf := agentconf.Config{Chef: agentconf.Chef{
		ServerURL:        cliapp.String(c, "chef-server", file.Chef.ServerURL),
		ValidationClient: cliapp.String(c, "validation-client", file.Chef.ValidationClient),
		ValidatorKey:     cliapp.String(c, "validator-key", file.Chef.ValidatorKey),
		BrokerURL:        cliapp.String(c, "broker-url", file.Chef.BrokerURL),
	}}
	agentSettings(&conf, file.Agent)
	for _, name := range slices.Sorted(maps.Keys(file.Apps)) {
		app := file.Apps[name]
		if !slices.Contains(app.Roles, role) {
			continue
		}
		if conf.App != nil {
			return conf, cliapp.Usagef("role %q carries two apps, %s and %s: an image has one", role, conf.App.Name, name)
		}
		var err error
		if conf.App, err = appSettings(c, name, app); err != nil {
			return conf, err
		}
	}
	return conf, nil
}
