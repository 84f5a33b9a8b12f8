package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"bakehouse/internal/fault"
)

func load(t *testing.T, text string) (Config, string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bakehouse.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, true)
	return c, path, err
}

const whole = `# everything there is
region: eu-west-1
chef:
  server_url: https://chef.example.com/organizations/acme
  client_name: admin
  client_key: keys/admin.pem
  ca_file: /etc/ssl/chef.pem
  validation_client: acme-validator
  validator_key: ssm:/bakehouse/chef/validator
  broker_url: https://broker.example.com
  environment: prod
bake:
  base: ami-0123456789abcdef0
  instance_type: [t3.small, t3a.small]
  subnet:
    - subnet-0123456789abcdef0
    - tag:tier=build-*
  security_group: sg-0123456789abcdef0
  address: private
  ssh_user: ubuntu
  root_volume_gb: 16
  chef_package: https://files.example.com/cinc_18.deb
  chef_package_sha256: 0000000000000000000000000000000000000000000000000000000000000abc
  chef_mode: local
  chef_repo: .
  tags: {cost-center: 4711, team: "web = shop"}
  expire_after: 3h
  timeout: 90m
  agent_binary: bin/boot-agent
  instance_profile: builder
  attributes: web.json
  transport: ssm
  bastion: jump@bastion.example.com
  bastion_key: keys/jump
  bastion_known_hosts: keys/known_hosts
  spot: true
  arch: arm64
  root_volume_type: gp3
  root_volume_iops: 4000
  root_volume_throughput: 250
  encrypt: true
  kms_key: alias/images
  metadata_hop_limit: 2
  metadata_tags: true
  tenancy: dedicated
  capacity_reservation: cr-0123456789abcdef0
agent:
  environment:
    HTTPS_PROXY: http://proxy.example.com:3128
    EMPTY:
  node_prefix: web-
  tags: [blue, "team:shop"]
  register_within: 5m
  on_failure: continue
  drain: /usr/local/bin/drain
  launch_hook: ready
  launch_within: 20m
  terminate_hook: bye
  signal_stack: true
  emf: Bakehouse
  drain_timeout: 30s
  on_rebalance: leave
  leave_at_poweroff: true
  attempts: 5
  timeout: 20m
apps:
  web:
    roles: [web, web-canary]
    bucket: bakehouse-builds
    channel: production
    root: /srv/web
    owner: web
    unit: web.service
    keep: 4
    health:
      url: http://127.0.0.1:8080/healthz
      timeout: 45s
      tcp: 127.0.0.1:8080
      command: test -e ready
      hold: 3s
    keep_mib: 2048
    hook_timeout: 20s
    sign_key: keys/web.pem
    public_keys: ["ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="]
    allow_unsigned: true
    command: [web, -name, "a b"]
    environment: {GREETING: hello}
    credentials: {db: /run/secrets/db}
    listen: [8080, "127.0.0.1:8081"]
    read_write_paths: [/var/cache/web]
    memory_mib: 256
    tasks: 100
    notify: true
prove:
  instance_profile: web
  channel: staging
  timeout: 5m
checks:
  web:
    commands: [nginx -t]
    files: [/srv/web/current]
    ports: [80, 8080]
    urls: ["http://127.0.0.1/healthz"]
    timeout: 10s
image:
  name: "{role} {date} {inputs}"
  description: Shop front, {role}
  deprecate_after: 90d
  protect: true
  copy_to: {eu-central-1: , us-west-2: alias/images}
  share_with: ["111122223333"]
  publish_ssm: /ami/web/current
  publish_launch_template: web
  deprecate_predecessors: 30d
  inventory: s3://acme-images/inventories
roles:
  web:
    bake:
      timeout: 1h
      chef_repo: repo
    agent: {attempts: 2}
` + reaperSample

func TestLoadReadsEveryKey(t *testing.T) {
	t.Parallel()
	got, path, err := load(t, whole)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	if at := got.Where["bake.instance_type"]; at != path+":14:18" {
		t.Errorf("bake.instance_type stands at %q", at)
	}
	got.Where = nil
	want := Config{
		Region: "eu-west-1", File: path,
		Roles: map[string]Role{"web": {Bake: Bake{Timeout: time.Hour, ChefRepo: filepath.Join(dir, "repo")}, Agent: Agent{Attempts: 2}}},
		Chef: Chef{"https://chef.example.com/organizations/acme", "admin", filepath.Join(dir, "keys/admin.pem"), "/etc/ssl/chef.pem",
			"acme-validator", "ssm:/bakehouse/chef/validator", "https://broker.example.com", "prod"},
		Bake: Bake{Base: "ami-0123456789abcdef0", InstanceType: []string{"t3.small", "t3a.small"},
			Subnet: []string{"subnet-0123456789abcdef0", "tag:tier=build-*"}, SecurityGroup: "sg-0123456789abcdef0",
			Address: "private", SSHUser: "ubuntu", RootVolumeGB: 16, ChefPackage: "https://files.example.com/cinc_18.deb",
			ChefPackageSHA256: strings.Repeat("0", 61) + "abc", ChefMode: "local", ChefRepo: dir,
			Tags:        map[string]string{"cost-center": "4711", "team": "web = shop"},
			ExpireAfter: 3 * time.Hour, Timeout: 90 * time.Minute, AgentBinary: filepath.Join(dir, "bin/boot-agent"), InstanceProfile: "builder",
			Attributes: filepath.Join(dir, "web.json"),
			Bastion:    "jump@bastion.example.com", Transport: "ssm", BastionKey: filepath.Join(dir, "keys/jump"), BastionKnownHosts: filepath.Join(dir, "keys/known_hosts"),
			Spot: true, Arch: "arm64", RootVolumeType: "gp3", RootVolumeIOPS: 4000, RootVolumeThroughput: 250, Encrypt: true,
			KMSKey: "alias/images", MetadataHopLimit: 2, MetadataTags: true, Tenancy: "dedicated", CapacityReservation: "cr-0123456789abcdef0"},
		Agent: Agent{Environment: map[string]string{"HTTPS_PROXY": "http://proxy.example.com:3128", "EMPTY": ""}, NodePrefix: "web-", Tags: []string{"blue", "team:shop"}, RegisterWithin: 5 * time.Minute, Attempts: 5, Timeout: 20 * time.Minute, OnFailure: "continue",
			Drain: "/usr/local/bin/drain", DrainTimeout: 30 * time.Second, OnRebalance: "leave", LeaveAtPoweroff: true,
			LaunchHook: "ready", LaunchWithin: 20 * time.Minute, TerminateHook: "bye", SignalStack: true, EMF: "Bakehouse"},
		Apps: map[string]App{"web": {Roles: []string{"web", "web-canary"}, Bucket: "bakehouse-builds", Channel: "production", Root: "/srv/web", Owner: "web",
			Unit: "web.service", Keep: 4, Health: Health{URL: "http://127.0.0.1:8080/healthz", Timeout: 45 * time.Second, TCP: "127.0.0.1:8080", Command: "test -e ready", Hold: 3 * time.Second},
			KeepMiB: 2048, HookTimeout: 20 * time.Second, SignKey: filepath.Join(dir, "keys/web.pem"), PublicKeys: []string{"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}, AllowUnsigned: true,
			Command: []string{"web", "-name", "a b"}, Environment: map[string]string{"GREETING": "hello"}, Credentials: map[string]string{"db": "/run/secrets/db"},
			Listen: []string{"8080", "127.0.0.1:8081"}, ReadWritePaths: []string{"/var/cache/web"}, MemoryMiB: 256, Tasks: 100, Notify: true}},
		Prove: Prove{InstanceProfile: "web", Channel: "staging", Timeout: 5 * time.Minute},
		Checks: map[string]Checks{"web": {Commands: []string{"nginx -t"}, Files: []string{"/srv/web/current"}, Ports: []string{"80", "8080"},
			URLs: []string{"http://127.0.0.1/healthz"}, Timeout: 10 * time.Second}},
		Image: Image{Name: "{role} {date} {inputs}", Description: "Shop front, {role}", DeprecateAfter: "90d", Protect: true,
			PublishSSM: []string{"/ami/web/current"}, PublishLaunchTemplate: "web", DeprecatePredecessors: "30d", Inventory: "s3://acme-images/inventories",
			CopyTo: map[string]string{"eu-central-1": "", "us-west-2": "alias/images"}, ShareWith: []string{"111122223333"}},
		Reaper: reaperWanted(dir),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, k := range Describe() { // the test would not notice a key that it lacks
		if key := last(k.Path); !strings.Contains(whole, key+":") {
			t.Errorf("the sample lacks %s", k.Path)
		}
	}
}

func TestLoadOfLittle(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"empty": "", "comments": "# nothing\n", "empty sections": "chef:\nbake: {}\napps:\n", "no value": "region:\nbake:\n  timeout:\n", "marker": "---\n"} {
		if c, _, err := load(t, text); err != nil || c.Region != "" || c.Bake.Timeout != 0 {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	if c, _, err := load(t, "chef: {client_key: ~/admin.pem}\n"); err != nil || c.Chef.ClientKey != filepath.Join(home, "admin.pem") {
		t.Errorf("home: %q, %v", c.Chef.ClientKey, err)
	}
}

func TestLoadOfNoFile(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), Find())
	if c, err := Load(missing, false); err != nil || !reflect.DeepEqual(c, Config{}) {
		t.Errorf("optional: %+v, %v", c, err)
	}
	if _, err := Load(missing, true); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "there is no "+missing) {
		t.Errorf("required: %v", err)
	}
	if _, err := Load(t.TempDir(), true); fault.KindOf(err) != fault.Usage {
		t.Errorf("a folder: %v", err)
	}
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, text, want string }{
		{"typo", "bake:\n  instancetype: t3.small\n", `:2:3: unknown key "instancetype" in bake, did you mean "instance_type"?`},
		{"typo at the top", "regoin: eu-west-1\n", `:1:1: unknown key "regoin" at the top level, did you mean "region"?`},
		{"typo in an app", "apps:\n  web:\n    health:\n      uri: http://x\n", `:4:7: unknown key "uri" in apps.web.health, did you mean "url"?`},
		{"wrong section", "bucket: b\n", `:1:1: unknown key "bucket" at the top level, it belongs in apps.NAME`},
		{"nonsense", "bake:\n  colour: red\n", `:2:3: unknown key "colour" in bake`},
		{"hidden field", "File: x\n", `:1:1: unknown key "File" at the top level`},
		{"dash", "\"-\": x\n", `:1:1: unknown key "-" at the top level`},
		{"twice", "region: eu-west-1\nregion: eu-west-2\n", `:2:1: `},
		{"not YAML", "chef:\n  server_url: [\n", `:2:`},
		{"tab", "chef:\n\tserver_url: x\n", `:2:1: found character TAB (indent with spaces)`},
		{"not a mapping", "- a\n", `:1:1: the file: expected a section, got a list`},
		{"text for a section", "chef: yes\n", `:1:7: chef: expected a section, got a single value`},
		{"section for text", "region:\n  a: b\n", `region: expected AWS region, got a section`},
		{"list for text", "region: [a]\n", `:1:9: region: expected AWS region, got a list`},
		{"text for a list", "apps:\n  web:\n    roles: web\n", `:3:12: apps.web.roles: expected a list, got a single value`},
		{"anchor", "region: &r eu-west-1\n", `got a YAML anchor`},
		{"merge", "chef:\n  <<: {client_name: x}\n", `:2:3: merge keys are not supported`},
		{"two documents", "region: eu-west-1\n---\nregion: eu-west-2\n", `a second YAML document`},
		{"region", "region: Frankfurt\n", `:1:9: region: expected AWS region, got "Frankfurt"`},
		{"duration", "bake:\n  timeout: 90\n", `:2:12: bake.timeout: expected duration such as 90s or 2h, got "90"`},
		{"negative duration", "bake: {timeout: -1h}\n", `bake.timeout: expected duration such as 90s or 2h, got "-1h"`},
		{"enum", "bake:\n  address: pubic\n", `:2:12: bake.address: expected auto, public or private, got "pubic", did you mean "public"?`},
		{"enum, far off", "bake:\n  chef_mode: elsewhere\n", `bake.chef_mode: expected server or local, got "elsewhere"`},
		{"number", "agent:\n  attempts: many\n", `:2:13: agent.attempts: expected number from 1 to 20, got "many"`},
		{"number too large", "bake: {root_volume_gb: 99999}\n", `expected number from 1 to 16384, got "99999"`},
		{"port", "chef: {server_url: 'https://chef:99999'}\n", `:1:20: chef.server_url: expected http(s) URL, got "https://chef:99999"`},
		{"scheme", "chef: {server_url: chef.example.com}\n", `expected http(s) URL`},
		{"credentials in a URL", "chef: {server_url: 'https://u:p@chef'}\n", `expected http(s) URL, got "https://xxxxx@chef"`},
		{"secret in the file", "chef: {validator_key: '-----BEGIN RSA PRIVATE KEY----- MIIEowIBAAKCAQEA'}\n", `chef.validator_key: expected ssm:/NAME, secretsmanager:NAME or file:/PATH, got "-----BEGIN R…"`},
		{"digest", "bake: {chef_package_sha256: abc}\n", `expected 64 hex digits, got "abc"`},
		{"package", "bake: {chef_package: cinc.rpm}\n", `expected path or URL of a .deb, got "cinc.rpm"`},
		{"app name", "apps:\n  Web Shop: {}\n", `:2:3: apps: expected app name, got "Web Shop"`},
		{"remote path", "apps: {web: {root: srv/web}}\n", `apps.web.root: expected absolute path, got "srv/web"`},
		{"element of a list", "apps:\n  web:\n    roles:\n      - web\n      - a b\n", `:5:9: apps.web.roles[1]: expected Chef name, got "a b"`},
		{"tag of ours", "bake:\n  tags:\n    bakehouse:bake-id: x\n", `:3:5: bake.tags: expected KEY: VALUE, no prefix aws: or bakehouse:, got "bakehouse:bake-id: x"`},
		{"variable", "agent:\n  environment:\n    2X: x\n", `:3:5: agent.environment: expected VARIABLE: VALUE, got "2X: x"`},
		{"port of a check", "checks:\n  web:\n    ports: [99999]\n", `:3:13: checks.web.ports[0]: expected TCP port, got "99999"`},
		{"file of a check", "checks:\n  web:\n    files: [etc/x]\n", `checks.web.files[0]: expected absolute path`},
		{"command of a check", "checks:\n  web:\n    commands: ['']\n", `checks.web.commands[0]: expected shell command`},
		{"profile of the proof", "prove: {instance_profile: 'a b'}\n", `prove.instance_profile: expected instance profile`},
		{"image name", "image: {name: 'web:1'}\n", `image.name: expected image name, got "web:1"`},
		{"description", "image: {description: ''}\n", `image.description: expected text of one line`},
		{"age", "image: {deprecate_after: soon}\n", `image.deprecate_after: expected age such as 90d or 36h, got "soon"`},
		{"list as a variable", "agent:\n  environment:\n    X: [a]\n", `:3:8: agent.environment.X: expected text, got a list`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, path, err := load(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "reading configuration: "+path+":") {
				t.Fatalf("error %q\nwant it to hold %q", err, c.want)
			}
			if fault.KindOf(err) != fault.Usage || strings.ContainsAny(err.Error()+fault.NextOf(err), "\n") {
				t.Errorf("kind %v, want one line of kind Usage: %q, next %q", fault.KindOf(err), err, fault.NextOf(err))
			}
		})
	}
}

func TestDescribeIsComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	kinds := checks()
	for _, k := range Describe() {
		if k.Path == "" || k.Type == "" || k.Doc == "" || seen[k.Path] || strings.ContainsAny(k.Type+k.Doc+k.Default, "|\n") {
			t.Errorf("key %+v is not described, there twice, or breaks a table", k)
		}
		seen[k.Path] = true
	}
	for _, path := range []string{"region", "bake.tags", "agent.environment", "apps.NAME.health.timeout"} {
		if !seen[path] {
			t.Errorf("%s is missing", path)
		}
	}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			c, known := kinds[f.Tag.Get("is")]
			def := f.Tag.Get("default")
			switch {
			case f.Type.Kind() == reflect.Struct:
				walk(f.Type)
			case f.Tag.Get("yaml") != "-" && !known:
				t.Errorf("%s: there is no check %q", f.Name, f.Tag.Get("is"))
			case def != "" && c.bad(def):
				t.Errorf("%s: the default %q does not pass its own check", f.Name, def)
			}
			if f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.Struct {
				walk(f.Type.Elem())
			}
		}
	}
	walk(reflect.TypeFor[Config]())
}
