package main

import (
	"errors"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
)

// rolloutOptions is the command line of rollout.
type rolloutOptions struct {
	hostOptions
	build    string // id or its first digits; empty: what is live
	strategy deploy.Strategy
	login    loginOptions
	resume   string // id of a rollout to go on with
	abort    bool   // with resume: go back instead

	engineGiven bool // on the command line or in the environment
	dryRun      bool
	junit       string // file
	html        string // file
	gates       gateOptions
	webhook     *deploy.Webhook // nil: nobody is told
}

// loginOptions says how hosts are logged in to.
type loginOptions struct {
	engine     string // ssh, ssm, refresh or pull
	aws        awscfg.Options
	user       string
	key        string // file; empty: the SSH agent
	port       int
	knownHosts []string // files; none: the keys that Chef's nodes hold

	jump           string // USER@HOST[:PORT] that connections go through; empty: straight
	jumpKey        string // file; empty: key
	jumpKnownHosts string // file; empty: ~/.ssh/known_hosts
}

func rolloutFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "canary", Value: "1", Usage: "`AMOUNT` of hosts that go first, 3 or 5%; one failure there stops; 0: none"},
		&cli.StringFlag{Name: "wave", Value: "25%", Usage: "`AMOUNT` of hosts in each wave after it"},
		&cli.BoolFlag{Name: "per-zone", Usage: "no wave spans two availability zones"},
		&cli.StringFlag{Name: "max-unhealthy", Value: "0", Usage: "`AMOUNT` of failed hosts that does not stop the rollout"},
		&cli.DurationFlag{Name: "pause", Usage: "`TIME` between two waves", DefaultText: "none"},
		&cli.IntFlag{Name: "parallel", Value: 50, Usage: "at most `N` hosts at a time"},
		&cli.DurationFlag{Name: "host-timeout", Value: 5 * time.Minute, Usage: "`TIME` that one host has, a second try included"},
		&cli.BoolFlag{Name: "no-rollback", Usage: "when too many hosts fail, stop and leave channel and hosts as they are"},
		&cli.StringSliceFlag{Name: "target-group", Usage: "take each host out of load balancer target `GROUP` (name or ARN) while it deploys; may be given several times"},
		&cli.DurationFlag{Name: "drain", Value: time.Minute, Usage: "with --target-group: `TIME` that a host's connections have to end"},
		&cli.DurationFlag{Name: "healthy-within", Value: 2 * time.Minute, Usage: "with --target-group: `TIME` in which the load balancer must find a host healthy again"},
		&cli.StringFlag{Name: "resume", Usage: "go on with rollout `ID`, as it was planned"},
		&cli.BoolFlag{Name: "abort", Usage: "with --resume: stop that rollout and go back"},
		&cli.BoolFlag{Name: "dry-run", Usage: "print the waves and change nothing"},
		&cli.StringFlag{Name: "engine", Value: "ssh", EnvVars: []string{"BAKEHOUSE_ENGINE"}, Usage: "reach hosts by `ENGINE`: ssh, ssm (Run Command: no port, no key), refresh (replace the instances of their Auto Scaling groups), or pull (boot-agent follow on the hosts takes the waves by itself)"},
		&cli.DurationFlag{Name: "claim-within", Value: 3 * time.Minute, Usage: "with --engine pull: `TIME` in which a host whose turn it is must take it"},
		&cli.DurationFlag{Name: "deadline", Usage: "with --engine pull: `TIME` for the whole rollout", DefaultText: "as long as it may take at worst"},
		&cli.StringFlag{Name: "ssm-target", Usage: "with --engine ssm: after the canary, one command for all instances with `tag:NAME=VALUE`, spread by SSM itself (--parallel and --max-unhealthy are its limits)"},
		&cli.StringFlag{Name: "launch-template-version", Usage: "with --engine refresh: move the groups to `VERSION` of their launch template (default: the one that they have)"},
		&cli.StringFlag{Name: "ssh-user", Value: "ubuntu", EnvVars: []string{"BAKEHOUSE_SSH_USER"}, Usage: "log in to hosts as `USER`, who may sudo"},
		&cli.StringFlag{Name: "ssh-key", EnvVars: []string{"BAKEHOUSE_SSH_KEY"}, Usage: "with the private key in `FILE` (default: the SSH agent's keys)"},
		&cli.IntFlag{Name: "ssh-port", Value: 22, Usage: "on `PORT`"},
		&cli.StringSliceFlag{Name: "known-hosts", EnvVars: []string{"BAKEHOUSE_KNOWN_HOSTS"}, Usage: "trust the host keys and @cert-authority lines in `FILE` alone (default: the keys that Ohai saved in each Chef node)"},
		&cli.StringFlag{Name: "jump", EnvVars: []string{"BAKEHOUSE_SSH_JUMP"}, Usage: "reach hosts through `USER@HOST[:PORT]`"},
		&cli.StringFlag{Name: "jump-key", Usage: "private key `FILE` for the jump host (default: that of --ssh-key, else the SSH agent's keys)"},
		&cli.StringFlag{Name: "jump-known-hosts", Usage: "known_hosts `FILE` with the jump host's key (default: ~/.ssh/known_hosts)"},
		&cli.StringFlag{Name: "junit", Usage: "write a JUnit report to `FILE`"},
		&cli.StringFlag{Name: "html", Usage: "write a report as a page to `FILE`"},
	}
}

func rolloutCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "rollout",
		Usage:     "promote BUILD and have the hosts deploy it in waves; go back when they fail",
		ArgsUsage: "[BUILD]",
		Description: "Without BUILD: what is live on the channel. The hosts are those of deployctl hosts. On each, SSH runs sudo boot-agent deploy.\n" +
			"First the channel is promoted, so that hosts launched meanwhile boot with the build; those that appear during the rollout are the last wave.\n" +
			"When the canary fails, or more than --max-unhealthy hosts, the channel goes back and every touched host deploys again: code 4;\n" +
			"code 7 when that fails on some. One rollout a channel: the lease in the bucket names who has it. After Ctrl-C or a crash: --resume ID.\n" +
			"With --engine pull, boot-agent follow on the hosts takes the waves by itself, and this machine only watches: killed, it is not missed.\n" +
			"Host keys are never taken on trust: they come from --known-hosts, or from the Chef node, which only the host itself can write.",
		Flags: append(append(commonFlags("the `CHANNEL` to roll out (default: apps.NAME.channel of the configuration)"), hostFlags()...), append(append(rolloutFlags(), gateFlags()...), signKeyFlag())...),
		Action: func(c *cli.Context) error {
			o, err := d.rolloutOf(c)
			if err != nil {
				return err
			}
			return runRollout(c.Context, d, o)
		},
	}
}

// rolloutOf reads the command line of rollout.
func (d deps) rolloutOf(c *cli.Context) (o rolloutOptions, err error) {
	args, err := cliapp.Arguments(c, "[BUILD]")
	if err != nil {
		return o, err
	}
	base, err := d.signing(c)
	if err != nil {
		return o, err
	}
	if o.hostOptions, err = d.hostsOf(c, base); err != nil {
		return o, err
	}
	if o.channel == "" {
		o.channel = o.file.Channel
	}
	o.build, o.resume, o.dryRun, o.abort = args[0], c.String("resume"), c.Bool("dry-run"), c.Bool("abort")
	o.junit, o.html = c.String("junit"), c.String("html")
	o.login = loginOptions{engine: c.String("engine"), aws: o.aws, user: c.String("ssh-user"), key: c.String("ssh-key"), port: c.Int("ssh-port"), knownHosts: c.StringSlice("known-hosts"),
		jump: c.String("jump"), jumpKey: c.String("jump-key"), jumpKnownHosts: c.String("jump-known-hosts")}
	if err := o.check(); err != nil {
		return o, err
	}
	if o.gates, err = gatesOf(c); err != nil {
		return o, err
	}
	if o.webhook, err = d.webhookOf(c); err != nil {
		return o, err
	}
	if o.strategy, err = strategyOf(c); err != nil {
		return o, err
	}
	o.strategy.TemplateVersion = c.String("launch-template-version")
	o.engineGiven = c.IsSet("engine")
	if err := errors.Join(o.pullOf(c), o.tagOf(c)); err != nil {
		return o, err
	}
	return o, errors.Join(o.checkLogin(c), o.checkGroups(c))
}

// checkLogin refuses what is for SSH alone; flags that stand in the environment
// as well may be there for another rollout.
func (o rolloutOptions) checkLogin(c *cli.Context) error {
	for _, flag := range []string{"ssh-port", "jump-key", "jump-known-hosts"} {
		if c.IsSet(flag) && o.login.engine != "ssh" {
			return cliapp.Usagef("--%s is for --engine ssh", flag)
		}
	}
	return nil
}

// check refuses flags that do not go together.
func (o rolloutOptions) check() error {
	switch {
	case !slices.Contains([]string{"ssh", "ssm", "refresh", "pull"}, o.login.engine):
		return cliapp.Usagef("--engine %s: want ssh, ssm, refresh or pull", o.login.engine)
	case o.login.port < 1 || o.login.port > 65535:
		return cliapp.Usagef("--ssh-port %d: want 1 to 65535", o.login.port)
	case o.channel == "" && o.resume == "": // a rollout knows its own
		return cliapp.Usagef("no channel: give --channel, or apps.%s.channel in the configuration", o.app)
	case o.resume != "" && (o.build != "" || o.dryRun):
		return cliapp.Usagef("--resume goes on with what was planned: leave BUILD and --dry-run out")
	case o.abort && o.resume == "":
		return cliapp.Usagef("--abort: which rollout? give --resume ID")
	}
	return nil
}

// checkGroups refuses what an instance refresh cannot do.
func (o rolloutOptions) checkGroups(c *cli.Context) error {
	s := o.strategy
	switch {
	case o.login.engine != "refresh" && s.TemplateVersion != "":
		return cliapp.Usagef("--launch-template-version is for --engine refresh")
	case o.login.engine != "refresh":
		return nil
	case len(o.wish.Only) > 0 || o.wish.Limit > 0 || o.wish.Zone != "":
		return cliapp.Usagef("--engine refresh replaces whole groups: leave --hosts, --limit and --zone out")
	case len(s.TargetGroups) > 0:
		return cliapp.Usagef("--engine refresh: the group itself registers its instances: leave --target-group out")
	case s.PerZone:
		return cliapp.Usagef("--engine refresh: Auto Scaling chooses the order: leave --per-zone out")
	case c.IsSet("parallel") || c.IsSet("max-unhealthy") || c.IsSet("host-timeout"):
		return cliapp.Usagef("--engine refresh: the group's own health checks decide: leave --parallel, --max-unhealthy and --host-timeout out, and watch an --alarm")
	case c.IsSet("wave") && !s.Wave.Percent, c.IsSet("canary") && !s.Canary.Percent && s.Canary.N > 0:
		return cliapp.Usagef("--engine refresh: Auto Scaling counts in percent: give --wave and --canary as 25%%")
	case s.Wave.Percent && s.Wave.N == 0:
		return cliapp.Usagef("--wave 0%%: an instance refresh of no instances")
	}
	return nil
}

func strategyOf(c *cli.Context) (s deploy.Strategy, err error) {
	s = deploy.Strategy{PerZone: c.Bool("per-zone"), Pause: c.Duration("pause"), Parallel: c.Int("parallel"),
		HostTimeout: c.Duration("host-timeout"), NoRollback: c.Bool("no-rollback")}
	if s.TargetGroups = c.StringSlice("target-group"); len(s.TargetGroups) > 0 {
		s.Drain, s.Healthy = c.Duration("drain"), c.Duration("healthy-within")
	} else if c.IsSet("drain") || c.IsSet("healthy-within") {
		return s, cliapp.Usagef("--drain and --healthy-within are for a load balancer: give --target-group, too")
	}
	for name, into := range map[string]*deploy.Amount{"canary": &s.Canary, "wave": &s.Wave, "max-unhealthy": &s.MaxUnhealthy} {
		if *into, err = deploy.ParseAmount(c.String(name)); err != nil {
			return s, cliapp.Usagef("--%s: %v", name, err)
		}
	}
	if err := s.Check(); err != nil {
		return s, cliapp.Usagef("%v", err)
	}
	return s, nil
}
