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
	return &agentconf.App{Name: name, Bucket: app.Bucket, Channel: app.Channel, Root: app.Root, Owner: app.Owner,
		Unit: app.Unit, Keep: app.Keep, PublicKeys: keys, AllowUnsigned: app.AllowUnsigned,
		HookTimeout: agentconf.Duration(app.HookTimeout), KeepBytes: int64(app.KeepMiB) << 20,
		Health: agentconf.Health{URL: app.Health.URL, TCP: app.Health.TCP, Command: app.Health.Command,
			Hold: agentconf.Duration(app.Health.Hold), Timeout: agentconf.Duration(app.Health.Timeout)}}, nil
}
