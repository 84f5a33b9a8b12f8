// Command demo tells the main job once, for a reader: it brings the lab up,
// uploads the Chef role, pushes a build, bakes an image, launches it, waits
// until the app answers, and prints one timeline. KEEP=1 leaves the lab up.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	within := len(os.Args) == 2 && os.Args[1] == "-inside"
	run := outside
	if within {
		run = inside
	}
	err := run(ctx)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case interrupted:
		if !within {
			fmt.Fprintln(os.Stderr, "demo: interrupted; everything it started is gone")
		}
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

// outside brings the lab up, runs the story inside it, and takes it down.
func outside(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the demo's binary: %w", err)
	}
	lab := filepath.Join(filepath.Dir(self), "lab")
	begin := time.Now()
	if err := call(ctx, lab, "up"); err != nil {
		return errors.New("the lab did not come up; its words stand above")
	}
	keep := os.Getenv("KEEP") == "1"
	err = call(ctx, lab, "run", "--", self, "-inside")
	if keep && ctx.Err() == nil {
		fmt.Print(`
The lab is still up (KEEP=1):
  bin/lab status              who runs where
  bin/lab ssh INSTANCE        a shell in an instance
  bin/lab run -- COMMAND      a command with the lab's environment
  bin/lab down                take it down
`)
		return err
	}
	// The lab goes down on a fresh context: Ctrl-C must not leave it behind.
	down, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if downErr := call(down, lab, "down"); downErr != nil {
		err = errors.Join(err, errors.New("the lab did not go down cleanly; `bin/lab down` tries again"))
	}
	if err == nil {
		fmt.Printf("done in %.1f s, lab included; nothing is left running\n", time.Since(begin).Seconds())
	}
	return err
}

// call runs a command with this process's terminal. Ctrl-C reaches it through
// the terminal too, so a cancelled ctx only passes SIGTERM's news on.
func call(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 90 * time.Second
	return cmd.Run()
}
