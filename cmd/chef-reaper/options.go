package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
	"bakehouse/reap"
)

// options are the settings of one call: flag, then environment, then file.
type options struct {
	profile  string
	regions  []string
	accounts map[string]config.ReaperAccount
	chef     config.Chef
	state    string
	saves    string
	queue    string
	status   string
	policy   reap.Policy
	output   cliapp.Output
}

func (d deps) optionsOf(c *cli.Context) (options, error) {
	output, err := cliapp.OutputOf(c)
	if err != nil {
		return options{}, err
	}
	path, given := c.String("config"), true
	if path == "" {
		path, given = config.Find(), false
	}
	f, err := d.config(path, given)
	if err != nil {
		return options{}, err
	}
	o := options{output: output, profile: c.String("profile"), accounts: f.Reaper.Accounts, regions: d.regionsOf(c, f),
		chef: config.Chef{ServerURL: cliapp.String(c, "chef-server", f.Chef.ServerURL), ClientName: cliapp.String(c, "chef-client", f.Chef.ClientName),
			ClientKey: cliapp.String(c, "chef-key", f.Chef.ClientKey), CAFile: cliapp.String(c, "chef-ca-file", f.Chef.CAFile)},
		state: cliapp.String(c, "state", f.Reaper.State), queue: cliapp.String(c, "queue", f.Reaper.Queue), status: cliapp.String(c, "status-file", f.Reaper.StatusFile)}
	if o.state == "" {
		if o.state, err = d.stateDir(); err != nil {
			return options{}, err
		}
	}
	if o.saves = cliapp.String(c, "saves", f.Reaper.Saves); o.saves == "" {
		o.saves = o.state
	}
	for _, p := range [][2]string{{"--state", o.state}, {"--saves", o.saves}} {
		if err := config.PlaceError(p[1]); err != nil {
			return options{}, cliapp.Usagef("%s: %v", p[0], err)
		}
	}
	o.policy, err = policyOf(c, f)
	return o, err
}

// regionsOf: the flag, then the file's list; AWS_REGION, which is the usual one
// region of a shell, does not hide that list.
func (d deps) regionsOf(c *cli.Context, f config.Config) []string {
	regions := c.StringSlice("region")
	for _, more := range [][]string{f.Reaper.Regions, {d.Getenv("AWS_REGION")}, {d.Getenv("AWS_DEFAULT_REGION")}, {f.Region}} {
		if len(regions) == 0 && len(more) > 0 && more[0] != "" {
			regions = more
		}
	}
	regions = slices.Sorted(slices.Values(regions))
	return slices.Compact(regions)
}

func policyOf(c *cli.Context, f config.Config) (reap.Policy, error) {
	r := f.Reaper
	p := reap.Policy{
		MinAge: durationOf(c, "min-age", r.MinAge), Grace: durationOf(c, "grace", r.Grace),
		MaxDeletions: intOf(c, "max-deletions", r.MaxDeletions), MaxPercent: intOf(c, "max-percent", r.MaxPercent),
		MinLive: c.Int("min-live"), Ohai: r.Ohai == "believe", NodePrefix: f.Agent.NodePrefix,
		Self: cliapp.String(c, "chef-client", f.Chef.ClientName),
	}
	if n, err := strconv.Atoi(r.MinLive); err == nil && !c.IsSet("min-live") {
		p.MinLive = n
	}
	if r.NamePattern != "" {
		re, err := regexp.Compile(r.NamePattern)
		if err != nil {
			return p, cliapp.Usagef("reaper.name_pattern: %v", err)
		}
		p.NamePattern = re
	}
	return p, p.Check()
}

func durationOf(c *cli.Context, flag string, fromFile time.Duration) time.Duration {
	if c.IsSet(flag) || fromFile == 0 {
		return c.Duration(flag)
	}
	return fromFile
}

func intOf(c *cli.Context, flag string, fromFile int) int {
	if c.IsSet(flag) || fromFile == 0 {
		return c.Int(flag)
	}
	return fromFile
}

// stateDir is $XDG_STATE_HOME/bakehouse/reaper
// (https://specifications.freedesktop.org/basedir-spec/latest/).
func (d deps) stateDir() (string, error) {
	if dir := d.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bakehouse", "reaper"), nil
	}
	if home := d.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "bakehouse", "reaper"), nil
	}
	return "", fault.New(fault.Usage, "give --state, or reaper.state in bakehouse.yaml", fmt.Errorf("finding a place for the ledger: neither XDG_STATE_HOME nor HOME is set"))
}
