package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"bakehouse/deploy"
	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

// bucket is S3 as a map; package deploy's tests have a server.
type bucket struct {
	deploy.S3
	name     string
	objects  map[string][]byte
	options  awscfg.Options // asked for
	versions types.BucketVersioningStatus
	denied   string // keys that contain it cannot be written
	wrote    func(key string)
}

func (b *bucket) missing() error { return &smithy.GenericAPIError{Code: "NoSuchKey", Message: "no"} }

func (b *bucket) HeadObject(_ context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	body, ok := b.objects[*in.Key]
	if !ok {
		return nil, b.missing()
	}
	n := int64(len(body))
	return &s3.HeadObjectOutput{ContentLength: &n}, nil
}

func (b *bucket) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	body, ok := b.objects[*in.Key]
	if !ok || *in.Bucket != b.name {
		return nil, b.missing()
	}
	etag := string(body)
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(body)), ETag: &etag}, nil
}

func (b *bucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	old, there := b.objects[*in.Key]
	switch {
	case b.denied != "" && strings.Contains(*in.Key, b.denied):
		return nil, &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}
	case in.IfNoneMatch != nil && there, in.IfMatch != nil && *in.IfMatch != string(old):
		return nil, &smithy.GenericAPIError{Code: "PreconditionFailed", Message: "no"}
	}
	body, err := io.ReadAll(in.Body)
	b.objects[*in.Key] = body
	if b.wrote != nil {
		b.wrote(*in.Key)
	}
	etag := string(body)
	return &s3.PutObjectOutput{ETag: &etag}, err
}

func (b *bucket) ListObjectsV2(_ context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	out := &s3.ListObjectsV2Output{}
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		rest, ok := strings.CutPrefix(key, *in.Prefix)
		dir, _, deeper := strings.Cut(rest, "/")
		prefix := *in.Prefix + dir + "/"
		switch deeper = deeper && in.Delimiter != nil; {
		case !ok || deeper && slices.ContainsFunc(out.CommonPrefixes, func(p types.CommonPrefix) bool { return *p.Prefix == prefix }):
		case deeper:
			out.CommonPrefixes = append(out.CommonPrefixes, types.CommonPrefix{Prefix: &prefix})
		default:
			n, at := int64(len(b.objects[key])), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			out.Contents = append(out.Contents, types.Object{Key: &key, Size: &n, LastModified: &at})
		}
	}
	return out, nil
}

func (b *bucket) GetBucketVersioning(context.Context, *s3.GetBucketVersioningInput, ...func(*s3.Options)) (*s3.GetBucketVersioningOutput, error) {
	return &s3.GetBucketVersioningOutput{Status: b.versions}, nil
}

func (b *bucket) DeleteObject(_ context.Context, in *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	delete(b.objects, *in.Key)
	return &s3.DeleteObjectOutput{}, nil
}

// bench is one bucket and what the tool runs in.
type bench struct {
	bucket *bucket
	file   config.Config
	s3     error // of connecting
	hall   *hall // hosts; nil: none
	keys   keyService
	alarms deploy.CloudWatch
	tg     deploy.Balancers
	answer string // typed at a terminal; empty: there is none

	client  deploy.S3      // instead of the bucket
	signals chan os.Signal // nil: nobody sends any
}

func newBench() *bench {
	return &bench{bucket: &bucket{name: "builds", versions: types.BucketVersioningStatusEnabled, objects: map[string][]byte{}},
		file: config.Config{Region: "eu-west-1", Apps: map[string]config.App{"web": {Bucket: "builds", Channel: "staging"}}}}
}

// run runs one command line and returns exit code, stdout and stderr.
func (b *bench) run(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	d := deps{
		Process: cliapp.Process{Args: append([]string{"deployctl"}, args...), Stdin: strings.NewReader(b.answer), Stdout: &out, Stderr: &errs,
			Getenv: func(string) string { return "" }},
		s3: func(_ context.Context, o awscfg.Options) (deploy.S3, error) {
			b.bucket.options = o
			if b.client != nil {
				return b.client, nil
			}
			return b.bucket, b.s3
		},
		alarms:    func(context.Context, awscfg.Options) (deploy.CloudWatch, error) { return b.alarms, nil },
		balancers: func(context.Context, awscfg.Options) (deploy.Balancers, error) { return b.tg, nil },
		groups:    func(context.Context, awscfg.Options) (deploy.Refreshing, error) { return nil, nil },
		environ:   func() []string { return []string{"PATH=/usr/bin:/bin"} },
		kms:       func(context.Context, awscfg.Options) (keyService, error) { return b.keys, nil },
		lister: func(context.Context, hostOptions) (deploy.Lister, error) {
			return deploy.Lister{Chef: b.hall, EC2: b.hall}, nil
		},
		engine: func(context.Context, loginOptions) (deploy.Engine, error) { return b.hall, nil },
		config: func(path string, mustExist bool) (config.Config, error) {
			if mustExist && path != "given.yaml" {
				return config.Config{}, fault.Newf(fault.Usage, "", "reading %s: no such file", path)
			}
			return b.file, nil
		},
		terminal: func() bool { return b.answer != "" },
		now:      func() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) },
		whoami:   func() string { return "ann@host" },
		commit:   func(context.Context, string) string { return "c0ffee" },
	}
	code = cliapp.Run(context.Background(), d.Process, newApp(d), b.signals)
	return code, out.String(), errs.String()
}

func tree(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// ok runs a command line that has to succeed and returns its stdout.
func (b *bench) ok(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := b.run(args...)
	if code != 0 {
		t.Fatalf("deployctl %s: code %d\n%s", strings.Join(args, " "), code, errs)
	}
	return out
}

func TestPushPromoteShow(t *testing.T) {
	t.Parallel()
	b := newBench()
	one := strings.TrimSpace(b.ok(t, "push", tree(t, "v1"), "--app", "web"))
	if len(one) != 64 {
		t.Fatalf("push printed %q, want a build id alone", one)
	}
	if out := b.ok(t, "promote", one[:12], "--app", "web"); out != "build "+one[:12]+" is live on staging of web (serial 1, the first)\n" {
		t.Errorf("promote on the configured channel printed %q", out)
	}
	two := strings.TrimSpace(b.ok(t, "push", tree(t, "v2"), "--app", "web", "--channel", "staging"))
	if out := b.ok(t, "promote", two, "--app", "web", "--channel", "staging"); out != "build "+two[:12]+" is live on staging of web already (serial 2)\n" {
		t.Errorf("promoting again printed %q", out)
	}
	b.ok(t, "promote", one, "--app", "web", "--channel", "production")
	want := "CHANNEL     BUILD         SERIAL  PROMOTED                          COMMIT\n" +
		"production  " + one[:12] + "  1       2026-03-04T05:06:07Z by ann@host  c0ffee\n" +
		"staging     " + two[:12] + "  2       2026-03-04T05:06:07Z by ann@host  c0ffee\n"
	if out := b.ok(t, "show", "--app", "web"); out != want {
		t.Errorf("show printed\n%swant\n%s", out, want)
	}
	for args, parts := range map[string][]string{
		"show --app web --channel staging": {"channel   staging\n", "serial    2\n", "before    " + one + "\n", "build     " + two + "\n", "commit    c0ffee\n"},
		"show --app web " + one[:8]:        {"build   " + one + "\n", "pushed  2026-03-04T05:06:07Z by ann@host\n", "in 1 entry\n"},
	} {
		out := b.ok(t, strings.Fields(args)...)
		for _, part := range parts {
			if !strings.Contains(out, part) {
				t.Errorf("%s: no %q in\n%s", args, part, out)
			}
		}
	}
}

func TestJSONResults(t *testing.T) {
	t.Parallel()
	b := newBench()
	decode := func(into any, args ...string) {
		t.Helper()
		if err := json.Unmarshal([]byte(b.ok(t, append(args, "--output", "json")...)), into); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
	}
	var push pushResult
	decode(&push, "push", tree(t, "v1"), "--app", "web", "--channel", "production", "--build-url", "http://ci/1", "--commit", "beef")
	if push.Build == "" || push.Reused || push.Promoted == nil || push.Promoted.Channel.Serial != 1 || push.Manifest.Commit != "beef" || push.Manifest.BuildURL != "http://ci/1" {
		t.Errorf("push printed %+v", push)
	}
	var promote deploy.Promoted
	decode(&promote, "promote", string(push.Build), "--app", "web", "--channel", "production")
	if promote.Changed || promote.Channel.Build != push.Build {
		t.Errorf("promote printed %+v", promote)
	}
	var all []deploy.Live
	var one deploy.Live
	decode(&all, "show", "--app", "web")
	decode(&one, "show", "--app", "web", "--channel", "production")
	if len(all) != 1 || all[0] != one || one.Manifest != push.Manifest {
		t.Errorf("show printed %+v and %+v", all, one)
	}
}

func TestProgressGoesToStderr(t *testing.T) {
	t.Parallel()
	b, dir := newBench(), tree(t, "v1")
	code, out, errs := b.run("push", dir, "--app", "web", "--channel", "production")
	id := strings.TrimSpace(out)
	for _, want := range []string{"pack", "upload", "build " + id[:12] + " of web pushed (1 entry, ", "build " + id[:12] + " is live on production of web (serial 1, the first)"} {
		if code != 0 || !strings.Contains(errs, want) {
			t.Errorf("code %d, no %q in\n%s", code, want, errs)
		}
	}
	_, _, errs = b.run("push", dir, "--app", "web", "-o", "json")
	for line := range strings.Lines(errs) {
		if !json.Valid([]byte(line)) {
			t.Errorf("with --output json stderr has the line %q", line)
		}
	}
	if !strings.Contains(errs, "was there already") {
		t.Errorf("the second push does not say so:\n%s", errs)
	}
}

func TestSettingsComeFromFlagThenFile(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.ok(t, "push", tree(t, "v1"), "--app", "web", "--config", "given.yaml")
	if o := b.bucket.options; o.Region != "eu-west-1" || !strings.HasPrefix(o.UserAgent, "bakehouse-deployctl/") {
		t.Errorf("asked for %+v, want the file's region", o)
	}
	b.bucket.name = "other"
	b.ok(t, "push", tree(t, "v1"), "--app", "web", "--bucket", "other", "--region", "us-east-1", "--profile", "p")
	if o := b.bucket.options; o.Region != "us-east-1" || o.Profile != "p" {
		t.Errorf("asked for %+v, want the flags'", o)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	empty, never := t.TempDir(), strings.Repeat("ab", 32)
	cases := []struct {
		name, args string
		spoil      func(*bench)
		code       int
		want       string
	}{
		{"no directory", "push --app web", nil, 2, "missing argument DIR"},
		{"no app", "push x", nil, 2, "missing --app NAME"},
		{"no bucket", "push x --app api", nil, 2, "no bucket: give --bucket, or apps.api.bucket in bakehouse.yaml"},
		{"a file that is not there", "push x --app web --config other.yaml", nil, 2, "reading other.yaml: no such file"},
		{"a bad format", "push x --app web -o xml", nil, 2, "--output xml"},
		{"a bad app name", "push " + empty + " --app Web -b builds", nil, 2, `checking name of app: "Web" is not allowed`},
		{"a bad channel name", "push " + empty + " --app web --channel a/b", nil, 2, `checking name of channel: "a/b" is not allowed`},
		{"an empty directory", "push " + empty + " --app web", nil, 2, "there is no file to pack"},
		{"no such directory", "push " + empty + "/x --app web", nil, 2, "no such file or directory"},
		{"no credentials", "push " + empty + " --app web", func(b *bench) { b.s3 = fault.New(fault.AWS, "", errors.New("no credentials")) }, 5, "no credentials"},
		{"no build to promote", "promote --app web", nil, 2, "missing argument BUILD"},
		{"no channel to promote on", "promote abcdef --app web", func(b *bench) { b.file.Apps["web"] = config.App{Bucket: "builds"} }, 2, "no channel: give --channel"},
		{"a build that is not there", "promote " + never + " --app web", nil, 4, "there is no build abababababab"},
		{"a short build that is not there", "promote abcdef --app web", nil, 4, "looking for build abcdef of web: there is none"},
		{"no id at all", "promote v1.2 --app web", nil, 2, `reading build "v1.2"`},
		{"nothing to show", "show --app web", nil, 4, "showing web: it has no channel in bucket builds"},
		{"no such channel", "show --app web --channel nightly", nil, 4, "nothing was promoted yet"},
		{"too much to show", "show abcdef --app web --channel nightly", nil, 2, "give BUILD or --channel, not both"},
	}
	for _, c := range cases {
		b := newBench()
		if c.spoil != nil {
			c.spoil(b)
		}
		code, out, errs := b.run(strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.want) || out != "" || strings.Count(errs, "\n") > 5 {
			t.Errorf("%s: code %d, want %d and %q in at most 5 lines\n%s%s", c.name, code, c.code, c.want, errs, out)
		}
		if len(b.bucket.objects) != 0 {
			t.Errorf("%s: left %d objects", c.name, len(b.bucket.objects))
		}
	}
}

func TestPushedButNotLiveIsCode8(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.bucket.denied = "channels/"
	code, out, errs := b.run("push", tree(t, "v1"), "--app", "web", "--channel", "production")
	if code != 8 || len(strings.TrimSpace(out)) != 64 || !strings.Contains(errs, "the build is pushed, but not live: promoting build ") ||
		!strings.Contains(errs, "next: allow s3:PutObject on s3://builds/web/channels/production.json") {
		t.Errorf("code %d, want 8, the id and what to do\n%s%s", code, out, errs)
	}
}

func TestHelpOfEveryCommandHasTheExitCodes(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"push", "--help"}, {"promote", "-h"}, {"hosts", "-h"}, {"rollout", "-h"}, {"help", "show"}} {
		if out := newBench().ok(t, args...); !strings.Contains(out, fault.Help()) {
			t.Errorf("%q: no exit codes in\n%s", args, out)
		}
	}
}
