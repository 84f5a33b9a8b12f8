package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/bake"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// objects is what a dry run asks of S3.
type objects interface {
	HeadBucket(context.Context, *s3.HeadBucketInput, ...func(*s3.Options)) (*s3.HeadBucketOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
}

// The values of found.Result.
const (
	isFound   = "found"
	isMissing = "missing"
	isUnknown = "unknown" // the caller may not look
)

// found is one thing that the bake, or its instances, will need.
type found struct {
	What   string `json:"what"`
	Result string `json:"result"`
	Why    string `json:"why,omitempty"`
}

// dryRun is a plan with what was asked about it.
type dryRun struct {
	bake.Plan
	Checks []found      `json:"checks"`
	Rights []bake.Right `json:"rights"`
}

// connectObjects makes the S3 client of a dry run.
func connectObjects(ctx context.Context, o *options) (objects, error) {
	cfg, err := awscfg.Load(ctx, awscfg.Options{Region: o.in.Region, Profile: o.profile, UserAgent: "bakehouse-bake-ami/" + cliapp.Version()})
	if err != nil {
		return nil, err
	}
	return s3.NewFromConfig(cfg, func(so *s3.Options) { so.UsePathStyle = so.BaseEndpoint != nil }), nil
}

// tryPlans asks for the rights of every plan, looks for what instances will
// pull, and prints it all. Refused rights are an error of the kind AWS, a
// bucket or channel that is not there one of the kind Check: rights first.
func (d deps) tryPlans(ctx context.Context, w bake.World, o options, plans []bake.Plan) error {
	store, err := d.objects(ctx, &o)
	if err != nil {
		return err
	}
	var runs []dryRun
	var refused, missing error
	for _, p := range plans {
		r := dryRun{Plan: p, Checks: append(resolved(p), buildsOf(ctx, store, p)...)}
		if r.Rights, err = w.Rights(ctx, p); err != nil {
			return err
		}
		r.Recipe = p.Recipe.Shown()
		runs = append(runs, r)
		refused, missing = firstOf(refused, bake.RefusedRights(r.Rights)), firstOf(missing, lacking(r.Checks))
	}
	return firstOf(refused, missing, d.printRuns(o, runs))
}

// resolved lists what making the plan has found.
func resolved(p bake.Plan) []found {
	r := p.Recipe
	var out []found
	for _, role := range r.Roles {
		out = append(out, found{What: "role " + role, Result: isFound})
	}
	out = append(out, found{What: "environment " + r.Environment, Result: isFound})
	var books []string
	for name, version := range r.Cookbooks {
		books = append(books, "cookbook "+name+" "+version)
	}
	slices.Sort(books)
	for _, b := range books {
		out = append(out, found{What: b, Result: isFound})
	}
	return append(out, found{What: "base image " + r.Base.ID, Result: isFound})
}

// buildsOf looks for the bucket and the channels that instances of the image
// will pull their build from.
func buildsOf(ctx context.Context, store objects, p bake.Plan) []found {
	app := p.Recipe.Agent.App
	if app == nil {
		return nil
	}
	_, err := store.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(app.Bucket)})
	out := []found{look("bucket "+app.Bucket, err)}
	if out[0].Result == isMissing {
		return out
	}
	channels := []string{app.Channel}
	if c := p.ProveChannel(); c != "" && c != app.Channel {
		channels = append(channels, c)
	}
	for _, c := range channels {
		_, err := store.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(app.Bucket), Key: aws.String(release.ChannelKey(app.Name, c))})
		out = append(out, look("channel "+c+" of app "+app.Name, err))
	}
	return out
}

func look(what string, err error) found {
	switch {
	case err == nil:
		return found{What: what, Result: isFound}
	case awserr.IsNotFound(err) || awserr.IsNoBucket(err):
		return found{What: what, Result: isMissing}
	case awserr.IsAuth(err):
		return found{What: what, Result: isUnknown, Why: "S3 does not let the caller look; that instances may is another matter"}
	}
	return found{What: what, Result: isUnknown, Why: awsfault.Brief(err).Error()}
}

// lacking is the error for what is missing.
func lacking(checks []found) error {
	var names []string
	for _, c := range checks {
		if c.Result == isMissing {
			names = append(names, c.What)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fault.Newf(fault.Check, "correct apps.NAME.bucket or apps.NAME.channel, or push a build (deployctl push)",
		"looking for what instances pull: there is no %s", strings.Join(names, ", and no "))
}

// printRuns prints one dry run, or several: a JSON list, or one text after the other.
func (d deps) printRuns(o options, runs []dryRun) error {
	var text []byte
	for i, r := range runs {
		if i > 0 {
			text = append(text, '\n')
		}
		text = append(text, r.text()...)
	}
	if o.output == cliapp.JSON {
		var err error
		if text, err = json.MarshalIndent(runs, "", "  "); len(runs) == 1 {
			text, err = json.MarshalIndent(runs[0], "", "  ")
		}
		if err != nil {
			return fmt.Errorf("rendering the plan: %w", err)
		}
		text = append(text, '\n')
	}
	if _, err := d.Stdout.Write(text); err != nil {
		return errors.Join(errors.New("printing the plan"), err)
	}
	return nil
}

// text renders the dry run for people.
func (r dryRun) text() string {
	var b strings.Builder
	b.WriteString(r.Plan.Text())
	line := func(what, name, result, why string) {
		if why != "" {
			result += ": " + why
		}
		fmt.Fprintf(&b, "%-12s %-44s %s\n", what, name, result)
	}
	for _, c := range r.Checks {
		line("check", c.What, c.Result, c.Why)
	}
	for _, right := range r.Rights {
		line("right", right.Action, right.Verdict, right.Why)
	}
	return b.String()
}
