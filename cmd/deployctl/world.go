package main

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// gitTimeout bounds the question for the commit, which is only a label.
const gitTimeout = 3 * time.Second

func realDeps(p cliapp.Process) deps {
	return deps{Process: p, terminal: p.Interactive, s3: connect, kms: connectKMS, alarms: connectAlarms, balancers: connectBalancers, groups: connectGroups, environ: os.Environ, lister: connectLister, engine: engines(p.Getenv("SSH_AUTH_SOCK"), p.Getenv("HOME")), config: config.Load, now: time.Now, whoami: whoami, commit: gitCommit}
}

// connect makes the S3 client, after a look for credentials, so that a push
// does not pack for minutes to end there.
func connect(ctx context.Context, o awscfg.Options) (deploy.S3, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(o *s3.Options) {
		// Another endpoint than AWS's own is a host without a name per bucket.
		o.UsePathStyle = o.BaseEndpoint != nil
	}), nil
}

func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// gitCommit asks git; without git or checkout there is no commit to tell.
func gitCommit(ctx context.Context, dir string) string {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
