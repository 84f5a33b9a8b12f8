package bake

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	cloudinit "bakehouse/cloud-init"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// attributesFile is the name of the first-boot attributes in local mode.
const attributesFile = "attributes.json"

// maxReboots bounds how often a converge may reboot the builder.
const maxReboots = 3

// installChef finds a Chef client in the builder, or installs the package.
func (s *Session) installChef(ctx context.Context) error {
	if err := s.findChef(ctx); err != nil || s.client != "" {
		return err
	}
	r := s.plan.Recipe
	if r.ChefPackage == "" {
		return fault.Newf(fault.Chef, "add --chef-package PATH|URL and --chef-package-sha256",
			"installing Chef: base image %s has neither chef-client nor cinc-client", r.Base.ID)
	}
	env := map[string]string{"DEB": workDir + "/chef.deb", "SHA256": r.ChefSHA256, "URL": ""}
	if isURL(r.ChefPackage) {
		env["URL"] = r.ChefPackage
	} else if err := s.send(ctx, s.plan.chefFile, env["DEB"], 0o600); err != nil {
		return err
	}
	if _, err := s.guest(ctx, guestRun{script: "install-chef", doing: "installing " + r.ChefPackage, kind: fault.Chef, env: env}); err != nil {
		return err
	}
	if err := s.findChef(ctx); err != nil {
		return err
	}
	if s.client == "" {
		return fault.Newf(fault.Chef, "give a package of Chef Infra Client or Cinc Client", "installing %s: it brought neither chef-client nor cinc-client", r.ChefPackage)
	}
	return nil
}

func (s *Session) findChef(ctx context.Context) error {
	text, err := script("find-chef")
	if err != nil {
		return err
	}
	out, err := s.machine.Output(ctx, host.Command{Script: text, Sudo: true})
	s.client = strings.TrimSpace(string(out))
	return guestFault(fault.Chef, "looking for a Chef client", err, "")
}

// converge applies the role, through as many reboots as it asks for.
func (s *Session) converge(ctx context.Context) error {
	for reboots := 0; ; reboots++ {
		if err := s.sendChefFiles(ctx); err != nil {
			return err
		}
		before, err := s.bootID(ctx)
		if err != nil {
			return err
		}
		again, err := s.convergeOnce(ctx, before)
		if err != nil || !again {
			return err
		}
		if reboots == maxReboots {
			return fault.Newf(fault.Chef, "look for a resource that asks for a reboot at every run", "converging role %s: it asked for more than %d reboots", s.plan.Recipe.Role, maxReboots)
		}
		s.logf("the converge asked for a reboot")
		if err := s.reboot(ctx, before); err != nil {
			return err
		}
	}
}

// convergeOnce runs the Chef client; again means that it wants a reboot first.
func (s *Session) convergeOnce(ctx context.Context, before string) (again bool, err error) {
	out := &tail{pass: func(line string) { s.Reporter.StepLog(s.step, line) }}
	err = s.machine.Run(ctx, host.Command{
		Script: s.client + " -c " + chefDir + "/client.rb --no-color --once" + s.plan.localArgs(),
		Stdout: out, Stderr: out, Sudo: true, Env: map[string]string{"CHEF_LICENSE": "accept-no-persist"}})
	out.end()
	s.converged = out.lines
	var exit *host.ExitError
	if err == nil || !errors.As(err, &exit) {
		if err != nil && ctx.Err() == nil && s.rebooted(ctx, before) {
			return true, nil // reboot_now takes the connection away before the exit code comes
		}
		return false, guestFault(fault.Chef, "converging role "+s.plan.Recipe.Role, err, "")
	}
	if exit.Code == 35 || exit.Code == 37 {
		return true, nil
	}
	return false, convergeFault(s.plan.Recipe.Role, exit.Code, out.lines)
}

// convergeFault says why a converge failed: by Chef's exit codes
// (docs.chef.io/chef_client_security, "exit codes"; its RFC 062) and its words.
func convergeFault(role string, code int, lines []string) error {
	next := "mend the recipe and bake again; its output stands above"
	why := lastError(lines)
	switch code {
	case 41:
		why, next = "it could not reboot the machine", "look at the resource that asked for the reboot"
	case 43:
		why = "its configuration is invalid: " + why
	case 172:
		why, next = "its licence is not accepted", "use a Cinc Client package, or accept Chef's licence in the base image"
	}
	if diskFull(strings.Join(lines, "\n")) {
		next = "raise --root-volume-gb (bake.root_volume_gb)"
		why = "the builder's disk is full: " + why
	}
	return fault.Newf(fault.Chef, next, "converging role %s: exit code %d: %s", role, code, orNone(why))
}

// sendChefFiles puts the client's key and configuration on the tmpfs; after a
// reboot they have to be put there again.
func (s *Session) sendChefFiles(ctx context.Context) error {
	attributes, err := s.plan.localAttributes()
	if err != nil {
		return err
	}
	var files []cloudinit.File
	for name, content := range map[string][]byte{"client.rb": []byte(s.plan.clientRB()), "client.pem": s.chefKey.Reveal(), "ca.pem": s.plan.chefCA, attributesFile: attributes} {
		if content != nil { // nil: there is none
			files = append(files, cloudinit.File{Path: chefDir + "/" + name, Mode: 0o600, Content: content})
		}
	}
	if err := s.putAll(ctx, files); err != nil {
		return err
	}
	if s.plan.Recipe.ChefMode == ChefLocalMode {
		return s.sendRepo(ctx)
	}
	return nil
}

// clientRB is the builder's client.rb. The cache is on disk, because recipes
// download into it; keys are not.
func (p Plan) clientRB() string {
	lines := []string{
		"node_name " + ruby(p.nodeName()),
		"client_key " + ruby(chefDir+"/client.pem"),
		"file_cache_path " + ruby(workDir+"/cache"),
		"file_backup_path " + ruby(workDir+"/backup"),
		"ssl_verify_mode :verify_peer",
	}
	if p.Recipe.ChefMode == ChefLocalMode {
		lines = append(lines, "local_mode true", "chef_repo_path "+ruby(chefDir+"/repo"), "environment "+ruby(p.Recipe.Environment))
	} else {
		lines = append(lines, "chef_server_url "+ruby(p.inputs.ChefServerURL))
	}
	if pol := p.Recipe.Policy; pol != nil { // either makes the client take the policy instead of a run list
		lines = append(lines, "policy_name "+ruby(pol.Name), "policy_group "+ruby(pol.Group))
	}
	if p.chefCA != nil {
		lines = append(lines, "ssl_ca_file "+ruby(chefDir+"/ca.pem"))
	}
	return strings.Join(lines, "\n") + "\n"
}

// ruby renders s as a single-quoted Ruby string.
func ruby(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// localArgs name the run list, which has no node to stand in.
func (p Plan) localArgs() string {
	if p.Recipe.ChefMode != ChefLocalMode {
		return ""
	}
	args := " --local-mode --override-runlist '" + strings.Join(p.Recipe.RunList, ",") + "'"
	if len(p.Recipe.Agent.Attributes) > 0 {
		args += " --json-attributes " + chefDir + "/" + attributesFile
	}
	return args
}

// repoParts are the folders of a chef-repo that a converge may need.
func repoParts() []string {
	return []string{"cookbooks", "roles", "environments", "data_bags", "policies"}
}

// sendRepo streams the chef-repo to the tmpfs: data bags may hold secrets.
func (s *Session) sendRepo(ctx context.Context) error {
	r, w := io.Pipe()
	go func() { w.CloseWithError(tarRepo(w, s.plan.inputs.ChefRepo)) }()
	defer r.Close()
	said := &tail{pass: func(string) {}}
	err := s.machine.Run(ctx, host.Command{Sudo: true, Stdin: r, Stderr: said,
		Script: "umask 077 && rm -rf " + chefDir + "/repo && mkdir " + chefDir + "/repo && tar -x -f - -C " + chefDir + "/repo"})
	said.end()
	return guestFault(fault.Chef, "sending the chef-repo", withOutput(err, said.lines), strings.Join(said.lines, "\n"))
}

// tarRepo writes the parts of the chef-repo in dir as a tar stream. Links
// within it are followed; one that leads out is an error.
func tarRepo(w io.Writer, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	out := tar.NewWriter(w)
	for _, part := range repoParts() {
		err := filepath.WalkDir(filepath.Join(dir, part), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if os.IsNotExist(err) {
					return nil
				}
				return err
			}
			rel, err := filepath.Rel(dir, path)
			if err != nil {
				return err
			}
			return tarFile(out, root, rel)
		})
		if err != nil {
			return fmt.Errorf("reading the chef-repo: %w", err)
		}
	}
	return out.Close()
}

func tarFile(out *tar.Writer, root *os.Root, rel string) error {
	f, err := root.Open(rel)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	head := &tar.Header{Typeflag: tar.TypeReg, Name: filepath.ToSlash(rel), Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime().Truncate(time.Second)}
	if err := out.WriteHeader(head); err != nil {
		return err
	}
	_, err = io.Copy(out, f)
	return err
}
