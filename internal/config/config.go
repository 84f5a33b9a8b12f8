// Package config reads bakehouse.yaml, strictly: an unknown key, a wrong type
// or a value out of range is an error that names file, line and column.
package config

import (
	"errors"
	"time"
)

// Config is the whole of bakehouse.yaml. Every key may be left out.
type Config struct {
	Region string         `yaml:"region"`
	Chef   Chef           `yaml:"chef"`
	Bake   Bake           `yaml:"bake"`
	Agent  Agent          `yaml:"agent"`
	Apps   map[string]App `yaml:"apps"`

	File string `yaml:"-"` // the file it was read from; empty: none
}

// Chef says which Chef server, and as whom.
type Chef struct {
	ServerURL        string `yaml:"server_url"`
	ClientName       string `yaml:"client_name"`
	ClientKey        string `yaml:"client_key"` // path
	CAFile           string `yaml:"ca_file"`    // path
	ValidationClient string `yaml:"validation_client"`
	ValidatorKey     string `yaml:"validator_key"` // ssm:, secretsmanager: or file:
	Environment      string `yaml:"environment"`
}

// Bake says how images are made.
type Bake struct {
	Base              string            `yaml:"base"`
	InstanceType      string            `yaml:"instance_type"`
	Subnet            string            `yaml:"subnet"`
	SecurityGroup     string            `yaml:"security_group"`
	Address           string            `yaml:"address"` // auto, public, private
	SSHUser           string            `yaml:"ssh_user"`
	RootVolumeGB      int               `yaml:"root_volume_gb"`
	ChefPackage       string            `yaml:"chef_package"`
	ChefPackageSHA256 string            `yaml:"chef_package_sha256"`
	ChefMode          string            `yaml:"chef_mode"` // server, local
	ChefRepo          string            `yaml:"chef_repo"` // path
	Tags              map[string]string `yaml:"tags"`
	ExpireAfter       time.Duration     `yaml:"expire_after"`
	Timeout           time.Duration     `yaml:"timeout"`
	AgentBinary       string            `yaml:"agent_binary"` // path
	InstanceProfile   string            `yaml:"instance_profile"`
}

// Agent says what instances do at first boot.
type Agent struct {
	Environment map[string]string `yaml:"environment"`
	NodePrefix  string            `yaml:"node_prefix"`
	Attempts    int               `yaml:"attempts"`
	Timeout     time.Duration     `yaml:"timeout"`
}

// App is one application: which roles carry it, and where its builds are.
type App struct {
	Roles   []string `yaml:"roles"`
	Bucket  string   `yaml:"bucket"`
	Channel string   `yaml:"channel"`
	Root    string   `yaml:"root"`
	Owner   string   `yaml:"owner"`
	Unit    string   `yaml:"unit"`
	Keep    int      `yaml:"keep"`
	Health  Health   `yaml:"health"`
}

// Health says when a started app counts as up.
type Health struct {
	URL     string        `yaml:"url"`
	Timeout time.Duration `yaml:"timeout"`
}

// Key documents one key of the file.
type Key struct {
	Path    string // for example bake.instance_type or apps.NAME.bucket
	Type    string // string, path, int, duration, enum (a|b), list, map
	Default string // empty: none
	Doc     string // one sentence
}

// Load reads the file at path. A missing file is an error only if mustExist.
// Relative paths in it become relative to the file's folder; defaults are filled in.
func Load(path string, mustExist bool) (Config, error) { return Config{}, errors.ErrUnsupported }

// Find returns ./bakehouse.yaml.
func Find() string { return "bakehouse.yaml" }

// Describe lists every key, in the file's order.
func Describe() []Key { return nil }
