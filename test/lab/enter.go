//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/test/lab/company"
	"bakehouse/test/lab/control"
	"bakehouse/test/lab/seal"
)

// askPatience bounds a question to the lab.
const askPatience = 30 * time.Second

// environment is what `lab run` adds, as KEY=VALUE, sorted.
func environment(p place) []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + company.OperatorID,
		"AWS_EC2_METADATA_DISABLED=true", // the operator is no instance
		"AWS_ENDPOINT_URL=" + company.GatewayURL,
		"AWS_REGION=" + company.Region,
		"AWS_DEFAULT_REGION=" + company.Region, // what botocore reads
		"AWS_SECRET_ACCESS_KEY=" + company.OperatorSK,
		"BAKEHOUSE_LAB=" + p.run,
		"BAKEHOUSE_LAB_CACHE=" + p.cache,
		"BAKEHOUSE_LAB_IDENTITY_CERT=" + company.IdentityCert(p.run),
		"CHEF_CLIENT_KEY=" + company.AdminKey(p.run),
		"CHEF_CLIENT_NAME=admin",
		"CHEF_SERVER_URL=" + company.ChefURL,
	}
}

// env prints the environment for a shell inside.
func env(p place, _ []string) (int, error) {
	for _, kv := range environment(p) {
		fmt.Println("export " + kv)
	}
	return 0, nil
}

// mergeEnv lets add win over base, and drops what could lead out of the lab or
// to somebody's real account: other AWS settings, and proxies, which do not
// exist in the seal.
func mergeEnv(base, add []string) []string {
	var out []string
	for _, kv := range base {
		key, _, _ := strings.Cut(kv, "=")
		ours := slices.ContainsFunc(add, func(a string) bool { return strings.HasPrefix(a, key+"=") })
		leads := strings.HasPrefix(key, "AWS_") || strings.HasSuffix(strings.ToUpper(key), "_PROXY")
		if !ours && !leads {
			out = append(out, kv)
		}
	}
	return append(out, add...)
}

// enter runs a command in the seal; inside already, it just runs it.
func (p place) enter(args, env []string) (int, error) {
	dir, err := os.Getwd()
	if err != nil {
		return 1, fmt.Errorf("finding the working directory: %w", err)
	}
	c := seal.Command{Args: args, Env: env, Dir: dir}
	if p.inside() {
		return seal.Run(c)
	}
	if os.Geteuid() != 0 {
		return 2, fault.Newf(fault.Usage, "run it as root, for instance with sudo", "entering the lab: only root can")
	}
	r, up, err := p.running()
	if err != nil {
		return 1, err
	}
	if !up {
		return 2, errNotUp(p)
	}
	return seal.Enter(r.PID, c)
}

// afterDashes returns the command behind "--", which may be left out.
func afterDashes(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

// runInside is `lab run`.
func runInside(p place, args []string) (int, error) {
	args = afterDashes(args)
	if len(args) == 0 {
		return 2, usage("lab run needs a command")
	}
	return p.enter(args, mergeEnv(os.Environ(), environment(p)))
}

// instance finds an instance by its id, or any unambiguous beginning of it.
func (p place) instance(id string) (control.Instance, error) {
	ctx, cancel := context.WithTimeout(context.Background(), askPatience)
	defer cancel()
	s, err := p.ask(ctx)
	if err != nil {
		return control.Instance{}, err
	}
	var found []control.Instance
	for _, i := range s.Instances {
		if i.ID == id {
			return i, nil
		}
		if strings.HasPrefix(i.ID, id) {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		return control.Instance{}, fault.Newf(fault.Usage, "`lab status` lists them", "finding instance %s: %d instances are called so", id, len(found))
	}
	return found[0], nil
}

// ask gets the status of a lab that should be up.
func (p place) ask(ctx context.Context) (control.Status, error) {
	if !p.inside() {
		if _, up, err := p.running(); err != nil || !up {
			if err == nil {
				err = errNotUp(p)
			}
			return control.Status{}, err
		}
	}
	return p.client().Status(ctx)
}

// execIn is `lab exec`: a process in the guest's namespaces, past SSH.
func execIn(p place, args []string) (int, error) {
	if len(args) < 1 || len(afterDashes(args[1:])) == 0 {
		return 2, usage("lab exec needs an instance and a command")
	}
	i, err := p.instance(args[0])
	if err != nil {
		return 0, err
	}
	if i.LeaderPID == 0 {
		return 2, fault.Newf(fault.Usage, "start it first", "entering %s: it is %s", i.ID, i.State)
	}
	enter := []string{"nsenter", "--target", strconv.Itoa(i.LeaderPID), "--all", "--root", "--wd", "--"}
	guestEnv := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
		"LANG=C.UTF-8", "TERM=" + os.Getenv("TERM")}
	return p.enter(append(enter, afterDashes(args[1:])...), guestEnv)
}

// sshInto is `lab ssh`: the lab's key is offered, and only works for instances
// launched with the key pair of that name. Nothing is remembered about hosts.
func sshInto(p place, args []string) (int, error) {
	if len(args) < 1 {
		return 2, usage("lab ssh needs an instance")
	}
	i, err := p.instance(args[0])
	if err != nil {
		return 0, err
	}
	if i.State != "running" {
		return 2, fault.Newf(fault.Usage, "", "logging in to %s: it is %s", i.ID, i.State)
	}
	if i.KeyName != company.KeyName && !slices.Contains(args, "-i") {
		fmt.Fprintf(os.Stderr, "lab: %s was launched without key pair %q; give its key with -i, or use `lab exec %s -- bash`\n", i.ID, company.KeyName, i.ID)
	}
	cmd := []string{"ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
		"-i", company.KeyFile(p.run), "-l", "ubuntu"}
	rest := afterDashes(args[1:])
	return p.enter(append(cmd, append([]string{i.Address}, rest...)...), os.Environ())
}
