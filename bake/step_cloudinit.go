package bake

import (
	"context"
	"encoding/json"
	"strings"

	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// cloudStatus is what a builder says of its first boot: the document of
// `cloud-init status --format json` (from 22.4 or 23.1 on, by distribution),
// or, for older ones, result.json, which has the errors only.
type cloudStatus struct {
	Status            string              `json:"status"`
	Errors            []string            `json:"errors"`
	RecoverableErrors map[string][]string `json:"recoverable_errors"`
	V1                *struct {
		Errors []string `json:"errors"`
	} `json:"v1"` // result.json
}

// verdict reads cloud-init's account: an error when set-up failed, and
// warnings that need not stop a bake.
func cloudVerdict(text []byte) (warnings []string, err error) {
	var c cloudStatus
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fault.Newf(fault.Check, "run cloud-init status --long on such an instance", "reading cloud-init's status: %w", err)
	}
	if c.V1 != nil {
		c.Errors = append(c.Errors, c.V1.Errors...)
		c.Status = "done"
	}
	for level, lines := range c.RecoverableErrors {
		for _, l := range lines {
			warnings = append(warnings, strings.ToLower(level)+": "+l)
		}
	}
	if strings.HasPrefix(c.Status, "error") || len(c.Errors) > 0 {
		why := "no reason given"
		if len(c.Errors) > 0 {
			why = clip(c.Errors[0])
		}
		return warnings, fault.Newf(fault.Check, "boot the base image by hand and look at /var/log/cloud-init.log", "waiting for cloud-init: it failed: %s", why)
	}
	if !strings.Contains(c.Status, "done") && c.Status != "disabled" {
		return warnings, fault.Newf(fault.Check, "look at /var/log/cloud-init.log of such an instance", "waiting for cloud-init: it ended as %q", c.Status)
	}
	return warnings, nil
}

// awaitCloudInit waits until the builder has set itself up, and keeps what
// works in the background of a fresh Ubuntu from taking apt's lock.
func (s *Session) awaitCloudInit(ctx context.Context) error {
	text, err := script("await-cloud-init")
	if err != nil {
		return err
	}
	out, err := s.machine.Output(ctx, host.Command{Script: text, Sudo: true})
	if err != nil {
		return guestFault(fault.Check, "waiting for cloud-init", err, "")
	}
	warnings, err := cloudVerdict(out)
	for _, w := range warnings {
		s.logf("cloud-init: %s", w)
	}
	if err != nil {
		return err
	}
	id, err := s.machine.Output(ctx, host.Command{Script: "cat /etc/machine-id"})
	if err != nil {
		return guestFault(fault.Check, "reading the builder's machine id", err, "")
	}
	s.machineID = strings.TrimSpace(string(id))
	return s.prepare(ctx)
}

// prepare makes the work folders and quiets apt. It is needed again after
// every reboot, which empties /run and starts the timers anew.
func (s *Session) prepare(ctx context.Context) error {
	_, err := s.guest(ctx, guestRun{script: "prepare", doing: "preparing the builder", kind: fault.Check,
		env: map[string]string{"RUN_DIR": runDir, "CHEF_DIR": chefDir, "WORK_DIR": workDir}})
	return err
}
