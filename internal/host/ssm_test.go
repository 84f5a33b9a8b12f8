package host

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

// runCommand is Run Command with this machine's shell, a folder of its own in
// place of ssmDir, and AWS's limits on requests and output.
type runCommand struct {
	t         *testing.T
	dir       string
	absent    int // commands that are refused before the agent is there
	mu        sync.Mutex
	n         int
	scripts   []string
	done      map[string]*ssm.GetCommandInvocationOutput
	cancelled int
}

func newRunCommand(t *testing.T) *runCommand {
	t.Helper()
	r := &runCommand{t: t, dir: t.TempDir(), done: map[string]*ssm.GetCommandInvocationOutput{}}
	for name, text := range map[string]string{
		"systemd-run": "#!/bin/sh\nwhile :; do case $1 in --unit=*) u=${1#--unit=}; shift;; --*) shift;; *) break;; esac; done\nsetsid \"$@\" &\necho $! >" + r.dir + "/$u.pid\n",
		"systemctl":   "#!/bin/sh\nkill -s KILL -- -$(cat " + r.dir + "/$3.pid)\n",
	} {
		program(t, filepath.Join(r.dir, name), text)
	}
	return r
}

// quiet fails the test when a command's processes outlive it: each leads a
// group of its own, whose number is in its pid file.
func (r *runCommand) quiet() {
	r.t.Helper()
	files, _ := filepath.Glob(filepath.Join(r.dir, "*.pid"))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		group := strings.TrimSpace(string(text))
		for range 12_000 { // a kill takes a moment
			if !alive(group) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		if alive(group) {
			r.t.Errorf("process group %s goes on", group)
		}
	}
}

// alive says whether a process group has a member that is no zombie: who
// reaps those is not the test's to say.
func alive(group string) bool {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, _ := os.ReadFile(stat)
		_, rest, _ := strings.Cut(string(text), ") ") // proc(5): pid (name) state ppid pgrp
		if f := strings.Fields(rest); len(f) > 2 && f[2] == group && f[0] != "Z" {
			return true
		}
	}
	return false
}

// notRegistered is what SSM says of an instance that it does not know (yet).
type notRegistered struct{}

func (notRegistered) Error() string     { return "not registered" }
func (notRegistered) ErrorCode() string { return "InvalidInstanceId" }

func (r *runCommand) SendCommand(_ context.Context, in *ssm.SendCommandInput, _ ...func(*ssm.Options)) (*ssm.SendCommandOutput, error) {
	script := in.Parameters["commands"][0]
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.absent > 0 {
		r.absent--
		return nil, notRegistered{}
	}
	if len(script) > 64000 {
		r.t.Errorf("a request of %d bytes", len(script))
	}
	r.n++
	id := fmt.Sprint(r.n)
	r.scripts = append(r.scripts, script)
	if strings.HasPrefix(script, "systemctl kill") { // nobody waits for it, but the test's folder
		r.mu.Unlock()
		r.exec(id, script)
		r.mu.Lock()
	} else {
		go r.exec(id, script)
	}
	return &ssm.SendCommandOutput{Command: &types.Command{CommandId: aws.String(id)}}, nil
}

func (r *runCommand) exec(id, script string) {
	var out, errs bytes.Buffer
	script = strings.NewReplacer(ssmDir, r.dir+"/ssm", "cd /root", "cd /").Replace(script)
	// The runner travels in base64, with the folder's real name.
	script = regexp.MustCompile(`echo ([A-Za-z0-9+/=]+) \| base64 -d >(\w+\.run)`).ReplaceAllStringFunc(script, func(line string) string {
		f := strings.Fields(line)
		text, _ := base64.StdEncoding.DecodeString(f[1])
		text = []byte(strings.NewReplacer(ssmDir, r.dir+"/ssm", "cd /root", "cd /").Replace(string(text)))
		return "echo " + base64.StdEncoding.EncodeToString(text) + " | base64 -d " + f[5]
	})
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = append(os.Environ(), "PATH="+r.dir+":"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, 100*time.Millisecond
	err := cmd.Run()
	result := &ssm.GetCommandInvocationOutput{Status: types.CommandInvocationStatusSuccess, StandardOutputContent: aws.String(cut(out.String(), 24000)), StandardErrorContent: aws.String(cut(errs.String(), 8000))}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		result.Status, result.ResponseCode = types.CommandInvocationStatusFailed, int32(exit.ExitCode())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done[id] = result
}

func cut(s string, n int) string { return s[:min(n, len(s))] }

func (r *runCommand) GetCommandInvocation(_ context.Context, in *ssm.GetCommandInvocationInput, _ ...func(*ssm.Options)) (*ssm.GetCommandInvocationOutput, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if out := r.done[*in.CommandId]; out != nil {
		return out, nil
	}
	return &ssm.GetCommandInvocationOutput{Status: types.CommandInvocationStatusInProgress}, nil
}

func (r *runCommand) CancelCommand(context.Context, *ssm.CancelCommandInput, ...func(*ssm.Options)) (*ssm.CancelCommandOutput, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cancelled++
	return &ssm.CancelCommandOutput{}, nil
}

func overSSM(t *testing.T) (*runCommand, *SSM) {
	t.Helper()
	r := newRunCommand(t)
	r.absent = 2
	s, err := WaitSSM(t.Context(), r, "i-1", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return r, s
}

func TestSSMRunsCommandsWithAllTheirOutput(t *testing.T) {
	t.Parallel()
	_, s := overSSM(t)
	var out, errs bytes.Buffer
	err := s.Run(t.Context(), Command{Script: `seq 1 20000; seq 1 3000 >&2; echo "$WORD" >&2; cat; exit 7`, Stdin: strings.NewReader("in\n"), Stdout: &out, Stderr: &errs,
		Env: map[string]string{"WORD": "it's @ $HOME"}})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || !strings.HasSuffix(exit.Stderr, "it's @ $HOME\n") {
		t.Fatalf("%v", err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != 20002 || lines[19999] != "20000" || lines[20000] != "in" {
		t.Errorf("%d lines on standard output, the last %q", len(lines), lines[len(lines)-2])
	}
	if n := strings.Count(errs.String(), "\n"); n != 3001 {
		t.Errorf("%d lines on standard error, want 3001", n)
	}
	if b, err := s.Output(t.Context(), Command{Script: "true"}); err != nil || len(b) != 0 {
		t.Errorf("%q, %v", b, err)
	}
}

func TestSSMCopiesFilesAndShowsNoSecret(t *testing.T) {
	t.Parallel()
	r, s := overSSM(t)
	const secret = "-----BEGIN PRIVATE KEY----- hunter2"
	big := bytes.Repeat([]byte("0123456789abcdef\x00\xff"), 20000)
	for i := range big {
		big[i] ^= byte(i * i >> 7) // hard to compress
	}
	for name, content := range map[string][]byte{"small": []byte(secret), "big": big, "empty": nil} {
		path := filepath.Join(r.dir, "into", name)
		if err := s.Copy(t.Context(), CopySpec{Path: path, Mode: 0o640, Size: int64(len(content)), Content: bytes.NewReader(content)}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := os.ReadFile(path)
		if err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes arrived of %d, %v", name, len(got), len(content), err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	for _, script := range r.scripts {
		if strings.Contains(script, "hunter2") || strings.Contains(script, base64.StdEncoding.EncodeToString([]byte(secret))) {
			t.Error("a secret stands in a command that SSM keeps")
		}
	}
	if left, _ := filepath.Glob(filepath.Join(r.dir, "ssm", "*.in")); len(left) > 0 {
		t.Errorf("input stays behind: %v", left)
	}
}

func TestSSMKillsACancelledCommand(t *testing.T) {
	t.Parallel()
	r, s := overSSM(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop, marker := errors.New("stop"), filepath.Join(r.dir, "marker")
	started := filepath.Join(r.dir, "started")
	go func() {
		for {
			if _, err := os.Stat(started); err == nil {
				cancel(stop)
				return
			}
		}
	}()
	err := s.Run(ctx, Command{Script: "touch " + started + "; read -r x </dev/zero & while :; do touch " + marker + "; done"})
	if !errors.Is(err, stop) || r.cancelled == 0 {
		t.Errorf("%v, %d commands cancelled", err, r.cancelled)
	}
	if got := r.scripts[len(r.scripts)-1]; !strings.Contains(got, "systemctl kill") {
		t.Errorf("the last command is %q", got)
	}
	r.quiet()
}

func TestSSMKnowsALostCommand(t *testing.T) {
	t.Parallel()
	r, s := overSSM(t)
	_, err := s.Output(t.Context(), Command{Script: "rm -f " + filepath.Join(r.dir, "ssm") + "/*.sh; kill -STOP $$"})
	if !errors.Is(err, ErrLost) {
		t.Errorf("a machine that forgot the command (a reboot) gives %v, want ErrLost", err)
	}
	if got, _ := filepath.Glob(filepath.Join(r.dir, "*.pid")); len(got) == 1 {
		_ = exec.Command(filepath.Join(r.dir, "systemctl"), "kill", "--signal=KILL", strings.TrimSuffix(filepath.Base(got[0]), ".pid")).Run()
	}
	r.quiet()
	for text, want := range map[string]string{"": "unreadable answer", "x\no \ne ": "exit code", "-\no !\ne ": "unreadable output"} {
		if _, err := parsePiece(text); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %v", text, err)
		}
	}
}

func TestSSMRefusesWhatItCannotSend(t *testing.T) {
	t.Parallel()
	_, s := overSSM(t)
	for _, c := range []Command{{Script: strings.Repeat("x", scriptMax+1)}, {Script: "true", Env: map[string]string{"A B": "x"}}} {
		if err := s.Run(t.Context(), c); err == nil {
			t.Errorf("%.20q was run", c.Script)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if _, err := WaitSSM(ctx, &runCommand{t: t, absent: 99}, "i-1", time.Millisecond); err == nil || !strings.Contains(err.Error(), "over (last: ") {
		t.Errorf("%v", err)
	}
}
