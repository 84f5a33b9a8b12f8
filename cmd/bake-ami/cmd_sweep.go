package main

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/ami"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// sweepOptions is what one run of sweep or abort was asked for.
type sweepOptions struct {
	regions  []string
	home     string // region to connect in; empty: the SDK's own default
	profile  string
	chef     chefapi.Config // Key is empty when there is no key file
	keyFile  string
	noChef   bool
	stateDir string
	bake     string // abort: the bake
	dryRun   bool
	output   cliapp.Output
}

func sweepCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "sweep",
		Usage: "remove what dead bakes left behind",
		Description: "Removes instances, unfinished images, snapshots, volumes, security groups, and Chef nodes and clients\n" +
			"that carry a bake's tags (or its name, on the Chef server) and are past their expiry, or that belong to a\n" +
			"bake whose journal is on this machine and whose process is dead. Finished images carry no expiry and are\n" +
			"never touched, nor is anything without our tags.",
		Flags:  sweepFlags(),
		Action: func(c *cli.Context) error { return d.sweep(c) },
	}
}

func abortCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "abort",
		Usage:     "remove the unfinished work of one bake, whether it is dead or runs elsewhere",
		ArgsUsage: "BAKE-ID",
		Description: "Removes what sweep would remove of the bake once it is expired. A bake that runs on this machine is\n" +
			"asked to end first (SIGTERM), and undoes its own work.",
		Flags:  sweepFlags(),
		Action: func(c *cli.Context) error { return d.sweep(c, "BAKE-ID") },
	}
}

func sweepFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "region", Usage: "look into `REGION`, repeatable (default: AWS_REGION, or region of bakehouse.yaml; regions of journals on this machine are added)"},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be removed, and why, and remove nothing"},
		&cli.BoolFlag{Name: "no-chef", Usage: "leave the Chef server alone"},
		&cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
		&cli.StringFlag{Name: "chef-server", EnvVars: []string{"CHEF_SERVER_URL"}, Usage: "`URL` of the Chef server, with its organisation (chef.server_url)"},
		&cli.StringFlag{Name: "chef-client", EnvVars: []string{"CHEF_CLIENT_NAME"}, Usage: "`NAME` to sign as (chef.client_name)"},
		&cli.StringFlag{Name: "chef-key", EnvVars: []string{"CHEF_CLIENT_KEY"}, Usage: "`FILE` with the private key of --chef-client (chef.client_key)"},
		&cli.StringFlag{Name: "chef-ca-file", Usage: "PEM `FILE` that the Chef server's certificate is checked by (chef.ca_file)"},
		&cli.StringFlag{Name: "state-dir", EnvVars: []string{"BAKEHOUSE_STATE_DIR"}, Usage: "journals of bakes are in `DIR` (default: $XDG_STATE_HOME/bakehouse)"},
		cliapp.ConfigFlag(),
		cliapp.OutputFlag(),
	}
}

// readSweep merges flags, environment and bakehouse.yaml.
func (d deps) readSweep(c *cli.Context, arguments ...string) (o sweepOptions, err error) {
	args, err := cliapp.Arguments(c, arguments...)
	if err != nil {
		return o, err
	}
	if len(args) == 1 {
		if o.bake = args[0]; !bake.IsBakeID(o.bake) {
			return o, cliapp.Usagef("%q is no bake id: 26 capital letters and digits, as in the tag %s", o.bake, ami.TagBakeID)
		}
	}
	if o.output, err = cliapp.OutputOf(c); err != nil {
		return o, err
	}
	file, err := d.readFile(c)
	if err != nil {
		return o, err
	}
	o.regions = c.StringSlice("region")
	if region := cmp.Or(d.Getenv("AWS_REGION"), d.Getenv("AWS_DEFAULT_REGION"), file.Region); len(o.regions) == 0 && region != "" {
		o.regions = []string{region}
	}
	o.profile, o.noChef, o.dryRun = c.String("profile"), c.Bool("no-chef"), c.Bool("dry-run")
	o.chef = chefapi.Config{ServerURL: cliapp.String(c, "chef-server", file.Chef.ServerURL), ClientName: cliapp.String(c, "chef-client", file.Chef.ClientName),
		CAFile: cliapp.String(c, "chef-ca-file", file.Chef.CAFile), Timeout: chefTimeout}
	o.keyFile = cliapp.String(c, "chef-key", file.Chef.ClientKey)
	if o.stateDir = c.String("state-dir"); o.stateDir == "" {
		o.stateDir = d.defaultState()
	}
	if o.home, err = bake.JournalRegion(o.stateDir, o.bake); err != nil {
		return o, err
	}
	if len(o.regions) > 0 {
		o.home = o.regions[0]
	}
	if !o.noChef && (o.chef.ServerURL == "" || o.chef.ClientName == "" || o.keyFile == "") {
		return o, fault.Newf(fault.Usage, "set chef.server_url, chef.client_name and chef.client_key in bakehouse.yaml, or leave the Chef server out: --no-chef",
			"connecting to the Chef server: its URL, a client name and its key are needed")
	}
	return o, nil
}

// sweep is the command sweep, and, with a bake id as argument, abort.
func (d deps) sweep(c *cli.Context, arguments ...string) error {
	o, err := d.readSweep(c, arguments...)
	if err != nil {
		return err
	}
	s, err := d.sweeper(c, o)
	if err != nil {
		return err
	}
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	s.Reporter, s.StateDir = reporter, o.stateDir
	if o.bake != "" && !o.dryRun {
		if err := s.EndProcess(c.Context, o.bake); err != nil {
			return err
		}
	}
	plan, err := planSweep(c, s, o)
	if err != nil {
		return err
	}
	result := sweepResult{SweepPlan: plan, DryRun: o.dryRun}
	if !o.dryRun && !plan.Empty() {
		result.Leftover, err = s.Apply(c.Context, plan)
	}
	reporter.Close()
	return firstOf(err, d.print(o.output, result, result.Text()))
}

func planSweep(c *cli.Context, s bake.Sweeper, o sweepOptions) (bake.SweepPlan, error) {
	if o.bake != "" {
		return s.PlanAbort(c.Context, o.regions, o.bake)
	}
	return s.Plan(c.Context, o.regions)
}

// sweepResult is what sweep and abort print as JSON.
type sweepResult struct {
	bake.SweepPlan
	DryRun   bool            `json:"dry_run"`
	Leftover []bake.Leftover `json:"leftover,omitempty"`
}

// connectSweep makes the clients of a sweep.
func connectSweep(c *cli.Context, o sweepOptions) (s bake.Sweeper, err error) {
	cfg, err := awscfg.Load(c.Context, awscfg.Options{Region: o.home, Profile: o.profile, UserAgent: "bakehouse-bake-ami/" + cliapp.Version()})
	if err == nil {
		err = awscfg.Check(c.Context, cfg)
	}
	if err != nil {
		return s, err
	}
	s = bake.Sweeper{Clock: clock{}, EC2: regional(cfg)}
	if o.noChef {
		return s, nil
	}
	s.Chef, err = chefapi.Open(o.chef, o.keyFile)
	return s, err
}

// regional makes EC2 clients, one a call: they share cfg's connections.
func regional(cfg aws.Config) func(region string) bake.SweepEC2 {
	return func(region string) bake.SweepEC2 {
		return ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.Region = region })
	}
}
