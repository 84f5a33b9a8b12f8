package main

import (
	"context"
	"net"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/agent/broker"
	"bakehouse/internal/cliapp"
)

// deps is what the commands need from the process; tests bring their own.
type deps struct {
	cliapp.Process
	world  func(context.Context, options) (broker.World, error)
	listen func(network, address string) (net.Listener, error)
}

// runtimeAPI is set by Lambda, for whom the binary is named bootstrap.
const runtimeAPI = "AWS_LAMBDA_RUNTIME_API"

func newApp(d deps) *cli.App {
	app := &cli.App{
		Name:  "chef-broker",
		Usage: "make Chef clients for EC2 instances that prove who they are",
		Description: "An instance posts a presigned sts:GetCallerIdentity, its signed identity document and a public key;\n" +
			"the broker asks STS and EC2, and registers it once. See docs/broker.md.\n" +
			"Every flag can be set by its variable, which is how a Lambda function is configured.",
		Commands: []*cli.Command{serveCommand(d), lambdaCommand(d)},
	}
	if d.Getenv(runtimeAPI) != "" { // Lambda starts its bootstrap without arguments
		app.Flags, app.Commands = flags(), nil
		app.Action = func(c *cli.Context) error { return startLambda(c, d) }
	}
	return app
}

// env names a flag's variable.
func env(name string) []string { return []string{"BAKEHOUSE_BROKER_" + name} }

// flags are the ones that both commands have.
func flags() []cli.Flag {
	const chef, limits = "Chef", "limits"
	defaults := broker.Defaults()
	return []cli.Flag{
		&cli.StringFlag{Name: "audience", EnvVars: env("AUDIENCE"), Usage: "the `URL` that instances are given for this broker (chef.broker_url); it is part of what they sign"},
		&cli.StringSliceFlag{Name: "role", EnvVars: env("ROLES"), Usage: "`ACCOUNT:ROLE` of an instance profile whose instances may register, repeatable"},
		&cli.StringSliceFlag{Name: "node-prefix", EnvVars: env("NODE_PREFIXES"), Usage: "`PREFIX` that may stand before the instance id in a node's name, repeatable (agent.node_prefix)"},
		&cli.StringSliceFlag{Name: "certificate", EnvVars: env("CERTIFICATES"), Usage: "`REGION=FILE` with AWS's public RSA-2048 certificate for identity documents, repeatable"},
		&cli.BoolFlag{Name: "unsigned-documents", EnvVars: env("UNSIGNED_DOCUMENTS"), Usage: "take identity documents of regions without a certificate"},
		&cli.StringSliceFlag{Name: "sts-endpoint", EnvVars: env("STS_ENDPOINTS"), Usage: "trust this STS `URL` beside AWS's own (private endpoints, labs), repeatable"},
		&cli.StringSliceFlag{Name: "account-role", EnvVars: env("ACCOUNT_ROLES"), Usage: "`ACCOUNT=ARN` of the role to take for ec2:DescribeInstances in another account, repeatable"},
		&cli.BoolFlag{Name: "again", EnvVars: env("AGAIN"), Usage: "let an instance register another key once its old client is gone"},
		&cli.StringFlag{Name: "state", EnvVars: env("STATE"), Usage: "remember registrations in `PLACE`: s3://BUCKET/PREFIX or a folder"},
		&cli.StringFlag{Name: "region", EnvVars: []string{"AWS_REGION"}, Usage: "AWS `REGION` of the broker's own calls"},
		&cli.StringFlag{Category: chef, Name: "chef-server", EnvVars: []string{"CHEF_SERVER_URL"}, Usage: "`URL` of the Chef server, with its organisation"},
		&cli.StringFlag{Category: chef, Name: "chef-client", EnvVars: []string{"CHEF_CLIENT_NAME"}, Usage: "`NAME` to sign as: a client or user that may create clients and read them"},
		&cli.StringFlag{Category: chef, Name: "chef-key", EnvVars: []string{"CHEF_CLIENT_KEY"}, Usage: "its private key: `FILE`, ssm:NAME or secretsmanager:NAME"},
		&cli.StringFlag{Category: chef, Name: "chef-ca-file", EnvVars: env("CHEF_CA_FILE"), Usage: "PEM `FILE` that the Chef server's certificate is checked by"},
		&cli.DurationFlag{Category: limits, Name: "max-age", EnvVars: env("MAX_AGE"), Value: 30 * time.Minute, Usage: "register nobody for the first time that was launched more than `DURATION` ago"},
		&cli.Float64Flag{Category: limits, Name: "rate", EnvVars: env("RATE"), Value: defaults.PerSecond, Usage: "ask STS and EC2 about `N` requests a second; more are told to come back"},
		&cli.IntFlag{Category: limits, Name: "burst", EnvVars: env("BURST"), Value: defaults.Burst, Usage: "and `N` at once"},
		&cli.DurationFlag{Category: limits, Name: "timeout", EnvVars: env("TIMEOUT"), Value: defaults.Timeout, Usage: "give each request `DURATION`"},
		cliapp.OutputFlag(),
	}
}
