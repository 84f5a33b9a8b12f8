package bake

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// rebootTime bounds a reboot of the builder.
const rebootTime = 10 * time.Minute

// bootID returns the kernel's id of this boot (random(4)).
func (s *Session) bootID(ctx context.Context) (string, error) {
	out, err := s.machine.Output(ctx, host.Command{Script: "cat /proc/sys/kernel/random/boot_id"})
	if err != nil {
		return "", guestFault(fault.Check, "reading the builder's boot id", err, "")
	}
	return strings.TrimSpace(string(out)), nil
}

// reboot reboots the builder, from within or, when that fails, by the API, and
// makes it ready to converge again.
func (s *Session) reboot(ctx context.Context, before string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, rebootTime, stepTooLong("reboot", rebootTime))
	defer cancel()
	if now, err := s.bootID(ctx); err != nil || now == before {
		// The connection may go before the reply comes, so its loss proves nothing.
		short, done := context.WithTimeout(ctx, 15*time.Second)
		err := s.machine.Run(short, host.Command{Script: "shutdown -c >/dev/null 2>&1; systemctl --no-block reboot", Sudo: true})
		done()
		if exitCode(err) != 0 {
			_, err := s.EC2.RebootInstances(ctx, &ec2.RebootInstancesInput{InstanceIds: []string{s.instance}})
			if err != nil {
				return awsfault.New("ec2:RebootInstances", "rebooting "+s.instance, err)
			}
		}
	}
	if err := s.reconnect(ctx, before); err != nil {
		return err
	}
	return s.prepare(ctx)
}

// reconnect waits until the builder answers from another boot than before,
// with the same host key.
func (s *Session) reconnect(ctx context.Context, before string) error {
	return poll(ctx, s.Clock, statePace(), func(ctx context.Context) (bool, error) {
		_ = s.disconnect(ctx)
		m, err := s.reach(ctx)
		if err != nil {
			return false, guestFault(fault.Check, "reconnecting to "+s.place()+" after a reboot", err, "")
		}
		s.machine = m
		now, err := s.bootID(ctx)
		s.progress("waiting for the reboot")
		return err == nil && now != before, nil
	})
}

// rebooted says whether a broken connection was a reboot of the builder.
func (s *Session) rebooted(ctx context.Context, before string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return s.reconnect(ctx, before) == nil
}

// exitCode is that of a command that ran; 0 when it is unknown.
func exitCode(err error) int {
	var exit *host.ExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return 0
}
