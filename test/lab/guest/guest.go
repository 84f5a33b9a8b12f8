package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"time"
)

// Spec describes one guest.
type Spec struct {
	ID       string    // instance id; also the machine name, so it must be a valid host name
	Layers   []string  // read-only layers, newest first; the last one is the base root file system
	StateDir string    // this guest's own directory, on a tmpfs; made when missing, kept until Close
	Disk     int64     // size of the guest's root disk in bytes; 0 is as large as StateDir's file system
	Bridge   string    // bridge that the guest's card is plugged into
	MAC      string    // MAC address of ens5, as the instance's network interface has it
	UUID     string    // /sys/hypervisor/uuid; "" derives one from ID. On EC2 it starts with "ec2"
	Hostname string    // name before cloud-init sets one; "" is "ubuntu"
	Console  io.Writer // also gets the console's output; may be nil

	Cgroup string        // parent cgroup of all guests; "" is DefaultCgroup
	Grace  time.Duration // how long Poweroff waits before it pulls the plug; 0 is 30 s
}

// ExitKind says how a guest ended.
type ExitKind int

// A reboot is no end: the guest starts again by itself.
const (
	PoweredOff ExitKind = iota // systemd reached its end, asked from inside or by Poweroff
	Killed                     // Kill, or Poweroff's grace ran out
	Failed                     // the container could not run or broke; Err says why
)

// String returns the kind in lower case words.
func (k ExitKind) String() string {
	return [...]string{"powered off", "killed", "failed"}[k]
}

// Exit is how a guest ended.
type Exit struct {
	Kind  ExitKind
	Asked bool  // Poweroff or Kill was called; a PoweredOff without it came from inside
	Err   error // only when Failed
}

// Guest is a running or ended guest. Its methods are safe for concurrent use.
type Guest struct {
	spec    Spec
	console *ring
	done    chan struct{} // closed when the guest has ended and its host side is gone

	mu    sync.Mutex
	cmd   *exec.Cmd // the current boot's container
	boots int
	asked bool // no more boots
	kill  bool
	exit  Exit
}

// Start makes the guest's host side and boots it. When StateDir holds a disk
// from an earlier run the guest boots from that: stop and start of one instance.
// ctx bounds the start only. On error nothing new is left.
func Start(ctx context.Context, spec Spec) (*Guest, error) {
	spec, err := spec.complete()
	if err != nil {
		return nil, fmt.Errorf("starting guest %s: %w", spec.ID, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting guest %s: %w", spec.ID, err)
	}
	g := &Guest{spec: spec, console: newRing(consoleSize, spec.Console), done: make(chan struct{})}
	_, err = os.Lstat(spec.upper())
	fresh := errors.Is(err, fs.ErrNotExist)
	if err := g.powerOn(); err != nil {
		if fresh {
			err = errors.Join(err, removeState(spec))
		}
		return nil, fmt.Errorf("starting guest %s: %w", spec.ID, err)
	}
	go g.supervise()
	return g, nil
}

// powerOn mounts the disk and boots; on error it undoes both.
func (g *Guest) powerOn() error {
	err := g.mount()
	if err == nil {
		err = g.boot()
	}
	if err != nil {
		return errors.Join(err, g.release())
	}
	return nil
}

// supervise waits for the container, boots it again after a reboot, and takes
// the host side down at the end.
func (g *Guest) supervise() {
	for {
		code, err := g.waitBoot()
		if code == exitReboot {
			again := g.reboot()
			if again == nil {
				continue
			}
			err = again
		}
		exit := g.judge(code, err)
		if err := g.release(); err != nil && exit.Err == nil {
			exit.Err = err
		}
		g.mu.Lock()
		g.exit = exit
		g.mu.Unlock()
		close(g.done)
		return
	}
}

// errAsked stops a reboot that crosses a Poweroff or Kill.
var errAsked = errors.New("the guest was asked to stop")

// reboot boots again, on the same disk and with the same card.
func (g *Guest) reboot() error {
	g.mu.Lock()
	asked := g.asked
	g.mu.Unlock()
	if asked {
		return errAsked
	}
	return errors.Join(g.dropBoot(), g.boot())
}

// judge turns the container's end into the guest's.
func (g *Guest) judge(code int, err error) Exit {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.kill:
		return Exit{Kind: Killed, Asked: true}
	case code == 0 || (code == exitReboot && g.asked):
		return Exit{Kind: PoweredOff, Asked: g.asked}
	default:
		return Exit{Kind: Failed, Asked: g.asked, Err: err}
	}
}

// Done is closed when the guest has ended and its mounts, card and cgroup are gone.
func (g *Guest) Done() <-chan struct{} { return g.done }

// Wait blocks until Done and returns how the guest ended.
func (g *Guest) Wait() Exit {
	<-g.done
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.exit
}

// Boots counts the boots so far: 1 after Start, one more per reboot.
func (g *Guest) Boots() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.boots
}

// ConsoleOutput returns the newest 64 KiB of the console, as EC2 keeps them.
func (g *Guest) ConsoleOutput() []byte { return g.console.bytes() }

// UpperDir is the directory with what the guest wrote, for Snapshot.
func (g *Guest) UpperDir() string { return g.spec.upper() }

// Poweroff presses the power button and waits until the guest has ended. After
// Spec.Grace, or when ctx ends, it pulls the plug; that is no error (EC2 does the
// same when a guest does not react), Wait tells the two apart.
func (g *Guest) Poweroff(ctx context.Context) error {
	g.mu.Lock()
	g.asked = true
	g.mu.Unlock()
	deadline := time.NewTimer(g.spec.Grace)
	defer deadline.Stop()
	// An early systemd has no handler for the signal yet and the kernel drops it
	// (signals to a namespace's init, pid_namespaces(7)), so press again.
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		g.pressPower()
		select {
		case <-g.done:
			return nil
		case <-deadline.C:
			return g.Kill()
		case <-ctx.Done():
			return g.Kill()
		case <-again.C:
		}
	}
}

// Kill stops the guest at once, like a power cut, and waits until it has ended.
func (g *Guest) Kill() error {
	select {
	case <-g.done:
		return nil
	default:
	}
	g.mu.Lock()
	g.asked, g.kill = true, true
	g.mu.Unlock()
	for {
		err := g.killCgroup()
		select {
		case <-g.done:
			return nil
		case <-time.After(time.Second):
			if err != nil {
				return fmt.Errorf("killing guest %s: %w", g.spec.ID, err)
			}
		}
	}
}

// Close kills the guest if it runs and removes everything it had, its disk
// included. It is idempotent.
func (g *Guest) Close() error {
	if err := g.Kill(); err != nil {
		return err
	}
	if err := removeState(g.spec); err != nil {
		return fmt.Errorf("removing guest %s: %w", g.spec.ID, err)
	}
	return nil
}
