package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// maxAlarms is how many alarms one call describes.
const maxAlarms = 100

// gateOptions says who is asked between waves.
type gateOptions struct {
	alarms  []string
	command string
	timeout time.Duration
}

func gateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "alarm", Usage: "stop when this CloudWatch `ALARM` goes off, during a pause or at its end; may be given several times"},
		&cli.StringFlag{Name: "gate", Usage: "run `COMMAND` with sh after each wave and its pause; it stops the rollout unless it ends with 0"},
		&cli.DurationFlag{Name: "gate-timeout", Value: 5 * time.Minute, Usage: "`TIME` that the command of --gate has"},
		&cli.StringFlag{Name: "webhook", EnvVars: []string{"BAKEHOUSE_WEBHOOK"}, Usage: "post how the rollout begins and ends to `URL`, as Slack reads it; env:NAME names a variable that holds it"},
		&cli.StringFlag{Name: "webhook-template", Usage: "post what the Go template in `FILE` renders instead (docs/rollout.md says of what)"},
	}
}

func gatesOf(c *cli.Context) (gateOptions, error) {
	o := gateOptions{alarms: c.StringSlice("alarm"), command: c.String("gate"), timeout: c.Duration("gate-timeout")}
	switch {
	case len(o.alarms) > maxAlarms:
		return o, cliapp.Usagef("%d times --alarm: want %d or fewer", len(o.alarms), maxAlarms)
	case o.timeout <= 0:
		return o, cliapp.Usagef("--gate-timeout %s: want more than 0", o.timeout)
	case c.IsSet("gate-timeout") && !c.IsSet("gate"):
		return o, cliapp.Usagef("--gate-timeout is for a command: give --gate, too")
	case c.IsSet("gate") && strings.TrimSpace(o.command) == "":
		return o, cliapp.Usagef("--gate: the command is empty")
	}
	return o, nil
}

// keep notes the gates in a new rollout, and takes those of a resumed one.
func (o *gateOptions) keep(r *deploy.Rollout, resumed bool) error {
	if !resumed {
		r.Alarms, r.Command = o.alarms, o.command != ""
		return nil
	}
	if len(o.alarms) == 0 {
		o.alarms = r.Alarms
	}
	if r.Command && o.command == "" {
		return cliapp.Usagef("rollout %s has a command as gate, which is not stored: give --gate COMMAND again (true for none)", r.ID)
	}
	return nil
}

// gates makes the gates, and refuses alarms that could not work as one.
func (d deps) gates(ctx context.Context, o rolloutOptions) ([]deploy.Gate, error) {
	var all []deploy.Gate
	if len(o.gates.alarms) > 0 {
		api, err := d.alarms(ctx, o.aws)
		if err != nil {
			return nil, err
		}
		alarms := deploy.Alarms{API: api, Names: o.gates.alarms}
		if err := alarms.Check(ctx); err != nil {
			return nil, err
		}
		all = append(all, alarms)
	}
	if o.gates.command != "" {
		all = append(all, deploy.Command{Script: o.gates.command, Env: d.environ(), Timeout: o.gates.timeout})
	}
	return all, nil
}

// connectAlarms makes the client.
func connectAlarms(ctx context.Context, o awscfg.Options) (deploy.CloudWatch, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	return cloudwatch.NewFromConfig(cfg), nil
}

// webhookOf reads the flags of the webhook.
func (d deps) webhookOf(c *cli.Context) (*deploy.Webhook, error) {
	address := c.String("webhook")
	if name, ok := strings.CutPrefix(address, envScheme); ok {
		if address = d.Getenv(name); address == "" {
			return nil, cliapp.Usagef("--webhook %s%s: the variable is empty", envScheme, name)
		}
	}
	file := c.String("webhook-template")
	if address == "" {
		if file != "" {
			return nil, cliapp.Usagef("--webhook-template without --webhook: there is nobody to post to")
		}
		return nil, nil
	}
	text := ""
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fault.New(fault.Usage, "correct --webhook-template", fmt.Errorf("reading webhook's template: %w", err))
		}
		text = string(b)
	}
	return deploy.NewWebhook(address, text)
}

// tell posts to the webhook; one that does not answer stops nothing.
func (w *rolling) tell(ctx context.Context, event string) {
	if w.o.webhook == nil {
		return
	}
	if err := w.o.webhook.Post(ctx, event, w.state, w.d.now()); err != nil {
		w.board.Info("warning: " + err.Error())
	}
}

// ended is the event that the end of a run is told as.
func ended(r *deploy.Rollout) string {
	if r.Phase == deploy.Rolling || r.Phase == deploy.RollingBack {
		return "interrupted"
	}
	return string(r.Phase)
}
