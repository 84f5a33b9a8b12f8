package bake

import (
	"context"
	"time"

	"bakehouse/internal/fault"
)

// The values of Inputs.Transport.
const (
	TransportSSH = "ssh"
	TransportSSM = "ssm" // Systems Manager's Run Command: no port, no key, no security group
)

// ssmPackage is the largest Chef package that is sent through SSM, in bytes:
// it goes in pieces of 33 KiB.
const ssmPackage = 32 << 20

// checkTransport refuses settings that do not go together.
func (in Inputs) checkTransport() error {
	ssm := in.Transport == TransportSSM
	switch {
	case !oneOf(in.Transport, TransportSSH, TransportSSM):
		return fault.Newf(fault.Usage, "use ssh or ssm", "checking inputs: transport %q is unknown", in.Transport)
	case ssm && in.AllowFrom != "":
		return fault.Newf(fault.Usage, "drop --allow-from", "checking inputs: transport ssm opens no port to anybody")
	case ssm && in.Bastion.Address != "":
		return fault.Newf(fault.Usage, "drop either --bastion or --transport ssm", "checking inputs: transport ssm goes through no bastion")
	}
	return nil
}

// checkSSMFiles refuses files that would take too long through SSM.
func (p *Plan) checkSSMFiles() error {
	if p.inputs.Transport == TransportSSM && p.chefFile.size > ssmPackage {
		return fault.Newf(fault.Usage, "give it as a URL, which the builder fetches itself, or use --transport ssh",
			"checking %s: %d MB are too much to send through SSM", p.chefFile.path, p.chefFile.size>>20)
	}
	return nil
}

// bySSM says how the builder is reached.
func (s *Session) bySSM() bool { return s.plan.Launch.Transport == TransportSSM }

// reach connects to the builder; it waits until the builder answers.
func (s *Session) reach(ctx context.Context) (Machine, error) {
	if s.bySSM() {
		return s.ConnectSSM(ctx, s.instance)
	}
	return s.Connect(ctx, s.target())
}

// place is where the builder answers, for messages.
func (s *Session) place() string {
	if s.bySSM() {
		return s.instance + " by SSM"
	}
	return s.addr
}

// unreachable is the next step when the builder does not answer.
func (s *Session) unreachable() string {
	if s.bySSM() {
		return "give the builder the rights of AmazonSSMManagedInstanceCore (--instance-profile) and a way to SSM's endpoints; the base image must have the SSM agent"
	}
	return "check that port 22 of the builder can be reached from here"
}

// bootData is the builder's user-data: keys only when SSH needs them.
func (s *Session) bootData(deadline time.Time) (string, error) {
	if s.bySSM() {
		return renderData(userData{Boot: bootCommands(deadline)})
	}
	return builderData(s.hostKey, s.userKey, deadline)
}
