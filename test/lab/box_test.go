//go:build lab && linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"golang.org/x/sys/unix"

	"bakehouse/test/lab/company"
)

// TestMain builds the program once: the tests use it as a user does.
func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

// binary is where TestMain put the program. Set before any test runs.
var binary = filepath.Join(os.TempDir(), fmt.Sprintf("bakehouse-lab-test-%d", os.Getpid()))

func buildAndRun(m *testing.M) int {
	defer os.Remove(binary)
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the lab: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// box is a place of its own for one test's lab. It shares the unpacked root file
// systems with the user's cache, where building one takes a minute.
type box struct {
	t *testing.T
	place
}

func newBox(t *testing.T) *box {
	t.Helper()
	shared, err := findPlace(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	for _, dir := range []string{"rootfs", "repo"} {
		if err := os.MkdirAll(filepath.Join(shared.cache, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(shared.cache, dir), filepath.Join(cache, dir)); err != nil {
			t.Fatal(err)
		}
	}
	b := &box{t, place{cache, filepath.Join(cache, "run")}}
	t.Cleanup(func() { b.lab("down") })
	return b
}

// result is how a call of the program ended.
type result struct {
	code     int
	out, err string
}

// start prepares a call of the program.
func (b *box) start(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "BAKEHOUSE_LAB_CACHE="+b.cache)
	return cmd
}

// lab calls the program and waits.
func (b *box) lab(args ...string) result {
	b.t.Helper()
	cmd := b.start(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatalf("lab %s: %v", strings.Join(args, " "), err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must is lab for calls that have to succeed.
func (b *box) must(args ...string) string {
	b.t.Helper()
	r := b.lab(args...)
	if r.code != 0 {
		log, _ := os.ReadFile(filepath.Join(b.run, "lab.log"))
		b.t.Fatalf("lab %s: exit code %d\n%s%s%s", strings.Join(args, " "), r.code, r.out, r.err, log)
	}
	return r.out
}

// pid is the lab's process 1, seen from outside.
func (b *box) pid() int {
	b.t.Helper()
	r, up, err := b.running()
	if err != nil || !up {
		b.t.Fatalf("the lab is not up (%v)", err)
	}
	return r.PID
}

// dial connects from inside the seal: a socket belongs to the namespace that it
// was made in, so one thread goes in, makes it, and is thrown away.
func (b *box) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	pid := b.pid()
	type outcome struct {
		conn net.Conn
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- outcome{nil, err}
			return
		}
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		done <- outcome{conn, err}
	}()
	got := <-done
	return got.conn, got.err
}

// aws is the operator's configuration, through sockets inside the seal.
func (b *box) aws() aws.Config {
	return aws.Config{
		Region:       company.Region,
		BaseEndpoint: aws.String(company.GatewayURL),
		Credentials:  credentials.NewStaticCredentialsProvider(company.OperatorID, company.OperatorSK, ""),
		HTTPClient:   &http.Client{Transport: &http.Transport{DialContext: b.dial, DisableKeepAlives: true}},
	}
}

// patience is how long a condition of the real world may take: many times what
// any takes on a quiet machine.
const patience = 4 * time.Minute

// until polls a condition of the real world.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %s still not: %s", patience, what)
		}
	}
}

// traces lists what a lab could leave on the machine: mounts, network
// namespaces, cgroups, and processes of its program.
func traces(t *testing.T, b *box) []string {
	t.Helper()
	var found []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, b.cache) || strings.Contains(line, company.StateDir) || strings.Contains(line, "lab-") {
			found = append(found, "mount "+strings.TrimSpace(line))
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range processes {
		env, _ := os.ReadFile(filepath.Join(p, "environ")) // gone, or a kernel thread
		line, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if filepath.Base(p) != fmt.Sprint(os.Getpid()) && (bytes.Contains(env, []byte(b.cache)) || bytes.Contains(line, []byte(b.cache))) {
			found = append(found, "process "+filepath.Base(p)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/unified/"} {
		if _, err := os.Stat(pattern + b.cgroup()); err == nil {
			found = append(found, "cgroup "+pattern+b.cgroup())
		}
	}
	return found
}

// assertGone fails when something of b's lab is left outside its cache.
func assertGone(t *testing.T, b *box) {
	t.Helper()
	if left := traces(t, b); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
	for _, name := range []string{"lab.json", "control.sock"} {
		if _, err := os.Stat(filepath.Join(b.run, name)); err == nil {
			t.Errorf("left behind: %s", name)
		}
	}
}

func interfaces(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, i := range all {
		names = append(names, i.Name)
	}
	return names
}

// waitLine reads until a line holds want, and goes on reading so that the
// writer never blocks.
func waitLine(t *testing.T, r interface{ Read([]byte) (int, error) }, want string) {
	t.Helper()
	var seen bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(seen.String(), want) {
		n, err := r.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			t.Fatalf("waiting for %q: %v\n%s", want, err, seen.String())
		}
	}
	go func() {
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
}

// copyFile puts a program where any user can run it.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	program, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, program, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(to); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
