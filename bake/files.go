package bake

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"bakehouse/internal/fault"
)

// packageFile is a file on this machine that the bake copies to the guest.
type packageFile struct {
	path   string // empty: none
	size   int64  // bytes
	sha256 string // lower-case hex
}

// readFile hashes a file that an option names.
func readFile(path, option string) (packageFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return packageFile{}, fault.Newf(fault.Usage, "correct "+option, "reading %s: %w", option, err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return packageFile{}, fault.Newf(fault.Usage, "correct "+option, "reading %s: %w", option, err)
	}
	return packageFile{path: path, size: n, sha256: hex.EncodeToString(h.Sum(nil))}, nil
}

// chefPackage checks the Chef package, when it is a file here. One that the
// guest fetches by URL is checked there.
func chefPackage(in Inputs) (packageFile, error) {
	if in.ChefPackage == "" || isURL(in.ChefPackage) {
		return packageFile{}, nil
	}
	f, err := readFile(in.ChefPackage, "--chef-package")
	if err != nil {
		return f, err
	}
	if !strings.EqualFold(f.sha256, in.ChefPackageSHA256) {
		return f, fault.Newf(fault.Usage, "fetch the package again, or correct --chef-package-sha256",
			"checking %s: its SHA-256 is %s, not %s", in.ChefPackage, f.sha256, strings.ToLower(in.ChefPackageSHA256))
	}
	return f, nil
}

// agentFile checks that the agent is a program for the image's architecture.
func agentFile(in Inputs, architecture string) (packageFile, error) {
	const next = "build it (make build), or name it with --agent-binary"
	if in.AgentBinary == "" {
		in.AgentBinary = agentIn(in.AgentDir, architecture)
	}
	if in.AgentBinary == "" {
		return packageFile{}, fault.Newf(fault.Usage, next, "looking for boot-agent: no path is given")
	}
	f, err := readFile(in.AgentBinary, "--agent-binary")
	if err != nil {
		return f, fault.New(fault.Usage, next, errors.Unwrap(err))
	}
	program, err := elf.Open(in.AgentBinary)
	if err != nil {
		return f, fault.Newf(fault.Usage, next, "checking %s: not a Linux program", in.AgentBinary)
	}
	defer program.Close()
	want := map[string]elf.Machine{"x86_64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[architecture]
	if program.Machine != want {
		return f, fault.Newf(fault.Usage, "build boot-agent for "+architecture+" (GOARCH) and name it with --agent-binary",
			"checking %s: it is built for %v, the image is %s", in.AgentBinary, program.Machine, architecture)
	}
	return f, nil
}

// agentIn finds the agent for an architecture in a folder: boot-agent-arm64
// (or -amd64) when there is one, else boot-agent. "" when no folder is given.
func agentIn(dir, architecture string) string {
	if dir == "" {
		return ""
	}
	if path := filepath.Join(dir, "boot-agent-"+goArch(architecture)); isFile(path) {
		return path
	}
	return filepath.Join(dir, "boot-agent")
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// caBundle reads the PEM bundle that instances and builder trust Chef by.
func caBundle(in Inputs) ([]byte, error) {
	if in.ChefCAFile == "" {
		return nil, nil
	}
	b, err := os.ReadFile(in.ChefCAFile)
	if err != nil {
		return nil, fault.New(fault.Usage, "correct --chef-ca-file", fmt.Errorf("reading the Chef server's CA: %w", err))
	}
	if !strings.Contains(string(b), "BEGIN CERTIFICATE") || strings.Contains(string(b), "PRIVATE KEY") {
		return nil, fault.Newf(fault.Usage, "give a PEM file with certificates only", "reading the Chef server's CA: %s is not a certificate bundle", in.ChefCAFile)
	}
	return b, nil
}
