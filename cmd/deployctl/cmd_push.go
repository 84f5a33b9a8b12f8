package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/deploy"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// pushOptions is the command line of push.
type pushOptions struct {
	common
	dir      string
	commit   string
	buildURL string
}

func pushCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "push",
		Usage:     "make DIR|FILE a build in the bucket, and promote it when a channel is given",
		ArgsUsage: "DIR|FILE",
		Description: "FILE is an archive of a directory (" + strings.Join(release.Archives(), " ") + "), or the app's only file.\n" +
			"Packs DIR and uploads it unless the bucket has that build already. The build's id is the last line of stdout.\n" +
			"A build that was pushed but could not be promoted ends with code 8.\n\n" +
			"DIR/" + release.IgnoreFile + " names what stays out, one pattern a line: *.log at any depth, /tmp or a/b from the top, logs/ only\n" +
			"directories, ** any directories between, !keep.log takes back, # is a comment; the last match decides. .git stays out.",
		Flags: append(commonFlags("promote the build on this `CHANNEL`, for example production"),
			&cli.StringFlag{Name: "commit", EnvVars: []string{"GIT_COMMIT"}, Usage: "record `COMMIT` (default: that of the git checkout that holds DIR)"},
			signKeyFlag(),
			&cli.StringFlag{Name: "build-url", EnvVars: []string{"BUILD_URL"}, Usage: "record the `URL` of the CI run"},
		),
		Action: func(c *cli.Context) error {
			args, err := cliapp.Arguments(c, "DIR|FILE")
			if err != nil {
				return err
			}
			o := pushOptions{dir: args[0], commit: c.String("commit"), buildURL: c.String("build-url")}
			if o.common, err = d.signing(c); err != nil {
				return err
			}
			return runPush(c.Context, d, o)
		},
	}
}

// pushResult is what push prints with --output json.
type pushResult struct {
	Build release.ID `json:"build"`
	deploy.Pushed
	Promoted *deploy.Promoted `json:"promoted,omitempty"`
}

func runPush(ctx context.Context, d deps, o pushOptions) error {
	if o.channel != "" { // before minutes of packing
		if err := release.CheckName("channel", o.channel); err != nil {
			return err
		}
	}
	result, err := push(ctx, d, o)
	if result.Build == "" {
		return err
	}
	return errors.Join(err, printPush(d, o, result))
}

// push returns a result without a build when nothing was pushed; with one and
// an error, the build was pushed and is not live.
func push(ctx context.Context, d deps, o pushOptions) (pushResult, error) {
	report := d.Reporter(o.output, d.now)
	defer report.Close()
	p, err := d.publisher(ctx, o.common, report)
	if err != nil {
		return pushResult{}, err
	}
	if o.commit == "" {
		o.commit = d.commit(ctx, gitDir(o.dir))
	}
	if bare, err := p.Unversioned(ctx); err != nil {
		return pushResult{}, err
	} else if bare {
		report.Info("warning: bucket " + o.bucket + " keeps no versions: what somebody deletes there is lost (aws s3api put-bucket-versioning turns them on)")
	}
	by := d.whoami()
	pushed, err := p.Push(ctx, deploy.Source{App: o.app, Dir: o.dir, Commit: o.commit, BuildURL: o.buildURL, PackedBy: by})
	if err != nil {
		return pushResult{}, err
	}
	result := pushResult{Build: pushed.Manifest.ID, Pushed: pushed}
	report.Info(describePush(pushed))
	if o.channel == "" {
		return result, nil
	}
	promoted, err := p.Promote(ctx, deploy.Promotion{App: o.app, Channel: o.channel, Build: result.Build, By: by})
	if err != nil {
		return result, unpromoted(o, result.Build, err)
	}
	result.Promoted = &promoted
	report.Info(describePromotion(promoted))
	return result, nil
}

// gitDir is where the commit is asked for: beside a file.
func gitDir(source string) string {
	if isDir(source) {
		return source
	}
	return filepath.Dir(source)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// unpromoted keeps the build's id in the error: it is in the bucket.
func unpromoted(o pushOptions, id release.ID, err error) error {
	next := fault.NextOf(err)
	if next == "" {
		next = fmt.Sprintf("deployctl promote %s --app %s --channel %s --bucket %s", id.Short(), o.app, o.channel, o.bucket)
	}
	return fault.Newf(fault.Unpublished, next, "the build is pushed, but not live: %w", err)
}

func printPush(d deps, o pushOptions, r pushResult) error {
	if o.output == cliapp.JSON {
		return printJSON(d.Stdout, r)
	}
	if _, err := fmt.Fprintln(d.Stdout, r.Build); err != nil {
		return fmt.Errorf("printing result: %w", err)
	}
	return nil
}

func describePush(p deploy.Pushed) string {
	m, how := p.Manifest, "pushed"
	if p.Reused {
		how = "was there already"
	}
	return fmt.Sprintf("build %s of %s %s (%s, %s)", m.ID.Short(), m.App, how, deploy.FormatEntries(m.Files), deploy.FormatSize(m.Size))
}
