package main

import (
	"context"
	"path/filepath"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/host"
)

// engines makes the engine that was asked for; that of SSH from keys and known
// hosts.
func engines(agentSocket, home string) func(context.Context, loginOptions) (deploy.Engine, error) {
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
		if e.Login.Via, err = jump(o, agentSocket, home); err != nil {
			return nil, err
		}
		if o.key == "" {
			e.Login.Signers, err = host.AgentKeys(agentSocket)
			return e, err
		}
		e.Login.Signers, err = host.KeyFile(o.key)
		return e, err
	}
}

// jump opens the jump host; nil: there is none. Who it is, is settled by
// known_hosts alone: it is no host of the fleet, so no Chef node holds its key.
func jump(o loginOptions, agentSocket, home string) (*host.Bastion, error) {
	if o.jump == "" {
		return nil, nil
	}
	spec := host.BastionSpec{Address: o.jump, KeyFile: o.jumpKey, KnownHosts: o.jumpKnownHosts, AgentSocket: agentSocket, Flag: "--jump", Share: true}
	if spec.KeyFile == "" {
		spec.KeyFile = o.key
	}
	if spec.KnownHosts == "" {
		spec.KnownHosts = filepath.Join(home, ".ssh", "known_hosts")
	}
	return spec.Open()
}

// connectBalancers makes the client of the load balancers.
func connectBalancers(ctx context.Context, o awscfg.Options) (deploy.Balancers, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	return elb.NewFromConfig(cfg), nil
}

// connectGroups makes the client of Auto Scaling.
func connectGroups(ctx context.Context, o awscfg.Options) (deploy.Refreshing, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	return autoscaling.NewFromConfig(cfg), nil
}
