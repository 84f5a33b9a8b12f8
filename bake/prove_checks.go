package bake

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// checkTime is the default of Checks.Timeout.
const checkTime = 30 * time.Second

// Checks are what a booted instance of a role must show, asked inside it as root.
type Checks struct {
	Commands []string      // shell commands that must end with 0
	Files    []string      // absolute paths that must exist
	Ports    []string      // TCP ports that something must listen on
	URLs     []string      // must answer with a 2xx or 3xx status
	Timeout  time.Duration // of each check; 0: 30s
}

// CheckResult is how one check of a proof went.
type CheckResult struct {
	Name    string  `json:"name"` // as "port 80"
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}

// listening looks a port up in the kernel's table (proc_pid_net(5)): state 0A
// is LISTEN. Images have ss or netstat, or neither.
const listening = `awk -v "port=:$PORT_HEX" '$4 == "0A" && substr($2, length($2) - 4) == port { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6`

// check is one named script.
type check struct{ name, script string }

// list turns checks into scripts.
func (c Checks) list() []check {
	var out []check
	for _, command := range c.Commands {
		out = append(out, check{"command " + command, command})
	}
	for _, path := range c.Files {
		out = append(out, check{"file " + path, "test -e " + shellQuote(path)})
	}
	for _, port := range c.Ports {
		n, _ := strconv.Atoi(port) // was checked
		out = append(out, check{"port " + port, fmt.Sprintf("PORT_HEX=%04X; ", n) + listening})
	}
	for _, url := range c.URLs {
		out = append(out, check{"http " + url, "curl -fsS -o /dev/null " + shellQuote(url)})
	}
	return out
}

// check refuses checks that could never be run.
func (c Checks) check() error {
	for _, p := range c.Ports {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return fault.Newf(fault.Usage, "use 1 to 65535", "checking inputs: check of port %q: there is no such port", p)
		}
	}
	for _, f := range c.Files {
		if !filepath.IsAbs(f) {
			return fault.Newf(fault.Usage, "write the path from the root", "checking inputs: check of file %q: it is not absolute", f)
		}
	}
	return nil
}

// runChecks runs all checks, each in its own time, and fails with those that
// failed, all of them.
func (p *prover) runChecks(ctx context.Context) error {
	var failed []string
	checks := p.plan.inputs.Prove.Checks
	for _, c := range checks.list() {
		p.progress("%s: %s", p.instance, c.name)
		start := p.Clock.Now()
		err := p.runCheck(ctx, c, cmp.Or(checks.Timeout, checkTime))
		if ctx.Err() != nil {
			return err
		}
		r := CheckResult{Name: c.name, Seconds: p.Clock.Now().Sub(start).Seconds()}
		if err != nil {
			r.Error = err.Error()
			failed = append(failed, c.name+": "+r.Error)
		}
		p.proof.Checks = append(p.proof.Checks, r)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d checks failed: %s", len(failed), len(p.proof.Checks), strings.Join(failed, "; "))
	}
	return nil
}

func (p *prover) runCheck(ctx context.Context, c check, limit time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("took longer than %s", limit))
	defer cancel()
	out := &tail{pass: func(line string) { p.logf("%s: %s", c.name, line) }}
	err := p.machine.Run(ctx, host.Command{Script: c.script, Sudo: true, Stdout: out, Stderr: out})
	out.end()
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return withOutput(err, out.lines)
}

// identityScript verifies on the booted instance that nothing of the builder
// lives on, and that it keeps no Chef key but its own. Other keys may be there
// by now: a role fetches what it needs at boot.
func (s *Session) identityScript() (string, error) {
	prelude, err := script("verify")
	if err != nil {
		return "", err
	}
	own, err := script("prove")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(prelude + "\n" + own + "\n" + allowFunction([]string{"/etc/chef/client.pem", "/etc/cinc/client.pem"}))
	b.WriteString("no_keys 'Chef key' /etc/chef\nno_keys 'Chef key' /etc/cinc\n")
	blob := func(k keyPair) string { return shellQuote(strings.Fields(k.publicLine)[1]) }
	b.WriteString("own_id " + shellQuote(s.machineID) + "\n")
	b.WriteString("lacks 'host key of the builder' " + blob(s.hostKey) + " '/etc/ssh/ssh_host_*_key.pub'\n")
	b.WriteString("lacks 'login of the builder' " + blob(s.userKey) + " '~/.ssh/authorized_keys'\n")
	b.WriteString("only 'authorized key' " + blob(s.prover.userKey) + " '~/.ssh/authorized_keys'\n")
	b.WriteString("lacks 'Chef node of the builder' " + shellQuote(s.plan.nodeName()) + " '/etc/chef/*'\n")
	b.WriteString("finish\n")
	return b.String(), nil
}

// checkIdentity runs the identity script.
func (p *prover) checkIdentity(ctx context.Context) error {
	out, err := p.machine.Output(ctx, host.Command{Script: p.identity, Sudo: true})
	if err != nil {
		return guestFault(fault.Check, "looking for traces of the builder", err, "")
	}
	found, err := parseVerification(string(out))
	if err != nil {
		return err
	}
	p.proof.Checks = append(p.proof.Checks, CheckResult{Name: "no trace of the builder"})
	if err := survivors(found); err != nil {
		p.proof.Checks[len(p.proof.Checks)-1].Error = err.Error()
		return err
	}
	return nil
}

// consoleText decodes what GetConsoleOutput gives.
func consoleText(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return []byte(s)
	}
	return b
}

// keepLogs writes what a person would look at into a folder of the state
// directory. What cannot be had is left out, and said in the file.
func (p *prover) keepLogs(ctx context.Context) (string, error) {
	dir := filepath.Join(p.StateDir, "proofs", p.plan.BakeID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return dir, err
	}
	said := func(out []byte, err error) []byte {
		if err != nil {
			out = append(out, []byte("\n(incomplete: "+err.Error()+")\n")...)
		}
		return out
	}
	var all []error
	if p.machine != nil {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		out, err := p.machine.Output(ctx, host.Command{Sudo: true, Script: "boot-agent status; journalctl -b --no-pager -u bakehouse-first-boot; " +
			"cloud-init status --long; systemctl --failed --no-pager; journalctl -b --no-pager -n 500"})
		all = append(all, os.WriteFile(filepath.Join(dir, "instance.log"), said(out, err), 0o600))
	}
	console, err := p.EC2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(p.instance)})
	var text []byte
	if err == nil {
		text = consoleText(aws.ToString(console.Output))
	}
	all = append(all, os.WriteFile(filepath.Join(dir, "console.log"), said(text, err), 0o600))
	return dir, errors.Join(all...)
}
