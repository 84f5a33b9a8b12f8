package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/ui"
)

// hostOptions says where hosts are looked for, and which are wanted.
type hostOptions struct {
	common
	wish       deploy.Wish
	chef       config.Chef
	public     bool
	allowEmpty bool
}

func hostFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "role", EnvVars: []string{"BAKEHOUSE_ROLE"}, Usage: "hosts whose Chef node has `ROLE` (default: apps.NAME.roles of the configuration, when it is one)"},
		&cli.StringFlag{Name: "environment", Aliases: []string{"E"}, EnvVars: []string{"CHEF_ENVIRONMENT"}, Usage: "hosts whose node is in Chef environment `NAME` (default: chef.environment of the configuration, else any)"},
		&cli.StringFlag{Name: "query", Usage: "hosts that a Chef `SEARCH` finds, too, for example 'tags:blue'"},
		&cli.StringSliceFlag{Name: "hosts", Usage: "these `HOSTS` alone: node names, instance ids or addresses, comma separated"},
		&cli.StringFlag{Name: "zone", Usage: "hosts in availability `ZONE` alone"},
		&cli.IntFlag{Name: "limit", Usage: "at most `N` hosts, the first by zone and instance id", DefaultText: "all of them"},
		&cli.BoolFlag{Name: "public", Usage: "reach hosts by their public address instead of the private one"},
		&cli.BoolFlag{Name: "allow-empty", Usage: "no host to choose is no error"},
	}, chefFlags()...)
}

// chefFlags say which Chef server, and as whom.
func chefFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "chef-server", EnvVars: []string{"CHEF_SERVER_URL"}, Usage: "Chef server `URL` (default: chef.server_url of the configuration)"},
		&cli.StringFlag{Name: "chef-client", EnvVars: []string{"CHEF_CLIENT_NAME"}, Usage: "client or user `NAME` to sign as (default: chef.client_name)"},
		&cli.StringFlag{Name: "chef-key", EnvVars: []string{"CHEF_CLIENT_KEY"}, Usage: "its private key in `FILE` (default: chef.client_key)"},
	}
}

// chefOf reads chefFlags.
func chefOf(c *cli.Context, file config.Chef) config.Chef {
	file.ServerURL = cliapp.String(c, "chef-server", file.ServerURL)
	file.ClientName = cliapp.String(c, "chef-client", file.ClientName)
	file.ClientKey = cliapp.String(c, "chef-key", file.ClientKey)
	return file
}

// hostsOf reads hostFlags.
func (d deps) hostsOf(c *cli.Context, o common) (hostOptions, error) {
	h := hostOptions{common: o, chef: chefOf(c, o.chef), public: c.Bool("public"), allowEmpty: c.Bool("allow-empty")}
	h.wish = deploy.Wish{Role: c.String("role"), Environment: cliapp.String(c, "environment", o.chef.Environment),
		Query: c.String("query"), Only: c.StringSlice("hosts"), Zone: c.String("zone"), Limit: c.Int("limit")}
	// A script's empty variable must not mean the whole fleet.
	if c.IsSet("limit") && h.wish.Limit < 1 {
		return h, cliapp.Usagef("--limit %d: want 1 or more; without --limit it is all hosts", h.wish.Limit)
	}
	for flag, value := range map[string]string{"zone": h.wish.Zone, "query": h.wish.Query, "hosts": strings.Trim(strings.Join(h.wish.Only, ""), " ")} {
		if c.IsSet(flag) && value == "" {
			return h, cliapp.Usagef("--%s is empty: leave it out for all hosts", flag)
		}
	}
	if h.wish.Role == "" && len(o.file.Roles) == 1 {
		h.wish.Role = o.file.Roles[0]
	}
	if h.wish.Role == "" && h.wish.Query == "" && len(h.wish.Only) == 0 && c.String("resume") == "" { // a rollout knows its own
		return h, cliapp.Usagef("which hosts? give --role, --query or --hosts, or one role in apps.%s.roles", o.app)
	}
	return h, nil
}

func hostsCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "hosts",
		Usage: "print the hosts that a rollout would reach, and why each other node is left out",
		Description: "Hosts are Chef nodes of the role (and environment, and query) whose EC2 instance runs and, in an Auto Scaling group, is InService.\n" +
			"Chef's list of nodes counts, not its search: what the search does not show is fetched, and the counts are compared. No host ends with code 4.",
		Flags: append(commonFlags(""), hostFlags()...),
		Action: func(c *cli.Context) error {
			if _, err := cliapp.Arguments(c); err != nil {
				return err
			}
			o, err := d.commonOf(c)
			if err != nil {
				return err
			}
			h, err := d.hostsOf(c, o)
			if err != nil {
				return err
			}
			return runHosts(c.Context, d, h)
		},
	}
}

func runHosts(ctx context.Context, d deps, o hostOptions) error {
	lister, err := d.lister(ctx, o)
	if err != nil {
		return err
	}
	s, err := lister.Choose(ctx, o.wish)
	if err != nil {
		return err
	}
	if o.output == cliapp.JSON {
		err = printJSON(d.Stdout, s)
	} else {
		err = ui.Table(d.Stdout, hostRows(s))
	}
	if err == nil && !(o.allowEmpty && len(s.Hosts) == 0 && len(o.wish.Only) == 0) {
		err = s.Refuse()
	}
	return err
}

func hostRows(s deploy.Selection) [][]string {
	rows := [][]string{{"HOST", "NODE", "ADDRESS", "ZONE", "GROUP", "CHOSEN"}}
	for _, h := range s.Hosts {
		rows = append(rows, []string{h.Instance, h.Node, h.Addr, h.Zone, dash(h.Group), "yes"})
	}
	for _, x := range s.Excluded {
		rows = append(rows, []string{dash(x.Instance), x.Node, "-", "-", "-", "no: " + x.Reason})
	}
	return append(rows, []string{fmt.Sprintf("%d chosen, %d left out; Chef: %s", len(s.Hosts), len(s.Excluded), s.Coverage)})
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// connectLister makes the clients that choosing hosts needs.
func connectLister(ctx context.Context, o hostOptions) (deploy.Lister, error) {
	server, err := chefapi.Open(chefapi.Config{ServerURL: strings.TrimSpace(o.chef.ServerURL), ClientName: o.chef.ClientName, CAFile: o.chef.CAFile}, o.chef.ClientKey)
	if err != nil {
		return deploy.Lister{}, err
	}
	cfg, err := awscfg.Load(ctx, o.aws)
	if err != nil {
		return deploy.Lister{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return deploy.Lister{}, err
	}
	return deploy.Lister{Chef: server, EC2: describeInstances(ec2.NewFromConfig(cfg).DescribeInstances), AutoScaling: autoscaling.NewFromConfig(cfg), Public: o.public}, nil
}
