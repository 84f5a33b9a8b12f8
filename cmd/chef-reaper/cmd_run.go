package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/internal/ui"
	"bakehouse/reap"
)

// minEvery bounds how often the listings are read, whatever events say.
const minEvery = 15 * time.Second

// runOptions is the command line of run.
type runOptions struct {
	options
	every   time.Duration // 0: once
	metrics string
}

func runCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "remove what is gone: --once, or --every DURATION until stopped",
		Description: "The first run with a new ledger only looks. A run whose breaker trips deletes nothing and ends with 4.\n" +
			"With --every, errors are printed, the next run follows, and a signal between two runs ends with 0.",
		Flags: append(flags(),
			&cli.BoolFlag{Name: "once", Usage: "one run"},
			&cli.DurationFlag{Name: "every", Usage: "a run every `DURATION`, 15s or more"},
			&cli.StringFlag{Name: "queue", Usage: "SQS queue `URL` whose messages start the next run at once (reaper.queue)"},
			&cli.StringFlag{Name: "status-file", Usage: "keep the last run's outcome in `FILE` (reaper.status_file)"},
			&cli.StringFlag{Name: "metrics", Usage: "append CloudWatch embedded metrics to `FILE`; - is stdout"}),
		Action: func(c *cli.Context) error { return startRun(c, d) },
	}
}

func startRun(c *cli.Context, d deps) error {
	if _, err := cliapp.Arguments(c); err != nil {
		return err
	}
	o := runOptions{every: c.Duration("every"), metrics: c.String("metrics")}
	switch once := c.Bool("once"); {
	case once == c.IsSet("every"):
		return cliapp.Usagef("give --once or --every DURATION")
	case !once && o.every < minEvery:
		return cliapp.Usagef("--every %v: want %v or more", o.every, minEvery)
	}
	var err error
	if o.options, err = d.optionsOf(c); err != nil {
		return err
	}
	w, err := d.world(c.Context, o.options)
	if err != nil {
		return d.note(o, reap.Report{Started: d.now().UTC(), Ended: d.now().UTC()}, err)
	}
	if o.every == 0 {
		return runOnce(c.Context, d, o, w)
	}
	return runEvery(c.Context, d, o, w)
}

// runOnce makes one run and tells about it everywhere.
func runOnce(ctx context.Context, d deps, o runOptions, w world) error {
	rep, err := w.reaper.Run(ctx, runID(d.now()))
	if o.output == cliapp.JSON {
		if e := printJSON(d.Stdout, reap.StatusOf(rep, err)); e != nil {
			return e
		}
	} else if e := printReport(d.Stdout, rep, err); e != nil {
		return e
	}
	return d.note(o, rep, err)
}

// note writes status file and metrics. The run's own error comes first.
func (d deps) note(o runOptions, rep reap.Report, err error) error {
	status := reap.StatusOf(rep, err)
	var failed error
	if o.status != "" {
		failed = status.WriteFile(o.status)
	}
	if o.metrics != "" && failed == nil {
		failed = d.writeMetrics(o.metrics, status)
	}
	if err != nil {
		return err
	}
	return failed
}

func (d deps) writeMetrics(path string, status reap.Status) error {
	line, err := status.Metrics()
	if err != nil {
		return err
	}
	if path == "-" {
		_, err = d.Stdout.Write(line)
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err == nil {
		_, err = f.Write(line)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fault.New(fault.Usage, "correct --metrics", fmt.Errorf("writing the metrics: %w", err))
	}
	return nil
}

// runEvery runs until the context ends. What fails is said, and tried again.
func runEvery(ctx context.Context, d deps, o runOptions, w world) error {
	for {
		begun := d.now()
		if err := runOnce(ctx, d, o, w); err != nil {
			if ctx.Err() != nil {
				return err
			}
			ui.PrintError(d.Stderr, "chef-reaper", err)
		}
		if ctx.Err() != nil || !wait(ctx, d, w, begun, o.every) {
			return nil // stopped between two runs: nothing is half done
		}
	}
}

// wait returns true when the next run is due, and false when ctx ended.
func wait(ctx context.Context, d deps, w world, begun time.Time, every time.Duration) bool {
	if !sleep(ctx, minEvery-d.now().Sub(begun)) {
		return false
	}
	left := every - d.now().Sub(begun)
	if w.events == nil {
		return sleep(ctx, left)
	}
	if _, err := w.events.Wait(ctx, left); err != nil && ctx.Err() == nil {
		ui.PrintError(d.Stderr, "chef-reaper", err)
	}
	return ctx.Err() == nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// runID names a run so that names sort by time.
func runID(now time.Time) string {
	return now.UTC().Format("20060102T150405Z") + "-" + rand.Text()[:6]
}
