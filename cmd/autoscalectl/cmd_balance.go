package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/awserr"
	"bakehouse/internal/cliapp"
)

// Bounds of how often balance looks.
const (
	balanceLeast = 5 * time.Second
	balanceMost  = 10 * time.Minute
)

func holdFlag() cli.Flag {
	return &cli.DurationFlag{Name: "hold", Value: autoscale.BalanceHold, Usage: "`TIME` that backstop units must have been in excess before they go"}
}

func graceFlag() cli.Flag {
	return &cli.DurationFlag{Name: "grace", Value: autoscale.BalanceGrace, Usage: "`TIME` that the spot group has to begin launches when its target rises"}
}

func balanceCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "balance",
		Usage:     "size the on-demand half of groups with mode backstop by what spot lacks: --once, or --every TIME until stopped",
		ArgsUsage: "[FILE]",
		Description: "It counts interruption notices as losses, goes up at once, and down when nothing was missing for the hold time.\n" +
			"The alarms of the file stay as they are and take over when nobody balances. Several may run at once.\n" +
			"With --every, what fails is said and tried again, and a signal ends it with code 0. docs/simulate.md has the rules.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "once", Usage: "look once and end"},
			&cli.DurationFlag{Name: "every", Usage: "look every `TIME`, 5s to 10m"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, and write nothing"},
			holdFlag(), graceFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			o, err := fileOf(c)
			if err != nil {
				return err
			}
			b := balancing{d: d, json: o.output == cliapp.JSON, dry: c.Bool("dry-run"), every: c.Duration("every"),
				rule: autoscale.BalanceRule{Hold: c.Duration("hold"), Grace: c.Duration("grace")}}
			if err := b.check(c); err != nil {
				return err
			}
			spec, err := d.load(o)
			if err != nil {
				return err
			}
			if b.pairs, err = autoscale.BalancePairs(spec); err != nil {
				return err
			}
			if b.w, err = d.balance(c.Context, awscfg.Options{Region: spec.Region, Profile: o.profile, UserAgent: "bakehouse-autoscalectl/" + cliapp.Version()}); err != nil {
				return err
			}
			return b.run(c.Context)
		},
	}
}

// balancing is the command under way.
type balancing struct {
	d     deps
	w     autoscale.BalanceWorld
	pairs []autoscale.BalancePair
	rule  autoscale.BalanceRule
	every time.Duration // 0: once
	dry   bool
	json  bool
	said  map[string]string // by group: the last line, which is not said again
}

func (b *balancing) check(c *cli.Context) error {
	switch {
	case c.Bool("once") == c.IsSet("every"):
		return cliapp.Usagef("give --once or --every TIME")
	case c.IsSet("every") && (b.every < balanceLeast || b.every > balanceMost):
		return cliapp.Usagef("--every %s: want %s to %s", b.every, balanceLeast, balanceMost)
	case b.rule.Hold < 0 || b.rule.Hold > 24*time.Hour:
		return cliapp.Usagef("--hold %s: want 0s to 24h", b.rule.Hold)
	case b.rule.Grace < 0 || b.rule.Grace > time.Hour:
		return cliapp.Usagef("--grace %s: want 0s to 1h", b.rule.Grace)
	}
	return nil
}

// run looks once, or until ctx ends. A look under way when a signal comes is
// broken off between two calls; each of them leaves the groups valid.
func (b *balancing) run(ctx context.Context) error {
	b.said = map[string]string{}
	if b.every == 0 {
		return b.look(ctx)
	}
	for {
		begun := b.w.Now()
		err := b.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if awserr.IsAuth(err) {
			return err
		}
		if err != nil {
			fmt.Fprintf(b.d.Stderr, "%s autoscalectl: error: %s\n", stamp(b.w.Now()), oneLine(err.Error()))
		}
		if b.d.pause(ctx, max(b.every-b.w.Now().Sub(begun), time.Second)) != nil {
			return nil
		}
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// look observes, decides, writes and tells, once.
func (b *balancing) look(ctx context.Context) error {
	all, err := autoscale.BalanceObserve(ctx, b.w, b.pairs)
	if err != nil {
		return err
	}
	p := autoscale.PlanBalance(all, b.rule)
	results := map[string]string{}
	for _, c := range p.Changes {
		if results[c.Group] = "unchanged"; c.From != c.To {
			results[c.Group] = "planned"
		}
	}
	var failed error
	if !b.dry {
		var outcomes []autoscale.BalanceOutcome
		outcomes, failed = p.Apply(ctx, b.w)
		for _, o := range outcomes {
			results[o.Change.Group] = resultOf(o)
		}
	}
	for _, c := range p.Changes {
		if err := b.tell(c, results[c.Group]); err != nil {
			return err
		}
	}
	return failed
}

// resultOf says what became of a change.
func resultOf(o autoscale.BalanceOutcome) string {
	switch {
	case o.Err != nil:
		return "failed"
	case o.Moved != "":
		return "left alone: " + o.Moved
	case o.Change.From == o.Change.To:
		return "unchanged"
	}
	return "done"
}

// tell prints one line for a group, unless it is the one printed last.
func (b *balancing) tell(c autoscale.BalanceChange, result string) error {
	at := b.w.Now()
	if b.json {
		line, err := json.Marshal(struct {
			Time time.Time `json:"time"`
			autoscale.BalanceChange
			Result string `json:"result"`
		}{at.UTC(), c, result})
		if err != nil {
			return fmt.Errorf("rendering result: %w", err)
		}
		return printed(fmt.Fprintf(b.d.Stdout, "%s\n", line))
	}
	text := fmt.Sprintf("%s: backstop stays at %d", c.Group, c.From)
	if c.From != c.To {
		text = fmt.Sprintf("%s: backstop %d -> %d", c.Group, c.From, c.To)
	}
	if result != "unchanged" {
		text += " (" + result + ")"
	}
	text += ": " + strings.Join(c.Reasons, "; ")
	if b.said[c.Group] == text && b.every > 0 {
		return nil
	}
	b.said[c.Group] = text
	return printed(fmt.Fprintf(b.d.Stdout, "%s %s\n", stamp(at), text))
}

// balanceWorld makes the clients, after a look for credentials.
func balanceWorld(ctx context.Context, o awscfg.Options) (autoscale.BalanceWorld, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return autoscale.BalanceWorld{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return autoscale.BalanceWorld{}, err
	}
	return autoscale.BalanceWorld{Groups: as.NewFromConfig(cfg), Spot: ec2.NewFromConfig(cfg), Now: time.Now}, nil
}
