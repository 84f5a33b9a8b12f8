//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/test/lab/seal"
)

// down takes the lab down and waits until nothing of it is left.
func down(p place, args []string) (int, error) {
	if len(args) > 0 {
		return 2, usage("lab down takes no arguments")
	}
	if p.inside() {
		return 2, usage("this is the inside of the lab; take it down from outside")
	}
	if _, err := os.Stat(p.run); os.IsNotExist(err) {
		fmt.Println("no lab is up")
		return 0, nil
	}
	unlock, err := p.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	r, up, err := p.running()
	if err != nil {
		return 0, err
	}
	if up {
		if err := p.stop(r); err != nil {
			return 0, err
		}
	}
	removed, err := p.sweep()
	if err != nil {
		return 0, fault.New(fault.Leftover, "run `lab down` again", err)
	}
	switch {
	case up:
		fmt.Println("the lab is down")
	case len(removed) > 0:
		fmt.Printf("no lab was up; swept what a killed one left: %d cgroups and files\n", len(removed))
	default:
		fmt.Println("no lab is up")
	}
	return 0, nil
}

// stop asks the lab to end, then tells its first process, then kills that. The
// death of process 1 is the death of everything inside, and the kernel lets it
// finish dying only when all the others are gone.
func (p place) stop(r record) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := p.client().Shutdown(ctx); err != nil {
		_ = syscall.Kill(r.PID, syscall.SIGTERM) // not listening yet, or gone
	}
	if waitGone(r, stopPatience) {
		return nil
	}
	_ = syscall.Kill(r.PID, syscall.SIGKILL)
	if waitGone(r, stopPatience) {
		return nil
	}
	return fault.Newf(fault.Leftover, "look at `ps` and run `lab down` again",
		"taking the lab down: process %d does not end", r.PID)
}

func waitGone(r record, patience time.Duration) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if !seal.Alive(r.PID, r.Start) {
			return true
		}
	}
	return false
}
