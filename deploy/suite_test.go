package deploy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

func start() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

// client makes a client of the S3 server at endpoint, with retries that do not wait.
func client(endpoint string) *s3.Client {
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true, RetryMaxAttempts: 3,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		}),
		Retryer: noDelay{aws.NopRetryer{}},
	})
}

// noDelay retries what the network broke, at once.
type noDelay struct{ aws.NopRetryer }

func (noDelay) MaxAttempts() int { return 3 }
func (noDelay) IsErrorRetryable(err error) bool {
	return awserr.Code(err) == "" && !errors.Is(err, context.Canceled)
}
func (noDelay) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

// publisher makes a Publisher for bucket with a clock that stands still.
func publisher(t *testing.T, c S3, bucket string) *Publisher {
	return &Publisher{S3: c, Bucket: bucket, Now: start, TempDir: t.TempDir(),
		Pause: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

// tree makes a directory with one file.
func tree(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "web"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func mustPush(t *testing.T, p *Publisher, dir string) release.Manifest {
	t.Helper()
	done, err := p.Push(context.Background(), Source{App: "web", Dir: dir, Commit: "c0ffee", BuildURL: "http://ci/7", PackedBy: "ann@host"})
	if err != nil {
		t.Fatal(err)
	}
	return done.Manifest
}

// semantics is what must hold on any S3; newBucket makes a fresh, empty bucket.
func semantics(t *testing.T, newBucket func(t *testing.T) (S3, string)) {
	for name, check := range map[string]func(*testing.T, S3, string){
		"push":           pushTwice,
		"big":            pushBig,
		"promote":        promoteInTurn,
		"race":           promoteAtOnce,
		"stale":          promoteStale,
		"missing build":  promoteMissing,
		"resolve":        resolvePrefix,
		"missing bucket": missingBucket,
		"empty channel":  showNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, bucket := newBucket(t)
			check(t, c, bucket)
		})
	}
}

func pushTwice(t *testing.T, c S3, bucket string) {
	p := publisher(t, c, bucket)
	m := mustPush(t, p, tree(t, "v1"))
	if m.Commit != "c0ffee" || m.BuildURL != "http://ci/7" || m.PackedBy != "ann@host" || !m.CreatedAt.Equal(start()) || m.Files != 1 {
		t.Errorf("manifest is %+v", m)
	}
	out, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String(release.ArtifactKey("web", m.ID))})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	unpackInto(t, out.Body, m)
	again, err := p.Push(context.Background(), Source{App: "web", Dir: tree(t, "v1"), Commit: "another"})
	if err != nil || !again.Reused || again.Manifest != m {
		t.Errorf("the second push says %+v (%v), want the first one's manifest, reused", again, err)
	}
	if left, _ := os.ReadDir(p.TempDir); len(left) != 0 {
		t.Errorf("temporary files remain: %v", left)
	}
}

func unpackInto(t *testing.T, r io.Reader, m release.Manifest) {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := release.Unpack(context.Background(), r, m, root); err != nil {
		t.Error(err)
	}
}

// pushBig takes the multipart way.
func pushBig(t *testing.T, c S3, bucket string) {
	p := publisher(t, c, bucket)
	log := &steps{}
	p.Progress = log
	noise := make([]byte, partSize+partSize/2)
	source := rand.NewChaCha8([32]byte{})
	if _, err := source.Read(noise); err != nil {
		t.Fatal(err)
	}
	m := mustPush(t, p, tree(t, string(noise)))
	out, err := c.GetObject(context.Background(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String(release.ArtifactKey("web", m.ID))})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	unpackInto(t, out.Body, m)
	if again, err := p.Push(context.Background(), Source{App: "web", Dir: tree(t, string(noise))}); err != nil || !again.Reused {
		t.Errorf("the second push says %+v (%v), want reused", again, err)
	}
	if got := log.String(); !strings.Contains(got, "pack: 1 entry, 24.0 MiB to 24.0 MiB") || !strings.Contains(got, "upload: 24.0 MiB of 24.0 MiB") {
		t.Errorf("progress was\n%s", got)
	} else if strings.Count(got, "\n") > 20 { // the clock stands still
		t.Errorf("packing tells of every write:\n%s", got)
	}
}

func promoteInTurn(t *testing.T, c S3, bucket string) {
	ctx, p := context.Background(), publisher(t, c, bucket)
	one, two := mustPush(t, p, tree(t, "v1")), mustPush(t, p, tree(t, "v2"))
	first, err := p.Promote(ctx, Promotion{"web", "production", one.ID, "ann@host"})
	if err != nil || !first.Changed || first.Channel.Serial != 1 || first.Channel.Previous != "" {
		t.Fatalf("first promotion: %+v (%v)", first, err)
	}
	if same, err := p.Promote(ctx, Promotion{"web", "production", one.ID, "bob@host"}); err != nil || same.Changed || same.Channel != first.Channel {
		t.Errorf("promoting the live build: %+v (%v), want no change", same, err)
	}
	second, err := p.Promote(ctx, Promotion{"web", "production", two.ID, "bob@host"})
	if err != nil || second.Channel.Serial != 2 || second.Channel.Previous != one.ID || second.Channel.PromotedBy != "bob@host" {
		t.Errorf("second promotion: %+v (%v)", second, err)
	}
	live, err := p.Show(ctx, "web", "production")
	if err != nil || live.Channel != second.Channel || live.Manifest != two {
		t.Errorf("show says %+v (%v)", live, err)
	}
	if names, err := p.Channels(ctx, "web"); err != nil || len(names) != 1 || names[0] != "production" {
		t.Errorf("channels are %q (%v)", names, err)
	}
}

// promoteAtOnce lets several promote different builds over the same reading.
func promoteAtOnce(t *testing.T, c S3, bucket string) {
	ctx := context.Background()
	var builds []release.ID
	for _, text := range []string{"a", "b", "c", "d"} {
		builds = append(builds, mustPush(t, publisher(t, c, bucket), tree(t, text)).ID)
	}
	read := &barrier{S3: c, key: release.ChannelKey("web", "production"), together: len(builds)}
	read.open = sync.NewCond(&read.mu)
	errs, wait := make([]error, len(builds)), sync.WaitGroup{}
	for i, id := range builds {
		p := publisher(t, read, bucket)
		wait.Go(func() { _, errs[i] = p.Promote(ctx, Promotion{"web", "production", id, "user" + string(rune('0'+i))}) })
	}
	wait.Wait()
	live, err := publisher(t, c, bucket).Show(ctx, "web", "production")
	if err != nil || live.Channel.Serial != 1 {
		t.Fatalf("the channel is %+v (%v), want serial 1", live.Channel, err)
	}
	for i, err := range errs {
		var lost *LostRace
		switch {
		case builds[i] == live.Channel.Build && err != nil:
			t.Errorf("the winner failed: %v", err)
		case builds[i] != live.Channel.Build && (!errors.As(err, &lost) || lost.Won != live.Channel || fault.KindOf(err) != fault.Check):
			t.Errorf("a loser got %v, want the winner %+v", err, live.Channel)
		}
	}
}

// barrier holds the first readings of a key back until all have been made.
type barrier struct {
	S3
	key      string
	mu       sync.Mutex
	open     *sync.Cond
	together int
}

func (b *barrier) GetObject(ctx context.Context, in *s3.GetObjectInput, o ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	out, err := b.S3.GetObject(ctx, in, o...)
	if *in.Key != b.key {
		return out, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.together--
	b.open.Broadcast()
	for b.together > 0 {
		b.open.Wait()
	}
	return out, err
}

// promoteStale loses against a change of an existing channel.
func promoteStale(t *testing.T, c S3, bucket string) {
	ctx, p := context.Background(), publisher(t, c, bucket)
	one, two, three := mustPush(t, p, tree(t, "v1")), mustPush(t, p, tree(t, "v2")), mustPush(t, p, tree(t, "v3"))
	if _, err := p.Promote(ctx, Promotion{"web", "production", one.ID, "ann@host"}); err != nil {
		t.Fatal(err)
	}
	late := publisher(t, c, bucket)
	late.Now = func() time.Time { // between reading and writing
		if _, err := p.Promote(ctx, Promotion{"web", "production", two.ID, "bob@host"}); err != nil {
			t.Error(err)
		}
		return start()
	}
	_, err := late.Promote(ctx, Promotion{"web", "production", three.ID, "ann@host"})
	want := "promoting build " + three.ID.Short() + " of web on production: bob@host was faster: build " + two.ID.Short() + " since 2026-03-04T05:06:07Z (serial 2)"
	if err == nil || err.Error() != want {
		t.Errorf("the late one got %v, want %s", err, want)
	}
	if live, err := p.Show(ctx, "web", "production"); err != nil || live.Channel.Build != two.ID {
		t.Errorf("live is %+v (%v), want the winner's", live.Channel, err)
	}
}

func promoteMissing(t *testing.T, c S3, bucket string) {
	ctx, p := context.Background(), publisher(t, c, bucket)
	never := release.ID(strings.Repeat("ab", 32))
	_, err := p.Promote(ctx, Promotion{"web", "production", never, ""})
	if err == nil || fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "there is no build abababababab: no manifest at s3://"+bucket+"/web/builds/") {
		t.Errorf("a build that was never pushed: %v", err)
	}
	m := mustPush(t, p, tree(t, "v1"))
	m.ID = never
	body, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.write(ctx, release.ManifestKey("web", never), "", body); err != nil {
		t.Fatal(err)
	}
	if _, err = p.Promote(ctx, Promotion{"web", "production", never, ""}); err == nil || !strings.Contains(err.Error(), "there is no artefact at s3://") {
		t.Errorf("a build without artefact: %v", err)
	}
	in := &s3.PutObjectInput{Bucket: &bucket, Key: aws.String(release.ArtifactKey("web", never)), ChecksumAlgorithm: "SHA256"}
	for _, text := range []string{"short", strings.Repeat("x", int(m.Size))} {
		in.Body = bytes.NewReader([]byte(text))
		if _, err := c.PutObject(ctx, in); err != nil {
			t.Fatal(err)
		}
		if _, err = p.Promote(ctx, Promotion{"web", "production", never, ""}); err == nil || !strings.Contains(err.Error(), "the object is not the build that it is named after") {
			t.Errorf("a build with other bytes (%d): %v", len(text), err)
		}
	}
	if names, err := p.Channels(ctx, "web"); err != nil || len(names) != 0 {
		t.Errorf("refusals left channels %q (%v)", names, err)
	}
}

func resolvePrefix(t *testing.T, c S3, bucket string) {
	ctx, p := context.Background(), publisher(t, c, bucket)
	m := mustPush(t, p, tree(t, "v1"))
	for _, text := range []string{string(m.ID), m.ID.Short(), string(m.ID[:6])} {
		if id, err := p.Resolve(ctx, "web", text); err != nil || id != m.ID {
			t.Errorf("%s is %s (%v), want %s", text, id, err, m.ID)
		}
	}
	twin := m
	twin.ID = m.ID[:60] + "0000"
	body, err := twin.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.write(ctx, release.ManifestKey("web", twin.ID), "", body); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		string(m.ID[:12]): "there are 2, for example " + m.ID.Short(),
		"000000000000":    "there is none in bucket " + bucket,
		"abc":             "first 6 or more digits",
		"../../x":         "want a build id",
	} {
		if _, err := p.Resolve(ctx, "web", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func missingBucket(t *testing.T, c S3, _ string) {
	p := publisher(t, c, "no-such-bucket")
	_, err := p.Push(context.Background(), Source{App: "web", Dir: tree(t, "v1")})
	if err == nil || fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "there is no such bucket") {
		t.Errorf("push: %v", err)
	}
	_, err = p.Show(context.Background(), "web", "production")
	if err == nil || fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "there is no such bucket") {
		t.Errorf("show: %v", err)
	}
}

func showNothing(t *testing.T, c S3, bucket string) {
	_, err := publisher(t, c, bucket).Show(context.Background(), "web", "production")
	if err == nil || fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "nothing was promoted yet") {
		t.Errorf("show: %v", err)
	}
}

// steps writes progress down.
type steps struct {
	mu    sync.Mutex
	lines []string
}

func (s *steps) add(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, line)
}

func (s *steps) StepStarted(name string)                        { s.add("start " + name) }
func (s *steps) StepProgress(name, d string)                    { s.add(name + ": " + d) }
func (s *steps) StepDone(name string, _ time.Duration, _ error) { s.add("done " + name) }
func (s *steps) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}
