package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"bakehouse/agent"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

// version is set by the linker (-X main.version=…); else the build info is asked.
var version string

// errNotComplete is the exit of a status that printed why itself.
var errNotComplete = errors.New("first boot is not complete")

const usage = `boot-agent takes an instance through its first boot and deploys its app.

Usage:
  boot-agent first-boot   run what is unfinished of: identify, register, converge, pull, start
  boot-agent deploy       pull the channel's build and start it (the last two stages again)
  boot-agent follow       deploy by itself whenever the channel points at another build
  boot-agent watch        leave the Chef server when the instance's end is announced
  boot-agent status       where the instance stands, and why; --json for machines
  boot-agent version      print the version

Flags, after the command:
  --config FILE     agent configuration (default ` + agentconf.ConfigPath + `)
  --spread TIME     of follow: wait a part of TIME, this instance's own, before
                    each deploy that no rollout plans (default 10m; 0 deploys at once)
  --retry-refused   of deploy: start the build although it was not healthy here before

first-boot ends at once with 0 when it was completed for this instance id, and
resumes when it was interrupted, as it does with an interrupted deploy; the unit
bakehouse-first-boot.service runs it at every boot.
deploy keeps the old release serving until the new one is whole on disk. A build
that is not healthy in time makes room for the last good one, which is started
again, and is refused from then on (exit code 4); status names it.
status ends with 0 when first boot is complete and with 4 when it failed, is
still at work, was interrupted or never started: "state" in --json tells which,
and "why" what it waits for (clock, lock, Chef server, S3, health, group) and when
it is tried again, or what failed. Registering ends with 6 when its time is over.

follow looks at the channel every 20 to 30 s and ends when it is told to. Where
deployctl rollout --engine pull has the channel name a rollout, the instance takes
its turn in that one's waves and goes back when it is stopped; else it goes by
--spread, and knows nothing of other instances. No unit comes with it:
docs/rollout.md has one. A build that is not healthy here is refused here.

watch looks for spot interruptions and for an Auto Scaling group that takes the
instance away; it then drains, stops the app and deletes the instance's own node
and client. The unit bakehouse-watch.service runs it; it ends once it has left.

Exit codes:
`

// options are the flags of all commands.
type options struct {
	config       string
	json         bool
	retryRefused bool
	spread       time.Duration
}

// dispatch runs the command that args name.
func dispatch(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		return usageError("no command given")
	}
	name, args := args[0], args[1:]
	opts, help, err := parse(name, args)
	if help {
		_, err := io.WriteString(out, usage+fault.Help())
		return err
	}
	if err != nil {
		return err
	}
	switch name {
	case "version":
		_, err := fmt.Fprintln(out, "boot-agent "+versionOf())
		return err
	case "status":
		return status(opts, out)
	case "follow":
		return work(ctx, opts, out, errOut, func(a *agent.Agent, ctx context.Context) error { return a.Follow(ctx, opts.spread) })
	case "watch":
		return work(ctx, opts, out, errOut, (*agent.Agent).Watch)
	case "first-boot":
		return work(ctx, opts, out, errOut, (*agent.Agent).FirstBoot)
	default:
		if opts.retryRefused {
			return work(ctx, opts, out, errOut, (*agent.Agent).DeployRefused)
		}
		return work(ctx, opts, out, errOut, (*agent.Agent).Deploy)
	}
}

// parse reads the flags of the command name.
func parse(name string, args []string) (opts options, help bool, err error) {
	switch name {
	case "help", "-h", "-help", "--help":
		return opts, true, nil
	case "--version", "-version":
		return opts, false, usageError("unknown flag --version; did you mean boot-agent version?")
	case "first-boot", "deploy", "follow", "watch", "status", "version":
	default:
		return opts, false, usageError(fmt.Sprintf("unknown command %q", name))
	}
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&opts.config, "config", agentconf.ConfigPath, "")
	switch name {
	case "status":
		fs.BoolVar(&opts.json, "json", false, "")
	case "follow":
		fs.DurationVar(&opts.spread, "spread", 10*time.Minute, "")
	case "deploy":
		fs.BoolVar(&opts.retryRefused, "retry-refused", false, "")
	}
	err = fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return opts, true, nil
	case err != nil:
		return opts, false, usageError(name + ": " + err.Error())
	case fs.NArg() > 0:
		return opts, false, usageError(fmt.Sprintf("%s: unexpected argument %q", name, fs.Arg(0)))
	}
	return opts, false, nil
}

func usageError(what string) error {
	return fault.New(fault.Usage, "boot-agent -h", errors.New(what))
}

// status prints where the machine stands.
func status(opts options, out io.Writer) error {
	conf, err := load(opts)
	if err != nil {
		return err
	}
	st, err := agent.ReadStatus("/", conf, time.Now())
	if err != nil {
		return err
	}
	if opts.json {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(st)
	} else {
		err = st.Text(out)
	}
	if err == nil && st.State != agent.Complete {
		err = fault.New(fault.Check, "", errNotComplete)
	}
	return err
}

// load reads the agent's configuration.
func load(opts options) (agentconf.Config, error) {
	conf, err := agentconf.Load(opts.config)
	return conf, fault.New(fault.Usage, "bake the image with bake-ami, or name a file with --config", err)
}

// versionOf returns the version that this binary was built as.
func versionOf() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return info.Main.Version
}

// oneLine joins the lines of a message.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
