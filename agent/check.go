package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"bakehouse/internal/agentconf"
	"bakehouse/release"
)

// chefName is what a Chef server takes as the name of a node or client.
var chefName = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// check finds what is wrong with a configuration, before anything is done.
// Every error is one line that names the key of agent.json.
func check(c agentconf.Config) error {
	for _, part := range []func(agentconf.Config) error{checkChef, checkCredential, checkTimes, checkLeave, checkApp, checkMetrics} {
		if err := part(c); err != nil {
			return fmt.Errorf("reading agent configuration: %w", err)
		}
	}
	return nil
}

func checkChef(c agentconf.Config) error {
	s := c.Chef
	switch {
	case badHTTP(s.ServerURL, "http", "https"):
		return fmt.Errorf("chef.server_url %q is not an http(s) URL", s.ServerURL)
	case s.NodePrefix != "" && !chefName.MatchString(s.NodePrefix):
		return fmt.Errorf("chef.node_prefix %q has characters that Chef refuses", s.NodePrefix)
	case c.Environment != "" && !chefName.MatchString(c.Environment):
		return fmt.Errorf("environment %q has characters that Chef refuses", c.Environment)
	case (s.PolicyName == "") != (s.PolicyGroup == ""):
		return errors.New("chef.policy_name and chef.policy_group belong together")
	case s.PolicyName != "" && !(chefName.MatchString(s.PolicyName) && chefName.MatchString(s.PolicyGroup)):
		return fmt.Errorf("chef.policy_name %q or chef.policy_group %q has characters that Chef refuses", s.PolicyName, s.PolicyGroup)
	case s.PolicyName != "" && len(s.RunList) > 0:
		return errors.New("chef.run_list and chef.policy_name exclude each other")
	case s.PolicyName == "" && len(s.RunList) == 0:
		return errors.New("chef.run_list is empty")
	case slices.Contains(s.RunList, ""):
		return errors.New("chef.run_list has an empty entry")
	case slices.ContainsFunc(s.Tags, badTag):
		return fmt.Errorf("chef.tags %q has an empty one, or one with blanks or commas", s.Tags)
	case s.CAFile != "" && !plainPath(s.CAFile):
		return fmt.Errorf("chef.ca_file %q is not an absolute path", s.CAFile)
	case !slices.Contains([]string{"", agentconf.OnFailureFail, agentconf.OnFailureContinue}, s.OnFailure):
		return fmt.Errorf("chef.on_failure %q is neither %s nor %s", s.OnFailure, agentconf.OnFailureFail, agentconf.OnFailureContinue)
	case s.Attempts < 0 || s.Attempts > 20:
		return fmt.Errorf("chef.attempts %d is not a number from 1 to 20 (0 means 3)", s.Attempts)
	}
	return nil
}

// checkCredential wants one way to register: a broker, or a validator.
func checkCredential(c agentconf.Config) error {
	if c.Chef.BrokerURL != "" {
		if badHTTP(c.Chef.BrokerURL, "https") {
			return fmt.Errorf("chef.broker_url %q is not an https URL", c.Chef.BrokerURL)
		}
		return nil
	}
	if !chefName.MatchString(c.Chef.ValidationClient) {
		return fmt.Errorf("chef.validation_client %q is not the name of a client", c.Chef.ValidationClient)
	}
	if _, _, err := splitRef(c.Chef.ValidatorKey); err != nil {
		return fmt.Errorf("chef.validator_key: %w", err)
	}
	return nil
}

// checkTimes refuses negative times; 0 is each one's default.
func checkTimes(c agentconf.Config) error {
	times := []struct {
		key   string
		value agentconf.Duration
	}{
		{"chef.register_within", c.Chef.RegisterWithin}, {"chef.timeout", c.Chef.Timeout},
		{"group.launch_within", c.Group.LaunchWithin}, {"leave.drain_timeout", c.Leave.DrainTimeout},
	}
	if a := c.App; a != nil {
		times = append(times, []struct {
			key   string
			value agentconf.Duration
		}{{"app.hook_timeout", a.HookTimeout}, {"app.health.hold", a.Health.Hold}, {"app.health.timeout", a.Health.Timeout}}...)
	}
	for _, t := range times {
		if t.value < 0 {
			text, _ := t.value.MarshalText() // never fails
			return fmt.Errorf("%s %s is negative", t.key, text)
		}
	}
	return nil
}

func checkLeave(c agentconf.Config) error {
	hook := regexp.MustCompile(`^[A-Za-z0-9_/-]{1,255}$`)
	switch {
	case !slices.Contains([]string{"", agentconf.OnRebalanceNote, agentconf.OnRebalanceLeave}, c.Leave.OnRebalance):
		return fmt.Errorf("leave.on_rebalance %q is neither %s nor %s", c.Leave.OnRebalance, agentconf.OnRebalanceNote, agentconf.OnRebalanceLeave)
	case c.Leave.Drain != "" && !plainPath(c.Leave.Drain):
		return fmt.Errorf("leave.drain %q is not an absolute path", c.Leave.Drain)
	case c.Group.LaunchHook != "" && !hook.MatchString(c.Group.LaunchHook):
		return fmt.Errorf("group.launch_hook %q is not the name of a lifecycle hook", c.Group.LaunchHook)
	case c.Group.TerminateHook != "" && !hook.MatchString(c.Group.TerminateHook):
		return fmt.Errorf("group.terminate_hook %q is not the name of a lifecycle hook", c.Group.TerminateHook)
	}
	return nil
}

func checkApp(c agentconf.Config) error {
	a := c.App
	if a == nil {
		return nil
	}
	for _, f := range []struct{ key, value string }{
		{"name", a.Name}, {"bucket", a.Bucket}, {"channel", a.Channel}, {"root", a.Root}, {"unit", a.Unit},
	} {
		if f.value == "" {
			return fmt.Errorf("app.%s is empty", f.key)
		}
		if f.key != "root" && strings.ContainsFunc(f.value, func(r rune) bool { return r <= ' ' }) {
			return fmt.Errorf("app.%s %q has blanks", f.key, f.value)
		}
	}
	switch _, err := release.ParseKeyring(a.PublicKeys); {
	case err != nil:
		return fmt.Errorf("app.public_keys: %w", err)
	case len(a.PublicKeys) == 0 && !a.AllowUnsigned:
		return errors.New("app.public_keys is empty, and app.allow_unsigned is not set")
	case !plainPath(a.Root):
		return fmt.Errorf("app.root %q is not an absolute directory", a.Root)
	case a.Keep < 0 || a.KeepBytes < 0:
		return errors.New("app.keep and app.keep_bytes must not be negative")
	}
	if err := checkService(a); err != nil {
		return fmt.Errorf("app.%w", err)
	}
	return checkHealth(a.Health)
}

func checkHealth(h agentconf.Health) error {
	if h.URL != "" && badHTTP(h.URL, "http", "https") {
		return fmt.Errorf("app.health.url %q is not an http(s) URL", h.URL)
	}
	if h.TCP == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(h.TCP)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 1 || n > 65535 {
		return fmt.Errorf("app.health.tcp %q is not HOST:PORT", h.TCP)
	}
	return nil
}

// checkMetrics follows CloudWatch's rule for namespaces.
func checkMetrics(c agentconf.Config) error {
	if ns := c.Metrics.EMF; ns != "" && !regexp.MustCompile(`^[A-Za-z0-9._/#:-]{1,255}$`).MatchString(ns) || strings.HasPrefix(ns, "AWS/") {
		return fmt.Errorf("metrics.emf %q is not a CloudWatch namespace of yours", ns)
	}
	return nil
}

// badHTTP says that text is no URL of a host with one of the schemes.
func badHTTP(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err != nil || u.Hostname() == "" || u.User != nil || !slices.Contains(schemes, cmp.Or(u.Scheme, "none"))
}

// badTag says that knife could not name the tag on its command line.
func badTag(tag string) bool {
	return tag == "" || strings.ContainsFunc(tag, func(r rune) bool { return r <= ' ' || r == ',' })
}

// plainPath says that p is absolute, and not the root.
func plainPath(p string) bool { return path.IsAbs(p) && strings.Trim(p, "/") != "" }
