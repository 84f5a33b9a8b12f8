package main

import (
	"crypto/x509"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/agent/broker"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// options are the settings of one run.
type options struct {
	policy       broker.Policy
	limits       broker.Limits
	state        string
	region       string
	chef         chefOptions
	accountRoles map[string]string // account → ARN of the role to take there
	accounts     []string          // all accounts of policy.Roles
}

type chefOptions struct{ server, client, key, ca string }

// optionsOf reads and checks the flags; nothing is asked of anybody.
func optionsOf(c *cli.Context) (options, error) {
	if _, err := cliapp.OutputOf(c); err != nil {
		return options{}, err
	}
	o := options{state: c.String("state"), region: c.String("region"),
		chef:   chefOptions{c.String("chef-server"), c.String("chef-client"), c.String("chef-key"), c.String("chef-ca-file")},
		limits: broker.Limits{PerSecond: c.Float64("rate"), Burst: c.Int("burst"), Timeout: c.Duration("timeout")},
		policy: broker.Policy{Audience: c.String("audience"), Roles: c.StringSlice("role"), Prefixes: c.StringSlice("node-prefix"),
			MaxAge: c.Duration("max-age"), Unsigned: c.Bool("unsigned-documents"), Again: c.Bool("again"), Certificates: map[string][]*x509.Certificate{}}}
	if len(o.policy.Prefixes) == 0 {
		o.policy.Prefixes = []string{""}
	}
	for _, check := range []func(*cli.Context) error{o.missing, o.readLimits, o.readEndpoints, o.readAccounts, o.readCertificates} {
		if err := check(c); err != nil {
			return o, err
		}
	}
	return o, nil
}

// missing names the first setting without which there is no broker.
func (o *options) missing(*cli.Context) error {
	for _, f := range []struct{ flag, value string }{
		{"audience", o.policy.Audience}, {"role", strings.Join(o.policy.Roles, "")}, {"state", o.state},
		{"chef-server", o.chef.server}, {"chef-client", o.chef.client}, {"chef-key", o.chef.key},
	} {
		if f.value == "" {
			return cliapp.Usagef("--%s is needed", f.flag)
		}
	}
	return nil
}

func (o *options) readLimits(*cli.Context) error {
	switch {
	case o.limits.PerSecond <= 0 || o.limits.Burst < 1:
		return cliapp.Usagef("--rate and --burst must be above 0")
	case o.limits.Timeout <= 0:
		return cliapp.Usagef("--timeout must be above 0")
	case o.policy.MaxAge <= 0:
		return cliapp.Usagef("--max-age must be above 0")
	}
	return nil
}

// readEndpoints takes an audience and endpoints that are URLs of a host alone.
func (o *options) readEndpoints(c *cli.Context) error {
	if u, err := url.Parse(o.policy.Audience); err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return cliapp.Usagef("--audience %q is not an https URL", o.policy.Audience)
	}
	o.policy.Audience = strings.TrimRight(o.policy.Audience, "/")
	for _, e := range c.StringSlice("sts-endpoint") {
		u, err := url.Parse(e)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
			return cliapp.Usagef("--sts-endpoint %q is not scheme://HOST[:PORT]", e)
		}
		o.policy.Endpoints = append(o.policy.Endpoints, u.Scheme+"://"+u.Host)
	}
	return nil
}

func (o *options) readAccounts(c *cli.Context) error {
	o.accountRoles = map[string]string{}
	for _, r := range o.policy.Roles {
		account, _, _ := strings.Cut(r, ":")
		if !regexp.MustCompile(`^[0-9]{12}:[\w+=,.@-]{1,64}$`).MatchString(r) {
			return cliapp.Usagef("--role %q is not ACCOUNT:ROLE", r)
		}
		if !slices.Contains(o.accounts, account) {
			o.accounts = append(o.accounts, account)
		}
	}
	for _, p := range o.policy.Prefixes {
		if !regexp.MustCompile(`^[A-Za-z0-9_.:-]*$`).MatchString(p) {
			return cliapp.Usagef("--node-prefix %q has characters that Chef refuses", p)
		}
	}
	for _, r := range c.StringSlice("account-role") {
		account, arn, _ := strings.Cut(r, "=")
		if !slices.Contains(o.accounts, account) || !strings.HasPrefix(arn, "arn:") {
			return cliapp.Usagef("--account-role %q is not ACCOUNT=ARN of an account in --role", r)
		}
		o.accountRoles[account] = arn
	}
	return nil
}

func (o *options) readCertificates(c *cli.Context) error {
	for _, pair := range c.StringSlice("certificate") {
		region, file, ok := strings.Cut(pair, "=")
		if !ok || region == "" || file == "" {
			return cliapp.Usagef("--certificate %q is not REGION=FILE", pair)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return fault.Newf(fault.Usage, "correct --certificate", "reading the certificate of %s: %w", region, err)
		}
		certificates, err := broker.ParseCertificates(b)
		if err != nil {
			return fault.Newf(fault.Usage, "correct --certificate", "%s: %w", file, err)
		}
		o.policy.Certificates[region] = append(o.policy.Certificates[region], certificates...)
	}
	if len(o.policy.Certificates) == 0 && !o.policy.Unsigned {
		return cliapp.Usagef("--certificate is needed, or --unsigned-documents")
	}
	return nil
}
