package cliapp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// TestHelper is no test: started by start, this binary is a tool whose
// clean-up still prints after stdout has gone.
func TestHelper(*testing.T) {
	if os.Getenv("CLIAPP_HELPER") == "" {
		return
	}
	os.Args = []string{"tool"}
	os.Exit(Main(func(p Process) *cli.App {
		return &cli.App{Name: "tool", Action: func(c *cli.Context) error {
			fmt.Fprintln(p.Stdout, "ready")
			<-c.Context.Done()
			for range 3 {
				fmt.Fprintln(p.Stdout, "into a broken pipe")
			}
			fmt.Fprintln(p.Stderr, "cleaned")
			return fmt.Errorf("working: %w", c.Context.Err())
		}}
	}))
}

// start starts the helper by way of argv and reads its first line. One that does
// not end is killed, so that the test says so.
func start(t *testing.T, stderr *bytes.Buffer, argv ...string) (*exec.Cmd, io.ReadCloser) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "CLIAPP_HELPER=1")
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the tool printed %q (%v)", line, err)
	}
	return cmd, stdout
}

func TestARealProcessCleansUpAndEndsByItsTable(t *testing.T) {
	t.Parallel()
	// A signal that this process ignores (it may run under nohup) would be
	// ignored in its children, too; one that it handles is not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT)
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 143} {
		var stderr bytes.Buffer
		cmd, stdout := start(t, &stderr, os.Args[0], "-test.run=^TestHelper$")
		if err := stdout.Close(); err != nil {
			t.Fatal(err)
		}
		// Twice at once, as make and the terminal do: the second is swallowed.
		for range 2 {
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait() // the exit code says it
		if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(stderr.String(), "cleaned\n") {
			t.Errorf("%s: exit code %d, want %d and a finished clean-up:\n%s", sig, got, code, stderr.String())
		}
	}
}

func TestUnderNohupAHangupChangesNothing(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	cmd, _ := start(t, &stderr, "/bin/sh", "-c", `trap '' HUP; exec "$@"`, "sh", os.Args[0], "-test.run=^TestHelper$")
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
	}
	_ = cmd.Wait() // the exit code says it
	if got := cmd.ProcessState.ExitCode(); got != 143 || !strings.Contains(stderr.String(), "interrupted by SIGTERM") {
		t.Errorf("exit code %d, want 143 by the second signal:\n%s", got, stderr.String())
	}
}
