package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/events"
	"bakehouse/reap"
)

// world is what the commands work on.
type world struct {
	reaper   *reap.Reaper
	restorer reap.Restorer
	events   *events.Queue // nil: no queue
}

// deps is what the commands need from the process; tests bring their own.
type deps struct {
	cliapp.Process
	config func(path string, mustExist bool) (config.Config, error)
	world  func(context.Context, options) (world, error)
	now    func() time.Time
}

func newApp(d deps) *cli.App {
	return &cli.App{
		Name:  "chef-reaper",
		Usage: "remove the Chef nodes and clients of EC2 instances that are gone",
		Description: "A node goes only when EC2 calls its instance terminated, or has not shown it for a whole grace.\n" +
			"Everything removed is saved first; undo puts it back. Without a command: plan.\n" +
			"When the breaker trips, or a listing is not to be trusted, nothing is deleted and the exit code is 4.",
		Flags:    planFlags(),
		Action:   func(c *cli.Context) error { return startPlan(c, d) },
		Commands: []*cli.Command{planCommand(d), runCommand(d), explainCommand(d), undoCommand(d)},
	}
}

// flags are the ones that all commands have.
func flags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringSliceFlag{Name: "region", Usage: "read this `REGION`, repeatable (reaper.regions, AWS_REGION, region)"},
		&cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
		&cli.StringFlag{Name: "chef-server", EnvVars: []string{"CHEF_SERVER_URL"}, Usage: "`URL` of the Chef server, with its organisation (chef.server_url)"},
		&cli.StringFlag{Name: "chef-client", EnvVars: []string{"CHEF_CLIENT_NAME"}, Usage: "`NAME` to sign as; a user with the right to delete nodes and clients (chef.client_name)"},
		&cli.StringFlag{Name: "chef-key", EnvVars: []string{"CHEF_CLIENT_KEY"}, Usage: "`FILE` with its private key (chef.client_key)"},
		&cli.StringFlag{Name: "chef-ca-file", Usage: "PEM `FILE` that the Chef server's certificate is checked by (chef.ca_file)"},
		&cli.StringFlag{Name: "state", EnvVars: []string{"BAKEHOUSE_REAPER_STATE"}, Usage: "keep ledger and lease in `PLACE`: s3://BUCKET/PREFIX or a folder (reaper.state; default: $XDG_STATE_HOME/bakehouse/reaper)"},
		&cli.StringFlag{Name: "saves", EnvVars: []string{"BAKEHOUSE_REAPER_SAVES"}, Usage: "save what is removed in `PLACE` (reaper.saves; default: the state's)"},
		cliapp.ConfigFlag(),
		cliapp.OutputFlag(),
	}, limitFlags()...)
}

func limitFlags() []cli.Flag {
	const group = "limits"
	return []cli.Flag{
		&cli.DurationFlag{Category: group, Name: "min-age", Value: reap.DefaultMinAge, Usage: "touch nothing that was launched or converged within `DURATION` (reaper.min_age)"},
		&cli.DurationFlag{Category: group, Name: "grace", Value: reap.DefaultGrace, Usage: "an instance that EC2 does not show counts as gone after `DURATION` (reaper.grace)"},
		&cli.IntFlag{Category: group, Name: "max-deletions", Value: reap.DefaultMaxDeletions, Usage: "delete nothing if it were more than `N` (reaper.max_deletions)"},
		&cli.IntFlag{Category: group, Name: "max-percent", Value: reap.DefaultMaxPercent, Usage: "the same in `PERCENT` of our nodes; up to 3 are free of it (reaper.max_percent)"},
		&cli.IntFlag{Category: group, Name: "min-live", Value: reap.DefaultMinLive, Usage: "delete nothing with fewer than `N` live nodes (reaper.min_live)"},
	}
}
