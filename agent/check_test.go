package agent

import (
	"strings"
	"testing"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

func TestEveryBadValueIsRefusedInOneLine(t *testing.T) {
	t.Parallel()
	type spoil = func(*agentconf.Config)
	for want, f := range map[string]spoil{
		"chef.server_url":         func(c *agentconf.Config) { c.Chef.ServerURL = "chef.test" },
		"http://u:p@chef.test":    func(c *agentconf.Config) { c.Chef.ServerURL = "http://u:p@chef.test" },
		"chef.node_prefix":        func(c *agentconf.Config) { c.Chef.NodePrefix = "a/b" },
		"environment":             func(c *agentconf.Config) { c.Environment = "a b" },
		"belong together":         func(c *agentconf.Config) { c.Chef.PolicyName = "web" },
		"exclude each other":      func(c *agentconf.Config) { c.Chef.PolicyName, c.Chef.PolicyGroup = "web", "prod" },
		`policy_group "a b"`:      func(c *agentconf.Config) { c.Chef.RunList, c.Chef.PolicyName, c.Chef.PolicyGroup = nil, "web", "a b" },
		"run_list is empty":       func(c *agentconf.Config) { c.Chef.RunList = nil },
		"empty entry":             func(c *agentconf.Config) { c.Chef.RunList = []string{""} },
		"chef.ca_file":            func(c *agentconf.Config) { c.Chef.CAFile = "ca.pem" },
		"chef.on_failure":         func(c *agentconf.Config) { c.Chef.OnFailure = "ignore" },
		"chef.attempts":           func(c *agentconf.Config) { c.Chef.Attempts = 21 },
		"chef.attempts -1":        func(c *agentconf.Config) { c.Chef.Attempts = -1 },
		"chef.broker_url":         func(c *agentconf.Config) { c.Chef.BrokerURL = "http://broker.test" },
		"chef.validation_client":  func(c *agentconf.Config) { c.Chef.ValidationClient = "" },
		"chef.validator_key":      func(c *agentconf.Config) { c.Chef.ValidatorKey = "/etc/chef/validation.pem" },
		"chef.register_within":    func(c *agentconf.Config) { c.Chef.RegisterWithin = -1 },
		"chef.timeout":            func(c *agentconf.Config) { c.Chef.Timeout = agentconf.Duration(-time.Second) },
		"group.launch_within":     func(c *agentconf.Config) { c.Group.LaunchWithin = -1 },
		"group.launch_hook":       func(c *agentconf.Config) { c.Group.LaunchHook = "a b" },
		"group.terminate_hook":    func(c *agentconf.Config) { c.Group.TerminateHook = "a b" },
		"leave.drain_timeout":     func(c *agentconf.Config) { c.Leave.DrainTimeout = -1 },
		"leave.drain \"drain\"":   func(c *agentconf.Config) { c.Leave.Drain = "drain" },
		"leave.on_rebalance":      func(c *agentconf.Config) { c.Leave.OnRebalance = "panic" },
		"app.name":                func(c *agentconf.Config) { c.App.Name = "" },
		"app.bucket":              func(c *agentconf.Config) { c.App.Bucket = "a b" },
		"app.channel":             func(c *agentconf.Config) { c.App.Channel = "" },
		"app.unit":                func(c *agentconf.Config) { c.App.Unit = "" },
		"app.root":                func(c *agentconf.Config) { c.App.Root = "/" },
		"app.keep":                func(c *agentconf.Config) { c.App.Keep = -1 },
		"keep_bytes":              func(c *agentconf.Config) { c.App.KeepBytes = -1 },
		"app.public_keys is":      func(c *agentconf.Config) { c.App.PublicKeys = nil },
		"app.public_keys:":        func(c *agentconf.Config) { c.App.PublicKeys = []string{"rsa:x"} },
		"app.hook_timeout":        func(c *agentconf.Config) { c.App.HookTimeout = -1 },
		"app.health.hold":         func(c *agentconf.Config) { c.App.Health.Hold = -1 },
		"app.health.timeout":      func(c *agentconf.Config) { c.App.Health.Timeout = -1 },
		"app.health.url":          func(c *agentconf.Config) { c.App.Health.URL = "localhost:80" },
		"app.health.tcp":          func(c *agentconf.Config) { c.App.Health.TCP = "localhost" },
		"app.health.tcp \"h:0\"":  func(c *agentconf.Config) { c.App.Health.TCP = "h:0" },
		"metrics.emf":             func(c *agentconf.Config) { c.Metrics.EMF = "a b" },
		"metrics.emf \"AWS/EC2\"": func(c *agentconf.Config) { c.Metrics.EMF = "AWS/EC2" },
	} {
		w := newWorld(t)
		f(&w.conf)
		_, err := New(w.conf, Deps{})
		if fault.KindOf(err) != fault.Usage || fault.NextOf(err) == "" || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error is %v", want, err)
		}
	}
	if _, err := New(newWorld(t).conf, Deps{}); err != nil {
		t.Errorf("a good configuration: %v", err)
	}
}

func TestABrokerNeedsNoValidator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.BrokerURL, w.conf.Chef.ValidatorKey, w.conf.Chef.ValidationClient = "https://broker.test:8443", "", ""
	if _, err := New(w.conf, Deps{}); err != nil {
		t.Error(err)
	}
}

func TestAPolicyReachesTheNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.Chef.RunList, w.conf.Chef.PolicyName, w.conf.Chef.PolicyGroup = nil, "web", "prod"
	w.boot()
	if n := w.chef.nodes["web-"+testInstance]; n.PolicyName != "web" || n.PolicyGroup != "prod" || len(n.RunList) > 0 {
		t.Errorf("node is %+v", n)
	}
}

// TestTheNodeIsBornWithAllThatMarksIt checks what other tools find a node by.
func TestTheNodeIsBornWithAllThatMarksIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trace = func(p Point) error {
		if p != NodeCreated {
			return nil
		}
		n := w.chef.nodes["web-"+testInstance]
		have, _ := n.Normal[markerKey].(map[string]any)
		for k, want := range map[string]any{"instance_id": testInstance, "account": "123456789012", "region": "eu-west-1", "zone": "eu-west-1a",
			"group": "web-asg", "role": "web", "image_id": "ami-1", "bake_id": "01BAKE"} {
			if have[k] != want {
				t.Errorf("marker %s is %v, want %v", k, have[k], want)
			}
		}
		if n.Environment != "prod" || len(n.RunList) != 1 || n.RunList[0] != "role[web]" {
			t.Errorf("node is %+v", n)
		}
		return nil
	}
	w.boot()
}
