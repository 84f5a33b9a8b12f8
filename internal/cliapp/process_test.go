package cliapp

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestHelper is no test: started by TestARealProcessCleansUpAndEndsByItsTable,
// this binary is a tool whose clean-up still prints after stdout has gone.
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

func TestARealProcessCleansUpAndEndsByItsTable(t *testing.T) {
	t.Parallel()
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 143} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestHelper$")
		cmd.Env = append(os.Environ(), "CLIAPP_HELPER=1")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
			t.Fatalf("the tool printed %q (%v)", line, err)
		}
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
