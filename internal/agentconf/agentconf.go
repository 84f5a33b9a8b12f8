// Package agentconf is the noun that the baker writes into an image and the
// boot-agent reads there: what the image is, and what its instances do at
// first boot. It holds no secret; only where to fetch one.
package agentconf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Where the baker puts the agent and its files in an image.
const (
	BinaryPath = "/usr/local/bin/boot-agent"
	ConfigPath = "/etc/bakehouse/agent.json"
	// EnvPath is a systemd EnvironmentFile for the agent: proxies, endpoints.
	EnvPath  = "/etc/bakehouse/agent.env"
	StateDir = "/var/lib/bakehouse"
)

// Duration is a time.Duration that reads and writes as text ("90s") in JSON.
type Duration time.Duration

// MarshalText writes the duration as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// The values of Chef.OnFailure.
const (
	OnFailureFail     = "fail"
	OnFailureContinue = "continue"
)

// Config is the whole of agent.json.
type Config struct {
	Role        string  `json:"role"`
	Environment string  `json:"environment,omitempty"` // Chef environment; the instance tag bakehouse:environment wins
	BakeID      string  `json:"bake_id"`               // ULID of the bake that made the image
	Region      string  `json:"region,omitempty"`      // empty: the instance's own region, from IMDS
	Chef        Chef    `json:"chef"`
	Leave       Leave   `json:"leave,omitzero"`
	Metrics     Metrics `json:"metrics,omitzero"`
	Group       Group   `json:"group,omitzero"`
	App         *App    `json:"app,omitempty"` // nil: the image has no app to pull
	// Attributes are normal attributes that every instance's node starts with.
	Attributes map[string]any `json:"attributes,omitempty"`
}

// Chef says how an instance becomes a node.
type Chef struct {
	ServerURL        string `json:"server_url"`
	CAFile           string `json:"ca_file,omitempty"` // PEM; empty: the system's roots
	ValidationClient string `json:"validation_client"` // for example chef-validator
	// ValidatorKey names where the validator's private key is fetched at boot:
	// ssm:/parameter/name, secretsmanager:name-or-arn, or file:/run/path (tmpfs only).
	ValidatorKey string `json:"validator_key,omitempty"`
	// BrokerURL names the broker that registers instances without a secret; it
	// wins over ValidatorKey. https only.
	BrokerURL  string   `json:"broker_url,omitempty"`
	NodePrefix string   `json:"node_prefix,omitempty"` // node name = prefix + instance id
	RunList    []string `json:"run_list,omitempty"`    // usually ["role[web]"]; empty with a policy
	// PolicyName and PolicyGroup name a policy (Policyfile) instead of a run list.
	PolicyName  string `json:"policy_name,omitempty"`
	PolicyGroup string `json:"policy_group,omitempty"`
	// Tags are the Chef tags that every instance's node starts with.
	Tags []string `json:"tags,omitempty"`
	// RegisterWithin bounds the attempts to register with a server that does not
	// answer or answers 5xx or 429; 0 means 10m. Where a launch hook waits, what
	// Group.LaunchWithin leaves bounds them, too.
	RegisterWithin Duration `json:"register_within,omitzero"`
	Attempts       int      `json:"attempts,omitzero"` // converge attempts before first boot fails; 0 means 3
	Timeout        Duration `json:"timeout,omitzero"`  // of one converge; 0 means 30m
	// OnFailure says what a converge that failed for good means: OnFailureFail
	// (also when empty) ends first boot, OnFailureContinue goes on to the app.
	OnFailure string `json:"on_failure,omitempty"`
}

// Group says which lifecycle hooks of its Auto Scaling group the instance
// answers; the group itself is named by the instance's tags in its metadata.
type Group struct {
	LaunchHook    string   `json:"launch_hook,omitempty"`    // answered with the outcome of first boot
	LaunchWithin  Duration `json:"launch_within,omitzero"`   // time for first boot, kept up by heartbeats; 0 means 30m
	TerminateHook string   `json:"terminate_hook,omitempty"` // answered once the instance has left
	// SignalStack tells the CloudFormation stack in the instance's tags of the
	// outcome of first boot.
	SignalStack bool `json:"signal_stack,omitempty"`
}

// Metrics says what is counted where, beside the journal.
type Metrics struct {
	// EMF is the CloudWatch namespace under which lines in the embedded metric
	// format go to standard output, and so to the journal and its agent; empty: none.
	EMF string `json:"emf,omitempty"`
}

// The values of Leave.OnRebalance.
const (
	OnRebalanceNote  = "note"
	OnRebalanceLeave = "leave"
)

// Leave says how an instance goes when its end is announced.
type Leave struct {
	Drain        string   `json:"drain,omitempty"`        // program run before the app is stopped; absolute path
	DrainTimeout Duration `json:"drain_timeout,omitzero"` // of that program; 0 means 1m, less when the notice leaves less
	// OnRebalance says what a rebalance recommendation alone means:
	// OnRebalanceNote (also when empty) or OnRebalanceLeave.
	OnRebalance string `json:"on_rebalance,omitempty"`
	// AtPoweroff deregisters at every power-off (not reboot); the instance
	// registers again should it be started again.
	AtPoweroff bool `json:"at_poweroff,omitempty"`
}

// App says what the agent pulls and starts.
type App struct {
	Name    string `json:"name"`            // for example web
	Bucket  string `json:"bucket"`          // S3 bucket of builds
	Channel string `json:"channel"`         // for example production; the instance tag bakehouse:channel wins
	Root    string `json:"root"`            // for example /srv/web; releases/, current and shared/ live below
	Owner   string `json:"owner,omitempty"` // user that may read the release; empty: root
	Unit    string `json:"unit"`            // systemd unit, for example web.service
	Keep    int    `json:"keep,omitzero"`   // releases kept on disk; 0 means 3
	Health  Health `json:"health,omitzero"`
	// Service, when set, has the agent render Unit; else the Chef run brings it.
	Service *Service `json:"service,omitempty"`

	HookTimeout   Duration `json:"hook_timeout,omitzero"`    // of each hook of a release; 0 means 60s
	KeepBytes     int64    `json:"keep_bytes,omitempty"`     // of all releases together; 0: no limit
	PublicKeys    []string `json:"public_keys,omitempty"`    // ed25519:BASE64; whose manifests and channels are trusted
	AllowUnsigned bool     `json:"allow_unsigned,omitempty"` // what nobody in PublicKeys has signed is taken, too
}

// Service is what the agent renders the app's unit from: the rest of it is
// hardening, the same for every app.
type Service struct {
	Command        []string          `json:"command"`                    // program, absolute or below the release, and its arguments
	Environment    map[string]string `json:"environment,omitempty"`      // no secrets: every user may read a unit
	Credentials    map[string]string `json:"credentials,omitempty"`      // name to file; the app finds it below $CREDENTIALS_DIRECTORY
	Listen         []string          `json:"listen,omitempty"`           // PORT, ADDRESS:PORT or /PATH that systemd holds open over restarts
	ReadWritePaths []string          `json:"read_write_paths,omitempty"` // beside the app's shared directory
	MemoryMiB      int               `json:"memory_mib,omitempty"`       // 0: no limit
	Tasks          int               `json:"tasks,omitempty"`            // processes and threads; 0: systemd's default
	Notify         bool              `json:"notify,omitempty"`           // the app tells systemd when it is up (Type=notify)
}

// Health says when a started app counts as up: when every check that is set
// passes, and goes on passing for Hold. With none set systemd is asked whether
// the unit is active, which for a unit of Type=notify means that the app itself
// has said so.
type Health struct {
	URL     string   `json:"url,omitempty"`     // HTTP 2xx means healthy
	TCP     string   `json:"tcp,omitempty"`     // HOST:PORT that takes connections
	Command string   `json:"command,omitempty"` // run by sh as the app's owner in the release; 0 means healthy
	Hold    Duration `json:"hold,omitzero"`     // how long the checks must go on passing
	Timeout Duration `json:"timeout,omitzero"`  // 0 means 60s
}

// Parse reads agent.json strictly: an unknown key is an error.
func Parse(b []byte) (Config, error) {
	var c Config
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return Config{}, fmt.Errorf("parsing agent configuration: %w", err)
	}
	return c, nil
}

// Load reads and parses the file at path.
func Load(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading agent configuration: %w", err)
	}
	return Parse(b)
}

// Marshal renders c as indented JSON with a final newline.
func (c Config) Marshal() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering agent configuration: %w", err)
	}
	return append(b, '\n'), nil
}
