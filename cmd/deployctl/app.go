package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/release"
)

// deps is what the commands need from the world; tests bring their own.
type deps struct {
	cliapp.Process
	s3        func(context.Context, awscfg.Options) (deploy.S3, error)
	kms       func(context.Context, awscfg.Options) (keyService, error)
	lister    func(context.Context, hostOptions) (deploy.Lister, error)
	alarms    func(context.Context, awscfg.Options) (deploy.CloudWatch, error)
	balancers func(context.Context, awscfg.Options) (deploy.Balancers, error)
	groups    func(context.Context, awscfg.Options) (deploy.Refreshing, error)
	// environ is the environment of this process, for the commands of gates.
	environ func() []string
	engine  func(context.Context, loginOptions) (deploy.Engine, error)
	config  func(path string, mustExist bool) (config.Config, error)
	now     func() time.Time
	// terminal says whether a person can be asked.
	terminal func() bool
	whoami   func() string                                // user@host
	commit   func(ctx context.Context, dir string) string // of the git checkout that holds dir, or ""
}

func newApp(d deps) *cli.App {
	return &cli.App{
		Name:  "deployctl",
		Usage: "push builds of an app to S3, say which one is live, and roll it out",
		Description: "push makes a directory a build: content-addressed, so the same tree is the same build everywhere.\n" +
			"promote points a channel at a build; the hosts of that channel pull it. show says what is live.\n" +
			"hosts says where a rollout would go; rollout promotes and has them deploy in waves, and goes back when they fail. keygen makes the key that signs builds and channels.",
		Commands: []*cli.Command{pushCommand(d), promoteCommand(d), showCommand(d), hostsCommand(d), rolloutCommand(d), rollbackCommand(d),
			historyCommand(d), diffCommand(d), gcCommand(d), keygenCommand(d), publicKeyCommand(d)},
	}
}

// common is what every command knows about where it works.
type common struct {
	app     string
	channel string // as given by flag or environment; may be empty
	bucket  string
	aws     awscfg.Options
	output  cliapp.Output
	signer  *release.Signer // nil: nothing is signed
	file    config.App      // the app's section of bakehouse.yaml
	chef    config.Chef     // the Chef server's section
}

// commonFlags returns the flags of common; how says what --channel is for, and
// without it there is no such flag.
func commonFlags(how string) []cli.Flag {
	all := []cli.Flag{&cli.StringFlag{Name: "app", Aliases: []string{"a"}, EnvVars: []string{"BAKEHOUSE_APP"}, Usage: "the app's `NAME`, for example web"}}
	if how != "" {
		all = append(all, &cli.StringFlag{Name: "channel", EnvVars: []string{"BAKEHOUSE_CHANNEL"}, Usage: how})
	}
	return append(all,
		&cli.StringFlag{Name: "bucket", Aliases: []string{"b"}, EnvVars: []string{"BAKEHOUSE_BUCKET"}, Usage: "S3 `BUCKET` of the builds (default: apps.NAME.bucket of the configuration)"},
		&cli.StringFlag{Name: "region", EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}, Usage: "AWS `REGION` of the bucket (default: region of the configuration, then the AWS profile's)"},
		&cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
		cliapp.ConfigFlag(),
		cliapp.OutputFlag(),
	)
}

// commonOf reads the flags: command line, then environment, then file. App and
// bucket are needed.
func (d deps) commonOf(c *cli.Context) (common, error) {
	o, path, err := d.settingsOf(c)
	switch {
	case err != nil:
		return common{}, err
	case o.app == "":
		return common{}, cliapp.Usagef("missing --app NAME")
	case o.bucket == "":
		return common{}, cliapp.Usagef("no bucket: give --bucket, or apps.%s.bucket in %s", o.app, path)
	}
	return o, nil
}

// settingsOf is commonOf without the need for app and bucket; path is where the
// configuration was looked for.
func (d deps) settingsOf(c *cli.Context) (o common, path string, err error) {
	output, err := cliapp.OutputOf(c)
	if err != nil {
		return common{}, "", err
	}
	path, given := c.String("config"), true
	if path == "" {
		path, given = config.Find(), false
	}
	file, err := d.config(path, given)
	if err != nil {
		return common{}, "", err
	}
	o = common{app: c.String("app"), channel: c.String("channel"), output: output,
		aws: awscfg.Options{Region: cliapp.String(c, "region", file.Region), Profile: c.String("profile"),
			UserAgent: "bakehouse-deployctl/" + cliapp.Version()}}
	o.file, o.chef = file.Apps[o.app], file.Chef
	o.bucket = cliapp.String(c, "bucket", o.file.Bucket)
	return o, path, nil
}

// needChannel falls back on the file's channel.
func (o *common) needChannel() error {
	if o.channel == "" {
		o.channel = o.file.Channel
	}
	if o.channel == "" {
		return cliapp.Usagef("no channel: give --channel, or apps.%s.channel in the configuration", o.app)
	}
	return nil
}

// publisher connects to the bucket.
func (d deps) publisher(ctx context.Context, o common, progress deploy.Progress) (*deploy.Publisher, error) {
	client, err := d.s3(ctx, o.aws)
	if err != nil {
		return nil, err
	}
	return &deploy.Publisher{S3: client, Bucket: o.bucket, Signer: o.signer, Progress: progress, Now: d.now}, nil
}

// printJSON prints a command's result.
func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("rendering result: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s\n", b); err != nil {
		return fmt.Errorf("printing result: %w", err)
	}
	return nil
}
