package main

import (
	"context"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/host"
)

// engines makes the engine that was asked for; that of SSH from keys and known
// hosts.
func engines(agentSocket string) func(context.Context, loginOptions) (deploy.Engine, error) {
	return func(ctx context.Context, o loginOptions) (deploy.Engine, error) {
		if o.engine == "ssm" {
			cfg, err := awscfg.Load(ctx, o.aws)
			if err != nil {
				return nil, err
			}
			return &deploy.SSM{API: ssm.NewFromConfig(cfg), Clock: clock{}}, nil
		}
		e := deploy.SSH{Login: host.Target{User: o.user}, Port: o.port}
		if len(o.knownHosts) > 0 {
			trust, err := host.KnownHosts(o.knownHosts...)
			if err != nil {
				return nil, err
			}
			e.Login.Trust = trust
		}
		var err error
		if o.key == "" {
			e.Login.Signers, err = host.AgentKeys(agentSocket)
			return e, err
		}
		e.Login.Signers, err = host.KeyFile(o.key)
		return e, err
	}
}

// connectBalancers makes the client of the load balancers.
func connectBalancers(ctx context.Context, o awscfg.Options) (deploy.Balancers, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	return elb.NewFromConfig(cfg), nil
}
