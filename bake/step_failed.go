package bake

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bakehouse/internal/await"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"golang.org/x/crypto/ssh"
)

// consoleTime bounds asking for the console: undoing must not wait for it.
const consoleTime = 5 * time.Second

// evidence gathers, before anything is undone, what tells why a bake failed:
// the converge's last lines and the builder's console. It is not asked for
// when ctx, the caller's, has ended: then every second counts.
func (s *Session) evidence(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if s.instance != "" {
		s.console = s.readConsole(ctx)
	}
	s.show("the builder's console", s.console)
	s.show("the converge", s.converged)
}

// show reports lines under a heading.
func (s *Session) show(what string, lines []string) {
	if len(lines) == 0 {
		return
	}
	s.Reporter.Info(fmt.Sprintf("the last %d lines of %s:", len(lines), what))
	for _, line := range lines {
		s.Reporter.Info("  | " + line)
	}
}

// readConsole returns the last lines of the builder's console, as far as EC2
// has them; what cannot be read is nothing to fail for.
func (s *Session) readConsole(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, consoleTime)
	defer cancel()
	out, err := s.EC2.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: aws.String(s.instance), Latest: aws.Bool(true)}, await.Once)
	if err != nil {
		return nil
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		return nil
	}
	last := &tail{pass: func(string) {}}
	_, _ = last.Write(text) // it keeps lines and cannot fail
	last.end()
	return last.lines
}

// keepBuilder leaves a failed bake's builder as it is and says how to get in and how
// to end it. Its key is written beside the journal, for its owner alone.
func (s *Session) keepBuilder() error {
	if !s.ending.IsZero() { // it was let go: only the rest is kept
		if err := s.journal.gone(KindInstance, s.token); err != nil {
			return err
		}
	}
	if err := s.journal.keep(); err != nil {
		return err
	}
	defer s.journal.lock.Close()
	key := filepath.Join(filepath.Dir(s.journal.path), s.plan.BakeID+".key")
	if err := os.WriteFile(key, []byte(s.userKey.privatePEM), 0o600); err != nil {
		return fmt.Errorf("keeping the builder's key: %w", err)
	}
	if s.addr != "" {
		known := strings.TrimSuffix(s.addr, fmt.Sprintf(":%d", sshPort)) + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.hostKey.public)))
		if err := os.WriteFile(key+".known_hosts", []byte(known+"\n"), 0o600); err != nil {
			return fmt.Errorf("keeping the builder's host key: %w", err)
		}
	}
	for _, line := range s.howToGetIn(key) {
		s.Reporter.Info(line)
	}
	return nil
}

// howToGetIn is what a person needs who looks into a kept builder.
func (s *Session) howToGetIn(key string) []string {
	lines := []string{"kept, as asked: " + s.owned()}
	if s.addr != "" && s.ending.IsZero() {
		host := strings.TrimSuffix(s.addr, fmt.Sprintf(":%d", sshPort))
		lines = append(lines, fmt.Sprintf("get in (until the scrub has run): ssh -i %s -o UserKnownHostsFile=%s.known_hosts %s@%s", key, key, s.plan.Launch.SSHUser, host))
	}
	return append(lines, "remove it: bake-ami abort "+s.plan.BakeID+" (the builder destroys itself at "+s.plan.ExpiresAt.UTC().Format(time.RFC3339)+")")
}
