//go:build lab && linux

package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"bakehouse/test/lab/company"
)

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
	until(t, "the instance runs", func() bool { return stateOf(t, b, i) == "running" })
	if err := syscall.Kill(b.pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "every process is gone", func() bool {
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
		_ = cmd.Wait() // its code is looked at next
		if code := cmd.ProcessState.ExitCode(); sig == syscall.SIGINT && code != 130 {
			t.Errorf("after Ctrl-C the exit code is %d", code)
		}
		until(t, "every process is gone after "+name, func() bool {
			return !slices.ContainsFunc(traces(t, b), func(s string) bool { return strings.HasPrefix(s, "process") })
		})
		b.must("down")
		assertGone(t, b)
	}
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

// upWith prepares an `up` whose Chef server is a script.
func (b *box) upWith(script string) *exec.Cmd {
	b.t.Helper()
	fake := b.t.TempDir()
	if err := os.WriteFile(filepath.Join(fake, "goiardi"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	cmd := b.start("up")
	cmd.Env = append(cmd.Env, "PATH="+fake+":"+os.Getenv("PATH"))
	return cmd
}

func TestLabThatCannotStartLeavesNothing(t *testing.T) {
	b := newBox(t)
	cmd := b.upWith("echo broken >&2; exit 1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "goiardi") || !strings.Contains(string(out), "broken") {
		t.Errorf("up with a broken Chef server: %v\n%s", err, out)
	}
	assertGone(t, b)
}

func TestLabUpInterruptedLeavesNothing(t *testing.T) {
	b := newBox(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGKILL} {
		cmd := b.upWith("exec sleep 600") // it does not come up before it is interrupted
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
		until(t, "every process is gone", func() bool {
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

func TestLabEndsWhenAServiceDies(t *testing.T) {
	b := newBox(t)
	b.must("up")
	// Inside, so that only this lab's own processes can be meant.
	b.lab("run", "--", "sh", "-c", `for p in /proc/[0-9]*; do grep -aq "moto[.]server" $p/cmdline && kill -9 ${p#/proc/}; done`)
	until(t, "the lab notices", func() bool { return b.lab("status").code == 2 })
	if r := b.lab("status"); !strings.Contains(r.err, "died") {
		t.Errorf("status of a dead lab: %+v", r)
	}
	if log, err := os.ReadFile(b.logPath()); err != nil || !strings.Contains(string(log), "running moto") {
		t.Errorf("the log does not say who died: %q, %v", log, err)
	}
	b.must("up")
}
