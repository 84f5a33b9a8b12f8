package bake

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"bakehouse/bake/inventory"
	cloudinit "bakehouse/cloud-init"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// verified is the last line of a verification that ran to its end.
const verified = "VERIFIED"

// survivor is a trace that the verification found.
type survivor struct{ what, path string }

// parseVerification reads what the verification printed: "SURVIVED what path"
// with tabs, and the closing line, without which nothing is proven.
func parseVerification(out string) ([]survivor, error) {
	var found []survivor
	ended := false
	for _, line := range strings.Split(out, "\n") {
		fields := strings.SplitN(line, "\t", 3)
		switch {
		case fields[0] == "SURVIVED" && len(fields) == 3:
			found = append(found, survivor{fields[1], fields[2]})
		case line == verified:
			ended = true
		}
	}
	if !ended {
		return found, fault.Newf(fault.Check, "bake again; the output above says where it stopped", "verifying the scrub: the verification did not run to its end")
	}
	return found, nil
}

// survivors turns what was found into an error that names kinds and paths.
func survivors(found []survivor) error {
	if len(found) == 0 {
		return nil
	}
	var names []string
	next := "find what writes it after or despite the scrub"
	for i, f := range found {
		if i == 5 {
			names = append(names, fmt.Sprintf("and %d more", len(found)-i))
			break
		}
		names = append(names, f.what+" "+f.path)
	}
	switch found[0].what {
	case "private key":
		next = "have the role fetch the key at boot; if it is no secret, add --allow-key " + found[0].path
	case "AWS secret key":
		next = "remove the key from the role and use an instance profile"
	}
	return fault.Newf(fault.Check, next, "verifying the scrub: survived: %s", strings.Join(names, "; "))
}

// scrub removes all that makes the builder this one machine, then verifies by
// other means that it is gone. Both run as one command, because the first takes
// away the login by which a second one would come. Nothing else is run in the
// builder after it.
func (s *Session) scrub(ctx context.Context) error {
	clean, err := script("scrub")
	if err != nil {
		return err
	}
	check, err := script("verify")
	if err != nil {
		return err
	}
	files, err := s.plan.imageFiles()
	if err != nil {
		return err
	}
	keep := append(paths(files), agentconf.BinaryPath, inventory.Path)
	if err := s.putAll(ctx, []cloudinit.File{{Path: runDir + "/scrub.sh", Mode: 0o700, Content: []byte(scrubScript(clean))},
		{Path: runDir + "/verify.sh", Mode: 0o700, Content: []byte(verifyScript(check, s.plan.inputs.AllowKeys, keep))}}); err != nil {
		return err
	}
	said := &tail{pass: func(line string) { s.Reporter.StepLog(s.step, line) }}
	var out bytes.Buffer
	err = s.machine.Run(ctx, host.Command{Sudo: true, Stdout: &out, Stderr: said,
		Script: "cd / && HISTFILE= && sh " + runDir + "/scrub.sh && sh " + runDir + "/verify.sh"})
	said.end()
	if err != nil {
		return guestFault(fault.Check, "scrubbing the builder", withOutput(err, said.lines), strings.Join(said.lines, "\n"))
	}
	found, err := parseVerification(out.String())
	if err != nil {
		return err
	}
	return survivors(found)
}
