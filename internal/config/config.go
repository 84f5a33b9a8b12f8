// Package config reads bakehouse.yaml, strictly: an unknown key, a wrong type
// or a value that cannot be right is an error that names file, line and
// column. The struct tags below are the only description of the keys: the
// reader, the checks and the documentation (Describe) all follow them.
//
// Tags: yaml is the key; like says that a section has the keys of another one; is names the check (see checks.go) and so the type;
// doc is the key's line of documentation; default is what a tool assumes when
// the key is left out (filled in by who uses the value, not here); one lets a
// list of a single element be written without brackets.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

// Config is the whole of bakehouse.yaml. Every key may be left out.
type Config struct {
	Region string         `yaml:"region" is:"region" doc:"AWS region; AWS_REGION and --region win"`
	Chef   Chef           `yaml:"chef"`
	Bake   Bake           `yaml:"bake"`
	Image  Image          `yaml:"image"`
	Prove  Prove          `yaml:"prove"`
	Agent  Agent          `yaml:"agent"`
	Apps   map[string]App `yaml:"apps" is:"app"`
	Reaper Reaper         `yaml:"reaper"`

	Roles map[string]Role `yaml:"roles" is:"chefname"`

	Checks map[string]Checks `yaml:"checks" is:"chefname"`

	File  string            `yaml:"-"` // the file it was read from; empty: none
	Where map[string]string `yaml:"-"` // FILE:LINE:COLUMN of every key that the file sets, by its path
}

// Chef says which Chef server, and as whom.
type Chef struct {
	ServerURL        string `yaml:"server_url" is:"url" doc:"Chef server, with its organisation: https://HOST/organizations/NAME"`
	ClientName       string `yaml:"client_name" is:"chefname" doc:"client or user that the operators' tools sign as"`
	ClientKey        string `yaml:"client_key" is:"path" doc:"its private key (PEM)"`
	CAFile           string `yaml:"ca_file" is:"path" doc:"certificates (PEM) that the Chef server is checked by, instead of the system's"`
	ValidationClient string `yaml:"validation_client" is:"chefname" default:"chef-validator" doc:"client that new instances register with"`
	ValidatorKey     string `yaml:"validator_key" is:"secretref" doc:"where an instance fetches that client's key at boot; never baked into an image"`
	BrokerURL        string `yaml:"broker_url" is:"httpsurl" doc:"chef-broker that registers instances without any secret, instead of validator_key (docs/broker.md)"`
	Environment      string `yaml:"environment" is:"chefname" default:"_default" doc:"Chef environment of builders and instances"`
}

// Bake says how images are made.
type Bake struct {
	Base              string            `yaml:"base" is:"base" default:"ssm:/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id" doc:"base image: an id, an SSM parameter that holds one, or a name pattern"`
	InstanceType      []string          `yaml:"instance_type" is:"instancetype" one:"yes" doc:"types of the builder, the first that AWS has; t3.small when left out, t4g.small on arm64"`
	Subnet            []string          `yaml:"subnet" is:"subnet" one:"yes" doc:"subnets of the builder, by id or by a tag they carry; any default subnet when left out"`
	SecurityGroup     string            `yaml:"security_group" is:"securitygroup" doc:"security group of the builder; when left out, one for this bake that admits the caller's address only"`
	Address           string            `yaml:"address" is:"address" default:"auto" doc:"which address of the builder SSH goes to"`
	SSHUser           string            `yaml:"ssh_user" is:"user" default:"ubuntu" doc:"login that the base image's cloud-init makes"`
	RootVolumeGB      int               `yaml:"root_volume_gb" is:"volume" doc:"size of the root volume in GB; the base image's when left out"`
	ChefPackage       string            `yaml:"chef_package" is:"pathorurl" doc:".deb that Chef is installed from when the base image has none"`
	ChefPackageSHA256 string            `yaml:"chef_package_sha256" is:"sha256" doc:"its SHA-256; required with chef_package"`
	ChefMode          string            `yaml:"chef_mode" is:"chefmode" default:"server" doc:"converge against the Chef server, or ship the chef-repo and converge locally"`
	ChefRepo          string            `yaml:"chef_repo" is:"path" doc:"folder that holds roles/ and cookbooks/, for local mode"`
	Tags              map[string]string `yaml:"tags" is:"tag" doc:"further tags on everything a bake makes"`
	ExpireAfter       time.Duration     `yaml:"expire_after" is:"duration" default:"2h" doc:"age at which a builder destroys itself, whatever became of the bake"`
	Timeout           time.Duration     `yaml:"timeout" is:"duration" default:"1h" doc:"a bake that takes longer is undone"`
	AgentBinary       string            `yaml:"agent_binary" is:"path" doc:"boot-agent to install; the one beside bake-ami when left out"`
	InstanceProfile   string            `yaml:"instance_profile" is:"profile" doc:"instance profile of the builder; most bakes need none"`

	Attributes string `yaml:"attributes" is:"path" doc:"JSON file of attributes that the builder's and every instance's node start with"`

	Transport string `yaml:"transport" is:"transport" default:"ssh" doc:"how the builder is reached: SSH, or SSM Run Command (no open port, no key, no security group)"`

	Bastion           string `yaml:"bastion" is:"bastion" doc:"machine that SSH to the builder goes through"`
	BastionKey        string `yaml:"bastion_key" is:"path" doc:"private key (without passphrase) for it; the SSH agent's keys when left out"`
	BastionKnownHosts string `yaml:"bastion_known_hosts" is:"path" doc:"known_hosts file with its host key; ~/.ssh/known_hosts when left out"`

	Spot                bool   `yaml:"spot" is:"yesno" default:"false" doc:"try spot capacity for the builder first, then on-demand"`
	Tenancy             string `yaml:"tenancy" is:"tenancy" doc:"hardware that the builder runs on: shared, dedicated, or a reserved host; the VPC's when left out"`
	CapacityReservation string `yaml:"capacity_reservation" is:"reservation" doc:"capacity reservation that the builder is launched into"`

	Arch string `yaml:"arch" is:"arch" doc:"architecture of the image; the base image's when left out, and the default base image follows it"`

	RootVolumeType       string `yaml:"root_volume_type" is:"volumetype" doc:"type of the root volume; the base image's when left out"`
	RootVolumeIOPS       int    `yaml:"root_volume_iops" is:"iops" doc:"its IOPS; for gp3, io1 and io2"`
	RootVolumeThroughput int    `yaml:"root_volume_throughput" is:"throughput" doc:"its throughput in MiB/s; for gp3"`
	Encrypt              bool   `yaml:"encrypt" is:"yesno" default:"false" doc:"encrypt the builder's volumes, and so the image, from the launch on"`
	KMSKey               string `yaml:"kms_key" is:"kmskey" doc:"KMS key for that, and turns it on; the account's default key when left out"`
	MetadataHopLimit     int    `yaml:"metadata_hop_limit" is:"hops" doc:"how many hops the builder's metadata answers go; containers in it need 2"`
	MetadataTags         bool   `yaml:"metadata_tags" is:"yesno" default:"false" doc:"let the builder read its tags from its metadata"`
}

// App is one application: which roles carry it, and where its builds are.
type App struct {
	Roles   []string `yaml:"roles" is:"chefname" doc:"roles whose images pull this app; an image has one app at most"`
	Bucket  string   `yaml:"bucket" is:"bucket" doc:"S3 bucket of its builds"`
	Channel string   `yaml:"channel" is:"channel" default:"production" doc:"channel that instances follow; the instance tag bakehouse:channel wins"`
	Root    string   `yaml:"root" is:"remotepath" doc:"folder on the instance; releases/ and current live in it"`
	Owner   string   `yaml:"owner" is:"user" default:"root" doc:"user that the app runs as and that may read its releases"`
	Unit    string   `yaml:"unit" is:"unit" doc:"systemd unit that the agent starts"`
	Keep    int      `yaml:"keep" is:"keep" default:"3" doc:"releases kept on the instance's disk"`
	Health  Health   `yaml:"health"`

	HookTimeout   time.Duration `yaml:"hook_timeout" is:"duration" default:"60s" doc:"time for each hook that a release brings"`
	KeepMiB       int           `yaml:"keep_mib" is:"mib" doc:"MiB that all kept releases may take together, but for the live and the last good one; no limit when left out"`
	SignKey       string        `yaml:"sign_key" is:"path" doc:"private key (Ed25519, PEM) that deployctl signs builds and channels with; env:NAME and kms:KEY name one elsewhere"`
	PublicKeys    []string      `yaml:"public_keys" is:"publickey" doc:"keys that instances trust, baked into the image; deployctl keygen prints one"`
	AllowUnsigned bool          `yaml:"allow_unsigned" is:"yesno" default:"false" doc:"let instances run builds that no trusted key has signed"`

	Command        []string          `yaml:"command" is:"argument" doc:"program, absolute or below the release, and its arguments: the agent renders the unit from it, hardened, in the place of one that Chef brings"`
	Environment    map[string]string `yaml:"environment" is:"envvar" doc:"environment of the app in a rendered unit; no secrets"`
	Credentials    map[string]string `yaml:"credentials" is:"credential" doc:"files that systemd hands to the app in $CREDENTIALS_DIRECTORY (LoadCredential)"`
	Listen         []string          `yaml:"listen" is:"listen" one:"yes" doc:"addresses that systemd holds open for the app over its restarts (socket activation), so that a deploy refuses no connection"`
	ReadWritePaths []string          `yaml:"read_write_paths" is:"remotepath" doc:"what the app may write to beside its shared folder"`
	MemoryMiB      int               `yaml:"memory_mib" is:"mib" doc:"memory that the app may use, in MiB; no limit when left out"`
	Tasks          int               `yaml:"tasks" is:"tasks" doc:"processes and threads that the app may have; systemd's default when left out"`
	Notify         bool              `yaml:"notify" is:"yesno" default:"false" doc:"the app tells systemd when it is up (Type=notify)"`
}

// Health says when a started app counts as up: when every check that is set
// passes. With none set the unit must be active.
type Health struct {
	URL     string        `yaml:"url" is:"url" doc:"answers with a 2xx status when the app is up; asked on the instance itself"`
	TCP     string        `yaml:"tcp" is:"hostport" doc:"takes connections when the app is up"`
	Command string        `yaml:"command" is:"command" doc:"ends with 0 when the app is up; run by sh as the app's owner, in the release"`
	Hold    time.Duration `yaml:"hold" is:"duration" doc:"time that the checks must go on passing without a break"`
	Timeout time.Duration `yaml:"timeout" is:"duration" default:"60s" doc:"time to become healthy"`
}

// Find returns where a tool looks when no file is named: ./bakehouse.yaml.
func Find() string { return "bakehouse.yaml" }

// Load reads the file at path. A missing file is an error only if mustExist;
// otherwise it gives the zero Config. Relative paths in the file are taken
// from the file's folder, "~/" from the home folder. Errors are fault.Usage, one line each.
func Load(path string, mustExist bool) (Config, error) {
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !mustExist:
		return Config{}, nil
	case errors.Is(err, fs.ErrNotExist):
		return Config{}, fault.Newf(fault.Usage, "create it or name another one with --config", "reading configuration: there is no %s", path)
	case err != nil:
		return Config{}, fault.New(fault.Usage, "", fmt.Errorf("reading configuration: %w", err))
	}
	c := Config{File: path, Where: map[string]string{}}
	if err := parse(path, b, &c); err != nil {
		return Config{}, fmt.Errorf("reading configuration: %w", err)
	}
	paths := append([]*string{&c.Chef.ClientKey, &c.Chef.CAFile}, c.Bake.paths()...)
	for name, role := range c.Roles {
		if err := resolveAll(path, role.Bake.paths()); err != nil {
			return Config{}, err
		}
		c.Roles[name] = role
	}
	paths = append(paths, &c.Reaper.State, &c.Reaper.Saves, &c.Reaper.StatusFile)
	if err := resolveAll(path, paths); err != nil {
		return Config{}, err
	}
	for name, app := range c.Apps {
		if !strings.HasPrefix(app.SignKey, "env:") && !strings.HasPrefix(app.SignKey, "kms:") {
			app.SignKey, err = resolve(filepath.Dir(path), app.SignKey)
		}
		if err != nil {
			return Config{}, err
		}
		c.Apps[name] = app
	}
	return c, nil
}

// paths are the settings that name files.
func (b *Bake) paths() []*string {
	return []*string{&b.ChefRepo, &b.AgentBinary, &b.ChefPackage, &b.Attributes, &b.BastionKey, &b.BastionKnownHosts}
}

// resolveAll resolves paths that stand in file.
func resolveAll(file string, paths []*string) (err error) {
	for _, p := range paths {
		if *p, err = resolve(filepath.Dir(file), *p); err != nil {
			return err
		}
	}
	return nil
}

// resolve makes a path of the file independent of the working directory.
func resolve(dir, p string) (string, error) {
	rest, home := strings.CutPrefix(p, "~/")
	switch {
	case p == "" || filepath.IsAbs(p) || strings.Contains(p, "://"):
		return p, nil
	case home:
		h, err := os.UserHomeDir()
		if err != nil {
			return "", fault.New(fault.Usage, "write the path in full", fmt.Errorf("resolving %s: %w", p, err))
		}
		return filepath.Join(h, rest), nil
	}
	return filepath.Join(dir, p), nil
}
