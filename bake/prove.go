package bake

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// TagChannel is the agent's: an instance with it follows that channel instead
// of the one baked in.
const TagChannel = "bakehouse:channel"

// proveTime bounds a proof, and is the default of ProveInputs.Timeout.
const proveTime = 15 * time.Minute

// ProveInputs are the wishes that concern the proof of an image.
type ProveInputs struct {
	Skip            bool
	KeepUnproven    bool          // an image that fails its proof stays, marked by a tag
	InstanceProfile string        // of the prover: what instances of the image run with
	Channel         string        // that the prover follows; empty: the image's
	Timeout         time.Duration // from launch to the last check; 0: 15m
	Subnets         []string      // of the prover, as Inputs.Subnets; empty: Group's, or where the builder ran
	Group           string        // Auto Scaling group whose subnets it runs in; empty: none
	Checks          Checks
}

// Proof is what a report says of the image's proof.
type Proof struct {
	InstanceID string        `json:"instance_id"`
	Result     string        `json:"result"` // proven or failed
	Checks     []CheckResult `json:"checks"`
	Logs       string        `json:"logs,omitempty"` // folder on this machine, of a failed proof
}

// prover is the session of the instance that proves an image: it is launched,
// reached and terminated as a builder is.
type prover struct {
	*Session
	node  string // on the Chef server; empty as long as there is no instance
	proof Proof
	kept  bool // the image failed, and stays
	gone  bool // instance, client and node are removed
	// identity is the script that looks for traces of the builder.
	identity string
}

// newProver prepares the session of a prover: another key, another token, the
// image for a base, and instances' rights instead of the builder's.
func (s *Session) newProver() (*prover, error) {
	in := s.plan.inputs.Prove
	p := s.plan
	p.tokenSuffix = "-prove" + s.resumed // a token of before means the instance of before
	p.Recipe.Base.ID = s.image
	p.Launch.InstanceProfile = in.InstanceProfile
	p.inputs.Tenancy, p.inputs.CapacityReservation = "", "" // the builder's
	p.Launch.Metadata.Tags = true                           // the agent reads its channel there
	p.Tags = maps.Clone(p.Tags)
	if in.Channel != "" {
		p.Tags[TagChannel] = in.Channel
	}
	if at := s.plan.ProveAt; at != nil {
		p.Launch.Address, p.Launch.VPC = at.Address, at.VPC
	}
	child := &Session{World: s.World, plan: p, journal: s.journal, group: s.group, step: s.step}
	var err error
	if child.hostKey, err = newKeyPair("prover host"); err != nil {
		return nil, err
	}
	if child.userKey, err = newKeyPair("prover login"); err != nil {
		return nil, err
	}
	return &prover{Session: child}, nil
}

// prove boots an instance of the image and sees it come up. Whatever fails
// after the launch counts against the image.
func (s *Session) prove(ctx context.Context) error {
	p, err := s.newProver()
	if err != nil {
		return err
	}
	s.prover = p
	if p.identity, err = s.identityScript(); err != nil {
		return err
	}
	data, err := proverData(p.hostKey, p.userKey, p.plan.ExpiresAt)
	if err != nil {
		return err
	}
	if err := p.launchAny(ctx, "the proving instance", s.provePlacements(), data); err != nil {
		return err
	}
	p.proof.InstanceID, p.proof.Result = p.instance, ami.ProofFailed
	if err := p.own(); err != nil {
		return err
	}
	short, cancel := context.WithTimeoutCause(ctx, cmp.Or(s.plan.inputs.Prove.Timeout, proveTime), errors.New("the instance did not come up in time"))
	defer cancel()
	if err := p.watch(short); err != nil {
		if short.Err() != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %w", context.Cause(short), err)
		}
		return s.unproven(ctx, err)
	}
	p.proof.Result = ami.Proven
	if err := s.markProof(ctx, ami.Proven); err != nil {
		return err
	}
	// It ends while the bake goes on; the clean-up sees to that, and to what it
	// made on the Chef server. The image is proven whatever becomes of it.
	_ = p.disconnect(ctx)
	p.release(ctx)
	return nil
}

// own records the prover's node and client, which the instance itself will
// make on the Chef server.
func (p *prover) own() error {
	p.node = p.plan.Recipe.Agent.Chef.NodePrefix + p.instance
	return errors.Join(p.journal.intend(KindChefClient, p.node), p.journal.intend(KindChefNode, p.node))
}

// watch waits for the first-boot chain, then looks closer.
func (p *prover) watch(ctx context.Context) error {
	if err := p.boot(ctx); err != nil {
		return err
	}
	if err := p.connect(ctx); err != nil {
		return err
	}
	if err := p.awaitFirstBoot(ctx); err != nil {
		return err
	}
	if err := p.runChecks(ctx); err != nil {
		return err
	}
	return p.checkIdentity(ctx)
}

// agentStatus is the part of boot-agent status --json that a proof reads.
type agentStatus struct {
	State  string `json:"state"`
	Why    string `json:"why"`
	Stages []struct {
		Stage string `json:"stage"`
		State string `json:"state"`
	} `json:"stages"`
}

// stage names the stage at work, for progress.
func (a agentStatus) stage() string {
	for _, s := range a.Stages {
		if s.State == "running" || s.State == "failed" {
			return s.Stage + " " + s.State
		}
	}
	return a.State
}

// awaitFirstBoot asks the agent until its chain is complete. A failed one is
// final: the agent tries again by itself before it says so.
func (p *prover) awaitFirstBoot(ctx context.Context) error {
	return poll(ctx, p.Clock, p.guestPace(), func(ctx context.Context) (bool, error) {
		out, err := p.machine.Output(ctx, host.Command{Script: "boot-agent status --json || true", Sudo: true})
		if err != nil {
			return false, guestFault(fault.Check, "asking the agent for its status", err, "")
		}
		var st agentStatus
		if err := json.Unmarshal(out, &st); err != nil {
			return false, fault.Newf(fault.Check, "", "asking the agent for its status: it answers %q", clip(string(out)))
		}
		p.progress("%s: first boot: %s", p.instance, st.stage())
		if st.State == "failed" {
			return false, fmt.Errorf("first boot failed: %s: %s", st.stage(), clip(st.Why))
		}
		return st.State == "complete", nil
	})
}

// unproven gathers what tells why, then gives the image up, or marks it. A
// bake that was interrupted has proven nothing either way.
func (s *Session) unproven(ctx context.Context, why error) error {
	if ctx.Err() != nil {
		return why
	}
	dir, lerr := s.prover.keepLogs(ctx)
	s.prover.proof.Logs = dir
	err := fmt.Errorf("proving image %s: %w (logs and console are in %s)", s.image, why, dir)
	if s.plan.inputs.Prove.KeepUnproven {
		if merr := errors.Join(s.markProof(ctx, ami.ProofFailed), s.keepImage(ctx)); merr != nil {
			return errors.Join(err, merr)
		}
		s.prover.kept = true
		err = fmt.Errorf("%w; the image stays, tagged %s=%s", err, ami.TagProof, ami.ProofFailed)
	}
	if lerr != nil {
		err = fmt.Errorf("%w; keeping the logs: %w", err, lerr)
	}
	return fault.New(fault.Check, "read the logs; --keep-unproven keeps the image, --no-prove skips the proof", err)
}

// markProof tags image and snapshots with what came of the proof.
func (s *Session) markProof(ctx context.Context, result string) error {
	_, err := s.EC2.CreateTags(ctx, &ec2.CreateTagsInput{Resources: append([]string{s.image}, s.snaps...),
		Tags: []types.Tag{{Key: aws.String(ami.TagProof), Value: aws.String(result)}}})
	return awsfault.New("ec2:CreateTags", "marking "+s.image+" as "+result, err)
}

// removeProver terminates the prover and takes it off the Chef server. Client
// and node come last: a running instance could register again.
func (s *Session) removeProver(ctx context.Context) error {
	p := s.prover
	if p == nil || p.gone {
		return nil
	}
	_ = p.disconnect(ctx)
	if err := p.terminate(ctx); err != nil {
		return err
	}
	if p.instance == "" {
		return nil
	}
	if err := p.own(); err != nil { // a launch that was never confirmed may have registered
		return err
	}
	if err := s.Chef.DeleteClient(ctx, p.node); err != nil {
		return chefFault("deleting Chef client "+p.node, err)
	}
	if err := s.Chef.DeleteNode(ctx, p.node); err != nil {
		return chefFault("deleting Chef node "+p.node, err)
	}
	err := errors.Join(s.journal.gone(KindChefClient, p.node), s.journal.gone(KindChefNode, p.node))
	p.gone = err == nil
	return err
}

// check finds what can be refused without asking anybody.
func (in ProveInputs) check(chef agentconf.Chef) error {
	if in.Skip {
		if in.KeepUnproven || in.Channel != "" || in.Group != "" || len(in.Subnets) > 0 {
			return fault.Newf(fault.Usage, "drop --no-prove, or the settings of the proof (--keep-unproven, --prove-channel, --prove-subnet, --prove-group)",
				"checking inputs: there is no proof to keep an image after, or a channel or subnet for")
		}
		return nil
	}
	remote := strings.HasPrefix(chef.ValidatorKey, "ssm:") || strings.HasPrefix(chef.ValidatorKey, "secretsmanager:")
	switch {
	case chef.BrokerURL != "" && in.InstanceProfile == "": // it wins over a validator's key
		return fault.Newf(fault.Usage, "add --prove-instance-profile NAME (prove.instance_profile), a role that the broker knows, or --no-prove",
			"checking inputs: the instance that proves the image could not prove to broker %s who it is: it has no instance profile", chef.BrokerURL)
	case remote && in.InstanceProfile == "":
		return fault.Newf(fault.Usage, "add --prove-instance-profile NAME (prove.instance_profile), what instances of the role run with, or --no-prove",
			"checking inputs: the instance that proves the image could not read %s: it has no instance profile", chef.ValidatorKey)
	case in.Timeout < 0 || in.Timeout > 0 && in.Timeout < time.Minute:
		return fault.Newf(fault.Usage, "use --prove-timeout 1m at least", "checking inputs: a proof time-out of %s is too short for any boot", in.Timeout)
	}
	return cmp.Or(in.checkPlace(), in.Checks.check())
}
