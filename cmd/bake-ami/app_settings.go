package main

import (
	"github.com/urfave/cli/v2"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// appFlags are about the app that the image's instances pull.
func appFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Category: "app", Name: "public-key", EnvVars: []string{"BAKEHOUSE_PUBLIC_KEYS"},
			Usage: "`KEY` whose signature instances trust, as deployctl keygen prints it; repeatable (apps.NAME.public_keys)"},
	}
}

// appSettings is what the image's agent is told of its app.
func appSettings(c *cli.Context, name string, app config.App) (*agentconf.App, error) {
	keys := c.StringSlice("public-key")
	if len(keys) == 0 {
		keys = app.PublicKeys
	}
	if len(keys) == 0 && !app.AllowUnsigned {
		return nil, cliapp.Usagef("instances would take builds from anybody: give --public-key or apps.%s.public_keys (deployctl keygen makes one), or say apps.%s.allow_unsigned: true", name, name)
	}
	service, err := serviceOf(name, app)
	if err != nil {
		return nil, err
	}
	return &agentconf.App{Name: name, Service: service, Bucket: app.Bucket, Channel: app.Channel, Root: app.Root, Owner: app.Owner,
		Unit: app.Unit, Keep: app.Keep, PublicKeys: keys, AllowUnsigned: app.AllowUnsigned,
		HookTimeout: agentconf.Duration(app.HookTimeout), KeepBytes: int64(app.KeepMiB) << 20,
		Health: agentconf.Health{URL: app.Health.URL, TCP: app.Health.TCP, Command: app.Health.Command,
			Hold: agentconf.Duration(app.Health.Hold), Timeout: agentconf.Duration(app.Health.Timeout)}}, nil
}

// serviceOf is what the agent renders the app's unit from; nil when Chef brings it.
func serviceOf(name string, app config.App) (*agentconf.Service, error) {
	extra := len(app.Environment) + len(app.Credentials) + len(app.Listen) + len(app.ReadWritePaths) + app.MemoryMiB + app.Tasks
	switch {
	case len(app.Command) == 0 && (extra > 0 || app.Notify):
		return nil, cliapp.Usagef("apps.%s.environment, credentials, listen, read_write_paths, memory_mib, tasks and notify are for a unit that the agent renders: give apps.%s.command, or say these things in the unit that Chef brings", name, name)
	case len(app.Command) == 0:
		return nil, nil
	case app.Owner == "" || app.Owner == "root":
		return nil, cliapp.Usagef("a unit that the agent renders does not run as root: give apps.%s.owner", name)
	}
	return &agentconf.Service{Command: app.Command, Environment: app.Environment, Credentials: app.Credentials, Listen: app.Listen,
		ReadWritePaths: app.ReadWritePaths, MemoryMiB: app.MemoryMiB, Tasks: app.Tasks, Notify: app.Notify}, nil
}
