package bake

import (
	"context"
	"path"

	cloudinit "bakehouse/cloud-init"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// imageFiles are the small files that the bake leaves in the image.
func (p Plan) imageFiles() ([]cloudinit.File, error) {
	conf, err := p.agentConfig().Marshal()
	if err != nil {
		return nil, err
	}
	files := []cloudinit.File{
		{Path: agentconf.ConfigPath, Mode: 0o644, Content: conf},
		// Only systemd reads it, and proxies may carry passwords.
		{Path: agentconf.EnvPath, Mode: 0o600, Content: p.agentEnv()},
	}
	if p.chefCA != nil {
		files = append(files, cloudinit.File{Path: caPath, Mode: 0o644, Content: p.chefCA})
	}
	units, err := cloudinit.Files()
	return append(files, units...), err
}

// installAgent puts the agent, its configuration and the first-boot unit into
// the image, and has systemd check the unit as it will find it.
func (s *Session) installAgent(ctx context.Context) error {
	files, err := s.plan.imageFiles()
	if err != nil {
		return err
	}
	if err := s.send(ctx, s.plan.agentFile, agentconf.BinaryPath, 0o755); err != nil {
		return err
	}
	if err := s.putAll(ctx, files); err != nil {
		return err
	}
	_, err = s.guest(ctx, guestRun{script: "check-agent", doing: "checking the agent in the image", kind: fault.Check,
		env: map[string]string{"AGENT": agentconf.BinaryPath, "UNIT": cloudinit.Unit}})
	return err
}

func paths(files []cloudinit.File) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.Path)
	}
	return out
}

// link makes a symbolic link; neither name has a blank in it.
func (s *Session) link(ctx context.Context, at, to string) error {
	err := s.machine.Run(ctx, host.Command{Script: "umask 022 && mkdir -p " + path.Dir(at) + " && ln -sfn " + to + " " + at, Sudo: true})
	return guestFault(fault.Check, "linking "+at+" in the builder", err, "")
}
