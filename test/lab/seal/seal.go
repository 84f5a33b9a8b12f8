//go:build linux

// Package seal makes the closed world that the lab lives in: its own network,
// mount, process, host name and IPC namespaces, with one bridge, no route out
// and nothing that survives the death of its first process.
//
// The launcher starts a copy of the program in new namespaces (Launch). That
// copy is process 1 inside (Init): it lays out mounts and addresses, starts the
// real program beside itself and buries the dead. Others step in with Enter.
package seal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Launch describes process 1 of a new seal.
type Launch struct {
	Args       []string // arguments of this same program, which must call Init
	Env        []string
	Channel    *os.File // becomes file descriptor 3 of process 1
	Log        *os.File // its standard output and error
	Foreground bool     // die with the launcher; otherwise a session of its own
}

// Process is process 1 of a seal as its launcher sees it.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
}

// Start launches the seal's process 1 from this program's own executable, by
// /proc/self/exe because `go run` deletes the file while we live.
func (l Launch) Start() (*Process, error) {
	cmd := exec.Command("/proc/self/exe", l.Args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = l.Env, l.Log, l.Log
	cmd.ExtraFiles = []*os.File{l.Channel}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Setsid: true, // Ctrl-C reaches the launcher alone, which then asks politely
	}
	if l.Foreground {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the seal's first process: %w", err)
	}
	return p, nil
}

// run starts and waits on one thread: the parent-death signal is tied to the
// thread that forked, not to the process.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.exited)
}

// PID returns the process id of process 1 in the launcher's namespace.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when process 1, and with it everything inside, is gone.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err returns how process 1 ended; valid once Exited is closed.
func (p *Process) Err() error { return p.err }

// Signal sends sig to process 1, which passes it on to the program inside.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Init is the life of process 1 inside: it prepares the seal, starts args of
// this program with the channel as its file descriptor 3, passes SIGTERM and
// SIGINT on, reaps every orphan, and returns the program's exit code. Returning
// (and exiting) ends every process in the seal.
func Init(args []string, world World) (int, error) {
	if os.Getpid() != 1 {
		return 2, errors.New("starting the seal: not process 1 of a namespace of its own")
	}
	if err := world.prepare(); err != nil {
		return 1, err
	}
	syscall.CloseOnExec(channelFD)
	pid, err := syscall.ForkExec("/proc/self/exe", append([]string{"lab"}, args...), &syscall.ProcAttr{
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2, channelFD},
	})
	if err != nil {
		return 1, fmt.Errorf("starting the program in the seal: %w", err)
	}
	if err := syscall.Close(channelFD); err != nil {
		return 1, fmt.Errorf("closing the launcher's channel: %w", err)
	}
	forward(pid)
	return reap(pid)
}

// channelFD is where exec.Cmd puts the first of ExtraFiles.
const channelFD = 3

// reap waits for every child until pid itself has ended. Only this process 1
// reaps: the program inside keeps its own children for exec.Cmd.Wait.
func reap(pid int) (int, error) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, fmt.Errorf("waiting for the program in the seal: %w", err)
		case got == pid && status.Signaled():
			return 128 + int(status.Signal()), nil
		case got == pid:
			return status.ExitStatus(), nil
		}
	}
}
