package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"bakehouse/internal/fault"
)

// exitReboot is how systemd-nspawn --keep-unit says that its guest rebooted.
const exitReboot = 133

// rtmin is SIGRTMIN as libc and systemd count (the first two are libc's own).
const rtmin = 34

// nspawnArgs is the container's command line.
func nspawnArgs(s Spec) []string {
	return []string{
		"--quiet", "--settings=no", "--register=no", "--keep-unit", "--boot",
		"--machine=" + s.ID, "--hostname=" + s.Hostname,
		"--directory=" + s.merged(),
		"--network-interface=" + card,
		// cloud-init cannot read the DMI table in a container; this is the other
		// place where it looks for EC2.
		"--bind-ro=" + s.hypervisor() + ":/sys/hypervisor",
		"--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
		"--kill-signal=SIGRTMIN+4",
	}
}

// boot starts the container in a fresh cgroup with a fresh card.
func (g *Guest) boot() error {
	cgroup, err := makeCgroup(g.spec)
	if err != nil {
		return err
	}
	defer cgroup.Close()
	cmd := exec.Command("systemd-nspawn", nspawnArgs(g.spec)...)
	if cmd.Err != nil {
		return fault.New(fault.Usage, "apt-get install systemd-container", cmd.Err)
	}
	cmd.Env = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", // the machine's PID 1 may have mounted others
		"SYSTEMD_NSPAWN_TMPFS_TMP=0",         // /tmp is on an instance's disk, and so in its image
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(cgroup.Fd()), Setpgid: true}
	cmd.Stdout, cmd.Stderr = g.console, g.console
	cmd.WaitDelay = 2 * time.Second
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asked {
		return errAsked
	}
	if err := inStaging(g.spec, cmd.Start); err != nil {
		return fmt.Errorf("booting: %w", err)
	}
	g.cmd = cmd
	g.boots++
	return nil
}

// waitBoot waits for the current container and returns its exit status; the
// error names it, with what the console said last.
func (g *Guest) waitBoot() (int, error) {
	g.mu.Lock()
	cmd := g.cmd
	g.mu.Unlock()
	err := cmd.Wait()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) {
		return cmd.ProcessState.ExitCode(), nil
	}
	return cmd.ProcessState.ExitCode(), fmt.Errorf("running systemd-nspawn: %w", errors.Join(err, lastLine(g.console.bytes())))
}

// dropBoot removes what a boot has of its own: processes, cgroup and card.
func (g *Guest) dropBoot() error {
	err := g.killCgroup()
	reap(g.spec.cgroup())
	return errors.Join(err, removeCgroup(g.spec.cgroup()), unplug(g.spec))
}

// release removes the guest's whole host side; the disk stays.
func (g *Guest) release() error { return errors.Join(g.dropBoot(), g.unmount()) }

// pressPower sends systemd in the guest the signal for an orderly power-off
// (systemd(1), SIGRTMIN+4), as the container's manager does on its first SIGTERM.
func (g *Guest) pressPower() {
	if pid := g.LeaderPID(); pid > 0 {
		unix.Kill(pid, syscall.Signal(rtmin+4))
	}
}

// LeaderPID returns the process id, outside, of the guest's PID 1; 0 while there
// is none.
func (g *Guest) LeaderPID() int {
	g.mu.Lock()
	cmd := g.cmd
	g.mu.Unlock()
	select {
	case <-g.done:
		return 0
	default:
	}
	if cmd == nil {
		return 0
	}
	// systemd moves itself into init.scope; before that it is in payload itself.
	payload := filepath.Join(g.spec.cgroup(), "payload")
	for _, name := range []string{"init.scope/cgroup.procs", "cgroup.procs"} {
		for _, pid := range readPIDs(filepath.Join(payload, name)) {
			if isInit(pid) {
				return pid
			}
		}
	}
	return 0
}

// isInit says whether a process is PID 1 of an inner PID namespace (proc(5),
// NSpid).
func isInit(pid int) bool {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			ids := strings.Fields(string(rest))
			return len(ids) > 1 && ids[len(ids)-1] == "1"
		}
	}
	return false
}

// Streams are a command's input and outputs; each may be nil.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exec runs a command as root inside the guest and waits for it. A command that
// fails gives an *exec.ExitError in the chain.
func (g *Guest) Exec(ctx context.Context, streams Streams, argv ...string) error {
	pid := g.LeaderPID()
	if pid == 0 {
		return fmt.Errorf("running %s in guest %s: it is not running", strings.Join(argv, " "), g.spec.ID)
	}
	args := []string{"--target", strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
		"--root", "--wd", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/root"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = streams.In, streams.Out, streams.Err
	cmd.WaitDelay = 2 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return endGroup(cmd.Process.Pid) }
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s in guest %s: %w", strings.Join(argv, " "), g.spec.ID, err)
	}
	return nil
}

// endGroup kills all that nsenter, the leader of its process group, has
// started. nsenter forks to get into the PID namespace: killed alone, it would
// leave the command in the guest, and killed with it, it could not reap it, and
// the guest's power-off would wait for that zombie. So it is left to end by
// itself, which it does when its child has.
func endGroup(leader int) error {
	for killed, rounds := 0, 0; rounds < 10_000; rounds++ {
		more := 0
		for _, pid := range groupOf(leader) {
			if pid != leader && unix.Kill(pid, unix.SIGKILL) == nil {
				more++
			}
		}
		if killed += more; more == 0 && killed == 0 {
			return unix.Kill(-leader, unix.SIGKILL) // it has not got in yet
		}
		if more == 0 {
			break
		}
	}
	return nil
}

// groupOf lists the live processes of a process group (proc(5), stat).
func groupOf(leader int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text, _ := os.ReadFile(stat) // gone meanwhile: empty
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest) // state, parent, group
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil && len(f) > 2 && f[0] != "Z" && f[2] == strconv.Itoa(leader) {
			pids = append(pids, pid)
		}
	}
	return pids
}
