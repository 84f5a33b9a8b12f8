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
	"slices"
	"strings"
	"syscall"
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

// until polls a condition of the real world.
func until(t *testing.T, what string, patience time.Duration, ok func() bool) {
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

func TestLabUpRunStatusDown(t *testing.T) {
	b := newBox(t)
	before := interfaces(t)
	start := time.Now()
	b.must("up")
	t.Logf("up took %s", time.Since(start).Round(10*time.Millisecond))
	if out := b.must("up"); !strings.Contains(out, "already") {
		t.Errorf("a second up said %q", out)
	}
	if out := b.must("status"); !strings.Contains(out, company.GatewayURL) {
		t.Errorf("status said %q", out)
	}
	routes := b.must("run", "--", "ip", "-br", "route")
	if strings.Contains(routes, "default") || strings.Contains(routes, "via") {
		t.Errorf("there is a way out of the seal: %q", routes)
	}
	if out := b.must("run", "--", "cat", "/proc/sys/net/ipv4/ip_forward"); strings.TrimSpace(out) != "0" {
		t.Errorf("ip_forward is %q", out)
	}
	if got := interfaces(t); !slices.Equal(got, before) {
		t.Errorf("the machine's interfaces were %q, are %q", before, got)
	}
	b.must("down")
	assertGone(t, b)
	if r := b.lab("status"); r.code != 2 || !strings.Contains(r.err, "lab up") {
		t.Errorf("status without a lab: %+v", r)
	}
	b.must("down") // nothing to do is fine
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

func TestLabRunHandsThrough(t *testing.T) {
	b := newBox(t)
	b.must("up")
	for _, c := range []struct {
		name string
		args []string
		code int
		out  string
	}{
		{"exit code", []string{"sh", "-c", "exit 7"}, 7, ""},
		{"signal", []string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{"missing program", []string{"no-such-program"}, 127, ""},
		{"environment", []string{"sh", "-c", "echo $AWS_ENDPOINT_URL $CHEF_CLIENT_NAME"}, 0, company.GatewayURL + " admin\n"},
		{"process namespace", []string{"sh", "-c", "readlink /proc/1/exe | grep -c lab"}, 0, "1\n"},
		{"names", []string{"getent", "hosts", "172.31.0.9"}, 0, "172.31.0.9      ip-172-31-0-9.ec2.internal\n"},
		{"nested", []string{binary, "run", "--", "sh", "-c", "exit 5"}, 5, ""},
	} {
		r := b.lab(append([]string{"run", "--"}, c.args...)...)
		if r.code != c.code || r.out != c.out {
			t.Errorf("%s: got %+v, want code %d and %q", c.name, r, c.code, c.out)
		}
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if out := b.must("run", "--", "pwd"); strings.TrimSpace(out) != wd {
		t.Errorf("the working directory is %q, want %q", out, wd)
	}
	in := b.start("run", "--", "cat")
	in.Stdin = strings.NewReader("through")
	if out, err := in.Output(); err != nil || string(out) != "through" {
		t.Errorf("standard input came out as %q, %v", out, err)
	}
}

func TestLabRunPassesSIGTERMOn(t *testing.T) {
	b := newBox(t)
	b.must("up")
	cmd := b.start("run", "--", "sh", "-c", `trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the exit code is looked at next
	if code := cmd.ProcessState.ExitCode(); code != 3 {
		t.Errorf("the command's trap did not run: exit code %d", code)
	}
}

func TestLabSurvivesItsOwnKill(t *testing.T) {
	b := newBox(t)
	b.must("up")
	i := launch(t, b, "", nil)
	until(t, "the instance runs", 20*time.Second, func() bool { return stateOf(t, b, i) == "running" })
	if err := syscall.Kill(b.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "every process is gone", 10*time.Second, func() bool {
		return !slices.ContainsFunc(traces(t, b), func(s string) bool { return strings.HasPrefix(s, "process") })
	})
	if out := b.must("up"); !strings.Contains(out, "swept") {
		t.Errorf("up after a kill said %q", out)
	}
	if out := b.must("status"); strings.Contains(out, i) {
		t.Errorf("the new lab knows the old one's instance:\n%s", out)
	}
	b.must("down")
	assertGone(t, b)
}

func TestLabInTheForegroundEndsWithCtrlC(t *testing.T) {
	b := newBox(t)
	for name, sig := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "kill -9": syscall.SIGKILL} {
		cmd := b.start("up", "--foreground")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitLine(t, out, "the lab is up")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its code is no contract here
		until(t, "every process is gone after "+name, 10*time.Second, func() bool {
			return !slices.ContainsFunc(traces(t, b), func(s string) bool { return strings.HasPrefix(s, "process") })
		})
		b.must("down")
		assertGone(t, b)
	}
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

func TestLabUpRefusals(t *testing.T) {
	b := newBox(t)
	open := filepath.Join(t.TempDir(), "lab") // where nobody may look
	copyFile(t, binary, open)
	for _, c := range []struct {
		name string
		cmd  func() *exec.Cmd
		want string
	}{
		{"not root", func() *exec.Cmd {
			cmd := b.start("up")
			cmd.Path = open
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			return cmd
		}, "root"},
		{"missing tools", func() *exec.Cmd {
			cmd := b.start("up")
			cmd.Env = append(cmd.Env, "PATH=/nowhere")
			return cmd
		}, "apt-get install systemd-container"},
	} {
		cmd := c.cmd()
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("%s: %v, want exit code 2\n%s", c.name, err, out)
		}
		if !strings.Contains(string(out), c.want) || bytes.Count(out, []byte("\n")) > 2 {
			t.Errorf("%s: said %q, want one line with %q and what to do", c.name, out, c.want)
		}
	}
	assertGone(t, b)
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

func TestLabThatCannotStartLeavesNothing(t *testing.T) {
	b := newBox(t)
	fake := t.TempDir()
	if err := os.WriteFile(filepath.Join(fake, "goiardi"), []byte("#!/bin/sh\necho broken >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := b.start("up")
	cmd.Env = append(cmd.Env, "PATH="+fake+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "goiardi") || !strings.Contains(string(out), "broken") {
		t.Errorf("up with a broken Chef server: %v\n%s", err, out)
	}
	assertGone(t, b)
}

func TestLabUpInterruptedLeavesNothing(t *testing.T) {
	b := newBox(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		cmd := b.start("up")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		waitLine(t, out, "network:")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // its code is looked at next
		if code := cmd.ProcessState.ExitCode(); sig == syscall.SIGINT && code != 130 {
			t.Errorf("up after Ctrl-C: exit code %d", code)
		}
		until(t, "every process is gone", 10*time.Second, func() bool {
			return !slices.ContainsFunc(traces(t, b), func(s string) bool { return strings.HasPrefix(s, "process") })
		})
		b.must("down")
		assertGone(t, b)
	}
}

func TestLabDownEndsWhoIsInside(t *testing.T) {
	b := newBox(t)
	b.must("up")
	cmd := b.start("run", "--", "sh", "-c", "echo ready; exec sleep 600")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitLine(t, out, "ready")
	b.must("down")
	_ = cmd.Wait() // its code is looked at next
	if code := cmd.ProcessState.ExitCode(); code != 137 {
		t.Errorf("the command inside ended with %d, want 137 (killed)", code)
	}
	assertGone(t, b)
}

func TestLabFaultsAndCalls(t *testing.T) {
	b := newBox(t)
	b.must("up")
	b.must("fault", "add", `{"service":"ec2","action":"DescribeRegions","code":"UnauthorizedOperation"}`)
	if out := b.must("fault", "list"); !strings.Contains(out, "DescribeRegions") {
		t.Errorf("the rules are %q", out)
	}
	b.must("fault", "clear")
	if out := b.must("fault", "list"); strings.Contains(out, "DescribeRegions") {
		t.Errorf("after clear the rules are %q", out)
	}
	if out := b.must("calls"); !strings.Contains(out, `"CreateBucket"`) || strings.Contains(out, "DescribeInstances") {
		t.Errorf("the calls should be the seeding's alone: %s", out)
	}
}
