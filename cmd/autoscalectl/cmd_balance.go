package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/urfave/cli/v2"

	"bakehouse/autoscale"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/awserr"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/events"
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
	return &cli.DurationFlag{Name: "grace", Value: autoscale.BalanceGrace, Usage: "`TIME` that the spot group has to begin launches when its target rises, or in the place of what is at risk"}
}

func balanceCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "balance",
		Usage:     "size the on-demand half of groups with mode backstop by what spot lacks: --once, or --every TIME until stopped",
		ArgsUsage: "[FILE]",
		Description: "It counts interruption notices as losses, goes up at once, and down when nothing was missing for the hold time.\n" +
			"The alarms of the file stay as they are and take over when nobody balances. Several may run at once.\n" +
			"With --queue, a message of EventBridge starts the next look; what is done follows from what AWS answers then.\n" +
			"With --every, what fails is said and tried again, and a signal ends it with code 0. docs/simulate.md has the rules, docs/scaling.md the events.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "once", Usage: "look once and end"},
			&cli.DurationFlag{Name: "every", Usage: "look every `TIME`, 5s to 10m"},
			&cli.StringFlag{Name: "queue", Usage: "SQS queue `URL` whose messages start the next look at once (with --every)"},
			&cli.BoolFlag{Name: "early", Usage: "start the backstop for instances that EC2 recommends to replace, before they are lost (with --queue)"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, and write nothing"},
			holdFlag(), graceFlag(), profileFlag(), cliapp.OutputFlag()},
		Action: func(c *cli.Context) error {
			o, err := fileOf(c)
			if err != nil {
				return err
			}
			b := balancing{d: d, json: o.output == cliapp.JSON, dry: c.Bool("dry-run"), every: c.Duration("every"),
				rule: autoscale.BalanceRule{Hold: c.Duration("hold"), Grace: c.Duration("grace"), Early: c.Bool("early")}}
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
			if err := b.rule.CheckEarly(b.pairs); err != nil {
				return err
			}
			clients, err := d.balance(c.Context, awscfg.Options{Region: spec.Region, Profile: o.profile, UserAgent: "bakehouse-autoscalectl/" + cliapp.Version()})
			if err != nil {
				return err
			}
			b.connect(clients, c.String("queue"))
			return b.run(c.Context)
		},
	}
}

// balanceClients is what balance reaches of AWS.
type balanceClients struct {
	autoscale.BalanceWorld
	queues events.SQS
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
	queue *events.Queue     // nil: no events
	due   time.Time         // when the last look asks for another
	woken bool              // a message started the look under way
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
	case c.IsSet("queue") && b.every == 0:
		return cliapp.Usagef("--queue starts a look sooner: it goes with --every TIME, not with --once")
	case b.rule.Early && !c.IsSet("queue"):
		return cliapp.Usagef("--early needs --queue URL: EC2 tells its recommendations by events alone")
	}
	if !c.IsSet("queue") {
		return nil
	}
	if u, err := url.Parse(c.String("queue")); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return cliapp.Usagef("--queue %s: want the URL of an SQS queue, like https://sqs.us-east-1.amazonaws.com/123456789012/bakehouse-balance", c.String("queue"))
	}
	return nil
}

// connect takes the clients, and opens the queue unless there is none.
func (b *balancing) connect(c balanceClients, queue string) {
	b.w = c.BalanceWorld
	if queue == "" {
		return
	}
	risks := &autoscale.BalanceRisks{}
	b.w.AtRisk = func(id string) bool { return risks.Holds(id, b.w.Now()) }
	b.queue = &events.Queue{SQS: c.queues, URL: queue, Setting: "--queue", Now: b.w.Now, Pause: b.d.pause,
		Read: func(body string) { risks.Hear(body, b.w.Now()) }}
}

// run looks once, or until ctx ends. A look under way when a signal comes is
// broken off between two calls; each of them leaves the groups valid.
func (b *balancing) run(ctx context.Context) error {
	b.said = map[string]string{}
	if b.every == 0 {
		return b.look(ctx)
	}
	if err := b.open(ctx); err != nil {
		return err
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
		b.complain(err)
		if !b.rest(ctx, begun) {
			return nil
		}
	}
}

// open takes what waits in the queue, which the first look deals with. A queue
// that is not there or not for us ends the command; one that fails does not,
// as looks go on without it.
func (b *balancing) open(ctx context.Context) error {
	if b.queue == nil {
		return nil
	}
	err := b.queue.Drain(ctx)
	if awserr.IsAuth(err) || awserr.IsNotFound(err) {
		return err
	}
	if ctx.Err() == nil {
		b.complain(err)
	}
	return nil
}

// rest waits for the next look, and returns false when ctx has ended. It is
// due when the last one said, after --every, or when a message comes. EC2's
// answers may be a moment behind its events: a look that a message started is
// followed by another after the least pause.
func (b *balancing) rest(ctx context.Context, begun time.Time) bool {
	end := begun.Add(b.every)
	if !b.due.IsZero() && b.due.Before(end) {
		end = b.due
	}
	least := begun.Add(balanceLeast)
	if end.Before(least) {
		end = least
	}
	if b.queue == nil {
		return b.d.pause(ctx, max(end.Sub(b.w.Now()), time.Second)) == nil
	}
	if gap := least.Sub(b.w.Now()); gap > 0 && b.d.pause(ctx, gap) != nil {
		return false
	}
	woken, err := b.queue.Wait(ctx, max(end.Sub(b.w.Now()), 0))
	if ctx.Err() != nil {
		return false
	}
	b.complain(err)
	b.woken = woken
	return true
}

// complain says what went wrong, on a line.
func (b *balancing) complain(err error) {
	if err != nil {
		fmt.Fprintf(b.d.Stderr, "%s autoscalectl: error: %s\n", stamp(b.w.Now()), oneLine(err.Error()))
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// look observes, decides, writes and tells, once.
func (b *balancing) look(ctx context.Context) error {
	woken := b.woken
	if b.woken, b.due = false, (time.Time{}); woken {
		b.due = b.w.Now().Add(balanceLeast)
	}
	all, err := autoscale.BalanceObserve(ctx, b.w, b.pairs)
	if err != nil {
		return err
	}
	p := autoscale.PlanBalance(all, b.rule)
	if !woken {
		b.due = p.Due()
	}
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
func balanceWorld(ctx context.Context, o awscfg.Options) (balanceClients, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return balanceClients{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return balanceClients{}, err
	}
	return balanceClients{autoscale.BalanceWorld{Groups: as.NewFromConfig(cfg), Spot: ec2.NewFromConfig(cfg), Now: time.Now}, sqs.NewFromConfig(cfg)}, nil
}
