package main

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// TestARolloutOfNoHosts is refused unless it is asked for.
func TestARolloutOfNoHosts(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	code, _, errs := h.b.run("rollout", v2, "--app", "web", "--role", "nobody")
	if code != 4 || !strings.Contains(errs, "--allow-empty lets a rollout without hosts pass") || h.live(t) != v1 {
		t.Errorf("no host: code %d, live %s\n%s", code, h.live(t), errs)
	}
	if out := h.b.ok(t, "rollout", v2, "--app", "web", "--role", "nobody", "--allow-empty"); !strings.Contains(out, "0 hosts: 0 deployed") || h.live(t) != v2 || len(h.went) != 0 {
		t.Errorf("--allow-empty: live %s, went %v\n%s", h.live(t), h.went, out)
	}
}

// TestAPipeInTheTreeIsNoBuild: special files, devices among them, are named.
func TestAPipeInTheTreeIsNoBuild(t *testing.T) {
	t.Parallel()
	b, dir := newBench(), tree(t, "v1")
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := b.run("push", dir, "--app", "web")
	if code != 2 || !strings.Contains(errs, "pipe: it is a named pipe") || len(b.bucket.objects) != 0 {
		t.Errorf("code %d, %d objects\n%s", code, len(b.bucket.objects), errs)
	}
}

// TestAWrongKeyPromotesNothing: who holds another key than the one that signed
// the build cannot make it live.
func TestAWrongKeyPromotesNothing(t *testing.T) {
	t.Parallel()
	b := newBench()
	right, _ := b.key(t)
	wrong, _ := b.key(t)
	id := strings.TrimSpace(b.ok(t, "push", tree(t, "v1"), "--app", "web", "--sign-key", right))
	code, _, errs := b.run("promote", id, "--app", "web", "--channel", "staging", "--sign-key", wrong)
	if code != 4 || !strings.Contains(errs, "carries no good signature") || b.bucket.objects["web/channels/staging.json"] != nil {
		t.Errorf("code %d\n%s", code, errs)
	}
}

// TestFlagsThatMeanNothingTogetherAreRefused, and an empty value does not mean
// the whole fleet. Nothing has happened then.
func TestFlagsThatMeanNothingTogetherAreRefused(t *testing.T) {
	t.Parallel()
	h, v1, v2 := newHall(t)
	for args, want := range map[string]string{
		"--limit 0":                          "--limit 0: want 1 or more; without --limit it is all hosts",
		"--zone=":                            "--zone is empty: leave it out for all hosts",
		"--query=":                           "--query is empty",
		"--hosts=":                           "--hosts is empty",
		"--hosts=,":                          "--hosts is empty",
		"--wave 0":                           "a wave of no hosts",
		"--wave 101%":                        `--wave: "101%" is no amount`,
		"--canary -1":                        `--canary: "-1" is no amount`,
		"--max-unhealthy 5.5%":               `--max-unhealthy: "5.5%" is no amount`,
		"--parallel 0":                       "0 hosts at a time: want 1 or more",
		"--pause 5":                          `invalid value "5" for flag --pause: want a time such as 30s or 5m`,
		"--gate-timeout 5s":                  "--gate-timeout is for a command: give --gate, too",
		"--engine ssm --ssh-port 23":         "--ssh-port is for --engine ssh",
		"--engine pull --jump-key k":         "--jump-key is for --engine ssh",
		"--engine refresh --canary 3":        "Auto Scaling counts in percent: give --wave and --canary as 25%",
		"--engine refresh --wave 3":          "Auto Scaling counts in percent",
		"--engine refresh --max-unhealthy 1": "leave --parallel, --max-unhealthy and --host-timeout out",
		"--engine refresh --parallel 7":      "leave --parallel, --max-unhealthy and --host-timeout out",
		"--engine refresh --host-timeout 1m": "leave --parallel, --max-unhealthy and --host-timeout out",
	} {
		code, out, errs := h.b.run(append([]string{"rollout", v2, "--app", "web"}, strings.Fields(args)...)...)
		if code != 2 || out != "" || !strings.Contains(errs, want) || strings.Count(errs, "\n") != 2 || !strings.Contains(errs, "  next: ") {
			t.Errorf("%s: code %d, want 2 and %q with a next step\n%s%s", args, code, want, out, errs)
		}
	}
	if h.live(t) != v1 || len(h.went) != 0 {
		t.Errorf("live %s, went %v", h.live(t), h.went)
	}
}

// TestCommandsThatNeedNoChannelHaveNoSuchFlag.
func TestCommandsThatNeedNoChannelHaveNoSuchFlag(t *testing.T) {
	t.Parallel()
	b := newBench()
	for _, command := range []string{"hosts", "gc", "public-key"} {
		if help := b.ok(t, command, "--help"); strings.Contains(help, "--channel") {
			t.Errorf("%s offers --channel:\n%s", command, help)
		}
	}
	help := b.ok(t, "rollout", "--help")
	for _, flag := range []string{"--limit N ", "--deadline TIME ", "--pause TIME "} {
		_, rest, _ := strings.Cut(help, "   "+flag)
		if line, _, _ := strings.Cut(rest, "\n"); strings.Count(line, "(default") != 1 || strings.Contains(line, "default: 0") {
			t.Errorf("%s: %q does not say what it is without", flag, line)
		}
	}
}

// TestThePublicHalfOfANamedKeyNeedsNoApp: as the help of public-key shows it.
func TestThePublicHalfOfANamedKeyNeedsNoApp(t *testing.T) {
	t.Parallel()
	b := newBench()
	path := filepath.Join(t.TempDir(), "sign.pem")
	public := b.ok(t, "keygen", path)
	if out := b.ok(t, "public-key", "--sign-key", path); out != public {
		t.Errorf("%q, want %q", out, public)
	}
	if code, _, errs := b.run("public-key"); code != 2 || !strings.Contains(errs, "no signing key: give --sign-key, or --app NAME") {
		t.Errorf("without a key: code %d\n%s", code, errs)
	}
}

// stalled is a bucket that takes no part before somebody ends the upload.
type stalled struct {
	*bucket
	signals chan<- os.Signal
	sig     os.Signal
	once    sync.Once
	mu      sync.Mutex
	aborted int
}

func (s *stalled) CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return &s3.CreateMultipartUploadOutput{UploadId: aws.String("upload-1")}, nil
}

func (s *stalled) UploadPart(ctx context.Context, _ *s3.UploadPartInput, _ ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	s.once.Do(func() { s.signals <- s.sig })
	<-ctx.Done()
	return nil, &smithy.OperationError{ServiceID: "S3", OperationName: "UploadPart", Err: ctx.Err()}
}

func (s *stalled) AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.aborted++
	return &s3.AbortMultipartUploadOutput{}, nil
}

// TestAnInterruptedPushLeavesNothing: Ctrl-C in the middle of an upload gives up
// its parts, and says so in one line.
func TestAnInterruptedPushLeavesNothing(t *testing.T) {
	t.Parallel()
	for sig, want := range map[os.Signal]struct {
		code int
		name string
	}{os.Interrupt: {130, "SIGINT"}, syscall.SIGTERM: {143, "SIGTERM"}} {
		b, dir := newBench(), t.TempDir()
		body := make([]byte, 17<<20) // more than one part
		if _, err := rand.Read(body); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "web"), body, 0o755); err != nil {
			t.Fatal(err)
		}
		b.signals = make(chan os.Signal, 1)
		s := &stalled{bucket: b.bucket, signals: b.signals, sig: sig}
		b.client = s
		code, out, errs := b.run("push", dir, "--app", "web", "--channel", "staging")
		_, last, _ := strings.Cut(errs, "deployctl: error: ")
		if code != want.code || out != "" || !strings.HasPrefix(last, "interrupted by "+want.name+": writing s3://builds/web/builds/") || !strings.HasSuffix(last, "/build.tar.zst: cut off\n") {
			t.Errorf("%s: code %d, the last words are %q\n%s%s", want.name, code, last, out, errs)
		}
		if s.aborted != 1 || len(b.bucket.objects) != 0 {
			t.Errorf("%s: %d uploads given up, %d objects", want.name, s.aborted, len(b.bucket.objects))
		}
	}
}
