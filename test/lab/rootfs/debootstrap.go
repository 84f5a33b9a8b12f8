package rootfs

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // fetch.sh
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"bakehouse/internal/fault"
)

//go:embed fetch.sh
var fetchScript string

// debootstrapDirs is where one build puts what.
type debootstrapDirs struct{ work, root, debs string }

// excluded lists what packages may leave out: it halves the unpacking.
func excluded() []string {
	return []string{
		"path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*",
		"path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright",
		"path-exclude=/usr/share/info/*",
	}
}

// runMmdebstrap makes the root file system and downloads the repository's packages
// while apt's view of it still exists.
func (b *builder) runMmdebstrap(ctx context.Context, dirs debootstrapDirs) error {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fault.New(fault.Usage, "apt-get install mmdebstrap", err)
	}
	script := filepath.Join(dirs.work, "fetch.sh")
	if err := os.WriteFile(script, []byte(fetchScript), 0o755); err != nil {
		return err
	}
	args := []string{"--variant=apt", "--mode=root", "--format=directory",
		"--include=" + strings.Join(basePackages(), ","), "--customize-hook=" + script}
	for _, option := range excluded() {
		args = append(args, "--dpkgopt="+option)
	}
	if proxy := aptProxy(ctx); proxy != "" {
		args = append(args, "--aptopt=Acquire::http::Proxy \""+proxy+"\"")
	}
	args = append(args, b.opts.Suite, dirs.root)
	for _, s := range b.sources {
		args = append(args, s.line())
	}
	cmd := sealedCommand(ctx, "mmdebstrap", args)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
		"LAB_REPO=" + dirs.debs, "LAB_PACKAGES=" + strings.Join(b.opts.Packages, " "), "TMPDIR=" + dirs.work}
	tail := &tailLog{log: b.log}
	cmd.Stdout, cmd.Stderr = tail, tail
	if err := runLocked(cmd); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fault.Newf(fault.Internal, "check that the machine reaches its Debian mirror: apt-get update",
			"running mmdebstrap: %w: %s", err, tail)
	}
	return nil
}

// sealedCommand wraps a command into a PID namespace of its own, so that killing
// this process kills everything that the command started.
func sealedCommand(ctx context.Context, name string, args []string) *exec.Cmd {
	wrapped := append([]string{"--mount", "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--", name}, args...)
	cmd := exec.CommandContext(ctx, "unshare", wrapped...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// runLocked runs cmd on one thread to its end: the kernel sends the parent-death
// signal when the starting thread ends, not when the process does (prctl(2)).
func runLocked(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return cmd.Run()
}

// aptProxy returns the proxy that the machine's apt is configured with, if any.
func aptProxy(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "apt-config", "dump", "--format=%v", "Acquire::http::Proxy").Output()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(out))
}

// tailLog passes mmdebstrap's own progress lines on and keeps the last lines of
// everything else for the error.
type tailLog struct {
	log  func(string, ...any)
	last []string
	part []byte
}

func (t *tailLog) Write(p []byte) (int, error) {
	t.part = append(t.part, p...)
	reader := bufio.NewReader(bytes.NewReader(t.part))
	for {
		line, err := reader.ReadString('\n')
		if errors.Is(err, io.EOF) {
			t.part = []byte(line)
			return len(p), nil
		}
		t.line(strings.TrimSpace(line))
	}
}

func (t *tailLog) line(line string) {
	if progress, ok := strings.CutPrefix(line, "I: "); ok {
		t.log("  %s", progress)
	}
	if line == "" {
		return
	}
	t.last = append(t.last, line)
	if len(t.last) > 4 {
		t.last = t.last[1:]
	}
}

// String returns the last lines as one.
func (t *tailLog) String() string { return strings.Join(t.last, "; ") }
