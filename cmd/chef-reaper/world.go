package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"bakehouse/internal/awscfg"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/events"
	"bakehouse/internal/fault"
	"bakehouse/reap"
)

// settle is how long after the first event others are waited for.
const settle = 3 * time.Second

func realDeps(p cliapp.Process) deps {
	return deps{Process: p, config: config.Load, world: connect, now: time.Now}
}

// connect makes all clients and asks STS, account by account, who we are.
func connect(ctx context.Context, o options) (world, error) {
	chef, err := chefapi.Open(chefapi.Config{ServerURL: o.chef.ServerURL, ClientName: o.chef.ClientName, CAFile: o.chef.CAFile}, o.chef.ClientKey)
	if err != nil {
		return world{}, err
	}
	first := ""
	if len(o.regions) > 0 {
		first = o.regions[0]
	}
	cfg, err := awscfg.Load(ctx, awscfg.Options{Region: first, Profile: o.profile, UserAgent: "bakehouse-chef-reaper/" + cliapp.Version()})
	if err != nil {
		return world{}, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return world{}, err
	}
	if len(o.regions) == 0 {
		o.regions = []string{cfg.Region}
	}
	sources, err := sourcesOf(ctx, cfg, o)
	if err != nil {
		return world{}, err
	}
	w := world{restorer: chef, reaper: &reap.Reaper{Chef: chef, Sources: sources, Policy: o.policy, Now: time.Now, Holder: holder(),
		State: storeAt(cfg, o.state), Saves: storeAt(cfg, o.saves)}}
	if o.queue != "" {
		w.events = &events.Queue{SQS: sqs.NewFromConfig(cfg), URL: o.queue, Setting: "reaper.queue", Settle: settle, Now: time.Now}
	}
	return w, nil
}

// sourcesOf lists what is read: all regions of all accounts, or of the
// caller's own when none is configured.
func sourcesOf(ctx context.Context, cfg aws.Config, o options) ([]reap.Source, error) {
	accounts := o.accounts
	if len(accounts) == 0 {
		accounts = map[string]config.ReaperAccount{"": {}}
	}
	var all []reap.Source
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		own, id, err := enter(ctx, cfg, name, accounts[name])
		if err != nil {
			return nil, err
		}
		if other, twice := seen[id]; twice {
			return nil, fault.Newf(fault.Usage, "remove one of them from reaper.accounts", "entering account %s: it is %s, as %s is", name, id, other)
		}
		seen[id] = name
		for _, region := range o.regions {
			all = append(all, reap.Source{Place: reap.Place{Account: id, Region: region},
				EC2: ec2.NewFromConfig(own, func(e *ec2.Options) { e.Region = region })})
		}
	}
	return all, nil
}

// enter takes the account's role, if it has one, and asks STS which account
// that really is: only its instances may be judged with these credentials.
func enter(ctx context.Context, cfg aws.Config, name string, a config.ReaperAccount) (aws.Config, string, error) {
	if a.RoleARN != "" {
		role := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), a.RoleARN, func(r *stscreds.AssumeRoleOptions) {
			r.RoleSessionName = "bakehouse-chef-reaper"
			if a.ExternalID != "" {
				r.ExternalID = &a.ExternalID
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(role)
	}
	out, err := sts.NewFromConfig(cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		next := "check the AWS credentials, the region and AWS_ENDPOINT_URL"
		if a.RoleARN != "" {
			next = "allow sts:AssumeRole on " + a.RoleARN + ", and let its trust policy name this caller"
		}
		doing := "asking AWS which account the credentials are of"
		if name != "" {
			doing = "entering account " + name
		}
		return cfg, "", fault.New(fault.AWS, next, fmt.Errorf("%s: %w", doing, awsfault.Brief(err)))
	}
	id := aws.ToString(out.Account)
	if a.ID != "" && a.ID != id {
		return cfg, "", fault.Newf(fault.Usage, "correct reaper.accounts."+name, "entering account %s: STS says %s, and the configuration %s", name, id, a.ID)
	}
	return cfg, id, nil
}

// storeAt opens s3://BUCKET/PREFIX or a folder.
func storeAt(cfg aws.Config, place string) reap.Store {
	rest, isS3 := strings.CutPrefix(place, "s3://")
	if !isS3 {
		return reap.Files{Dir: place}
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return reap.Bucket{Name: bucket, Prefix: prefix, S3: s3.NewFromConfig(cfg, func(o *s3.Options) {
		// Another endpoint than AWS's own is a host without a name per bucket.
		o.UsePathStyle = o.BaseEndpoint != nil
		o.DisableLogOutputChecksumValidationSkipped = true // a line on stderr for each small object
	})}
}

// holder names this process to a reaper that finds the lease taken.
func holder() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
