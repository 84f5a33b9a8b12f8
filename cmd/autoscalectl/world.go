package main

import (
	"context"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/autoscale"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
)

func realDeps(p cliapp.Process) deps {
	return deps{Process: p, world: connect, now: time.Now, balance: balanceWorld, pause: sleep,
		terminal: p.Interactive, colors: func() bool { return cliapp.IsTerminal(p.Stdout) }, size: func() (int, int) { return cliapp.Size(p.Stdout) }}
}

// connect makes the clients, after a look for credentials.
func connect(ctx context.Context, o awscfg.Options) (autoscale.World, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return autoscale.World{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return autoscale.World{}, err
	}
	return autoscale.World{Groups: as.NewFromConfig(cfg), EC2: ec2.NewFromConfig(cfg), Alarms: cloudwatch.NewFromConfig(cfg), Balancers: elbv2.NewFromConfig(cfg), Parameters: ssm.NewFromConfig(cfg),
		Now: time.Now, Sleep: sleep}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
