package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
)

const (
	convergeLog     = "/var/log/bakehouse/converge.log"
	convergeLogCap  = 8 << 20 // bytes; a larger one is moved to .1 before a run
	defaultAttempts = 3
	defaultTimeout  = 30 * time.Minute
	maxReboots      = 5  // a role that wants a reboot at every run never ends
	keptLines       = 20 // of a run, for whoever asks why it failed
	wentOn          = "failed, and went on: "
)

// A fresh machine's own apt timers and unattended-upgrades hold dpkg's lock for
// minutes, and apt by itself does not wait. The run's time limit ends the wait;
// a Chef run that another one keeps waiting is ended by the same limit.
const (
	aptConf  = agentconf.StateDir + "/apt.conf"
	aptWaits = "DPkg::Lock::Timeout \"-1\";\n"
)

// converge runs the Chef client until a run succeeds.
func (s *session) converge(ctx context.Context) error {
	client, err := s.chefClient()
	if err != nil {
		return err
	}
	rb := s.path(client.confDir, "client.rb")
	if err := writeFile(rb, s.clientRB(client), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", rb, onDisk(err))
	}
	if err := writeFile(s.path(aptConf), []byte(aptWaits), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", aptConf, onDisk(err))
	}
	if err := s.reached(ConfigWritten); err != nil {
		return err
	}
	attempts := s.conf.Chef.Attempts
	if attempts <= 0 {
		attempts = defaultAttempts
	}
	tries := 0
	err = s.retry(ctx, patience{For: "another run of " + client.name, Attempts: attempts, Base: 5 * time.Second, Cap: time.Minute}, func() error {
		tries++
		return s.convergeOnce(ctx, client, rb)
	})
	if err != nil {
		return s.convergeFailed(s.convergeFault(ctx, client, tries, err))
	}
	s.detail = fmt.Sprintf("%s, attempt %d of %d", client.name, tries, attempts)
	return s.reached(Converged)
}

// convergeFailed applies the policy for a converge that failed for good. What
// was stopped, or asked for a reboot, did not fail.
func (s *session) convergeFailed(err error) error {
	if s.conf.Chef.OnFailure != agentconf.OnFailureContinue || fault.KindOf(err) == fault.Internal {
		return err
	}
	s.deps.Events.Note("going on after a failed converge, as agent.on_failure says: " + err.Error())
	s.detail = wentOn + err.Error()
	return s.reached(Converged)
}

// convergeOnce runs the client once, within its time limit.
func (s *session) convergeOnce(ctx context.Context, c chefClient, rb string) error {
	limit := time.Duration(s.conf.Chef.Timeout)
	if limit <= 0 {
		limit = defaultTimeout
	}
	// The cause tells our limit from an end that came from outside.
	runCtx, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	defer cancel()
	log, err := s.openLog()
	if err != nil {
		return err
	}
	tail := &tail{max: keptLines}
	err = s.deps.Runner.Run(runCtx, Command{
		Path: c.path,
		// --once: no daemon, whatever client.d says. No colour codes in a log.
		Args: []string{"-c", rb, "--no-color", "--once"},
		Env:  []string{"CHEF_LICENSE=accept-no-persist", "APT_CONFIG=" + s.path(aptConf)},
		Out:  tee{log, s.deps.Events.Output(), tail},
	})
	_ = log.Close() // a log that is short is no reason to fail a good run
	s.said = tail.lines()
	if err == nil || ctx.Err() != nil {
		return err
	}
	if errors.Is(context.Cause(runCtx), errTooLong) {
		return fault.Newf(fault.Timeout, "see "+convergeLog+", or raise agent.timeout", "the run took longer than %s", limit)
	}
	return s.afterRun(ctx, err)
}

var errTooLong = errors.New("the converge took too long")

// afterRun turns the end of a run into an error that says whether to go on.
func (s *session) afterRun(ctx context.Context, err error) error {
	var exit *ExitError
	if !errors.As(err, &exit) {
		return finalError{err} // it could not be started at all
	}
	v, why := judge(exit.Code)
	switch v {
	case reboot:
		return s.reboot(ctx, why)
	case fatal:
		return finalError{fmt.Errorf("%s (exit code %d)%s", why, exit.Code, s.lastWord())}
	}
	return fmt.Errorf("%s (exit code %d)%s", why, exit.Code, s.lastWord())
}

// reboot asks systemd for a reboot, a bounded number of times per instance.
func (s *session) reboot(ctx context.Context, why string) error {
	if s.j.Reboots >= maxReboots {
		return finalError{fmt.Errorf("%s, after %d reboots already", why, s.j.Reboots)}
	}
	s.j.Reboots++
	if err := s.save(); err != nil {
		return err
	}
	if err := s.reached(RebootRequested); err != nil {
		return err
	}
	if err := s.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"reboot"}}); err != nil {
		return finalError{fmt.Errorf("%s, and systemctl reboot failed: %w", why, err)}
	}
	return ErrRebooting
}

// convergeFault is the one line that a failed converge ends with.
func (s *session) convergeFault(ctx context.Context, c chefClient, tries int, err error) error {
	var aborted abortError
	if ctx.Err() != nil || errors.Is(err, ErrRebooting) || errors.As(err, &aborted) {
		return err
	}
	kind := fault.Chef
	if k := fault.KindOf(err); k != fault.Internal {
		kind = k
	}
	return fault.New(kind, firstOf(fault.NextOf(err), "see "+convergeLog+" or boot-agent status, correct the role, then: systemctl restart bakehouse-first-boot"),
		fmt.Errorf("converging with %s (%s): %w", c.name, plural(tries, "attempt"), err))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// lastWord picks the line of the run that most likely names the cause.
func (s *session) lastWord() string {
	best := ""
	for _, line := range s.said {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if strings.Contains(line, "FATAL") || strings.Contains(line, "ERROR") || !strings.Contains(best, "FATAL") && !strings.Contains(best, "ERROR") {
			best = line
		}
	}
	return lastLine(best)
}

// openLog opens the converge log for appending.
func (s *session) openLog() (*os.File, error) {
	path := s.path(convergeLog)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("making the log directory: %w", onDisk(err))
	}
	if info, err := os.Stat(path); err == nil && info.Size() > convergeLogCap {
		if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("rotating %s: %w", path, onDisk(err))
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, onDisk(err))
	}
	return f, nil
}

// lastRun is how the converge log at path ends. What a Chef run prints may hold
// what it handles, so it stands nowhere but in that log, which is root's.
func lastRun(path string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil // or who asks may not read it
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		_, _ = f.Seek(max(0, info.Size()-64<<10), io.SeekStart)
	}
	last := &tail{max: keptLines}
	_, _ = io.Copy(last, f)
	return last.lines()
}

// tee writes to all and never fails: a full disk under the log must not kill
// the Chef run that may be about to free it.
type tee []io.Writer

func (t tee) Write(p []byte) (int, error) {
	for _, w := range t {
		_, _ = w.Write(p)
	}
	return len(p), nil
}

// tail keeps the last max lines that were written to it.
type tail struct {
	max  int
	kept []string
	part string // the line that has not ended yet
}

func (t *tail) Write(p []byte) (int, error) {
	lines := strings.Split(t.part+string(p), "\n")
	t.part = lines[len(lines)-1]
	// A stream without line ends must not grow without end.
	const most = 4096
	if len(t.part) > most {
		t.part = t.part[len(t.part)-most:]
	}
	t.kept = append(t.kept, lines[:len(lines)-1]...)
	if n := len(t.kept); n > t.max {
		t.kept = append([]string(nil), t.kept[n-t.max:]...)
	}
	return len(p), nil
}

// lines returns what was kept, an unended last line included.
func (t *tail) lines() []string {
	all := append([]string(nil), t.kept...)
	if t.part != "" {
		all = append(all, t.part)
	}
	return all
}
