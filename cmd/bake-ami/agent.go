package main

import (
	"bakehouse/internal/agentconf"
	"bakehouse/internal/config"
)

// agentSettings copies the agent's own settings into what its image holds.
func agentSettings(conf *agentconf.Config, file config.Agent) {
	conf.Chef.NodePrefix, conf.Chef.Tags = file.NodePrefix, file.Tags
	conf.Chef.RegisterWithin = agentconf.Duration(file.RegisterWithin)
	conf.Group = agentconf.Group{LaunchHook: file.LaunchHook, LaunchWithin: agentconf.Duration(file.LaunchWithin), TerminateHook: file.TerminateHook, SignalStack: file.SignalStack}
	conf.Leave = agentconf.Leave{Drain: file.Drain, DrainTimeout: agentconf.Duration(file.DrainTimeout),
		OnRebalance: file.OnRebalance, AtPoweroff: file.LeaveAtPoweroff}
	conf.Metrics.EMF = file.EMF
	conf.Chef.OnFailure = file.OnFailure
	conf.Chef.Attempts, conf.Chef.Timeout = file.Attempts, agentconf.Duration(file.Timeout)
}
