package main

import (
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
)

// leastClaim is the shortest --claim-within: agents look every 20 to 30 s.
const leastClaim = time.Minute

// pullOf reads what is for --engine pull alone, and refuses what agents cannot do.
func (o *rolloutOptions) pullOf(c *cli.Context) error {
	s := &o.strategy
	if o.login.engine != "pull" {
		if c.IsSet("claim-within") || c.IsSet("deadline") {
			return cliapp.Usagef("--claim-within and --deadline are for --engine pull")
		}
		return nil
	}
	s.ClaimWithin, s.Deadline = c.Duration("claim-within"), c.Duration("deadline")
	switch {
	case s.ClaimWithin < leastClaim:
		return cliapp.Usagef("--claim-within %s: want %s or more, since agents look every 20 to 30 s", s.ClaimWithin, leastClaim)
	case s.Deadline < 0:
		return cliapp.Usagef("--deadline %s: want more than 0", s.Deadline)
	case len(s.TargetGroups) > 0:
		return cliapp.Usagef("--engine pull: agents have no rights on load balancers: leave --target-group out")
	case o.gates.command != "":
		return cliapp.Usagef("--engine pull: agents do not wait for a command of this machine: leave --gate out, or watch an --alarm")
	}
	return nil
}

// tagOf reads the target of --engine ssm, and refuses what a tag takes no heed of.
func (o *rolloutOptions) tagOf(c *cli.Context) error {
	text := c.String("ssm-target")
	if text == "" && !c.IsSet("ssm-target") {
		return nil
	}
	tag, err := deploy.ParseTag(text)
	switch {
	case err != nil:
		return cliapp.Usagef("--ssm-target: %v", err)
	case o.login.engine != "ssm":
		return cliapp.Usagef("--ssm-target is for --engine ssm")
	case len(o.wish.Only) > 0 || o.wish.Limit > 0 || o.wish.Zone != "":
		return cliapp.Usagef("--ssm-target: a tag takes no heed of --hosts, --limit and --zone: leave them out")
	case c.IsSet("wave") || o.strategy.PerZone:
		return cliapp.Usagef("--ssm-target: SSM itself spreads the command: leave --wave and --per-zone out")
	case len(o.strategy.TargetGroups) > 0:
		return cliapp.Usagef("--ssm-target: nobody knows when each host's turn comes: leave --target-group out")
	}
	o.strategy.Target = tag.String()
	return nil
}
