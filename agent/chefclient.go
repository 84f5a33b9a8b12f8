package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"bakehouse/internal/fault"
)

// chefClient is a Chef client installed on the machine.
type chefClient struct {
	name    string // chef-client or cinc-client
	confDir string // where it expects client.rb and client.pem
	path    string // the program; set once found
}

// chefClients lists the clients that the agent can drive.
func chefClients() []chefClient {
	return []chefClient{
		{name: "chef-client", confDir: "/etc/chef"},
		{name: "cinc-client", confDir: "/etc/cinc"},
	}
}

// chefClient finds the Chef client in the directories of Deps.Path.
func (a *Agent) chefClient() (chefClient, error) {
	var where []string
	for _, dir := range a.deps.Path {
		for _, c := range chefClients() {
			c.path = a.path(dir, c.name)
			if executable(c.path) {
				return c.real(), nil
			}
		}
		where = append(where, dir)
	}
	return chefClient{}, fault.Newf(fault.Chef, "bake the image with bake.chef_package set", "looking for chef-client or cinc-client: in none of %s", strings.Join(where, ":"))
}

// real sees through Cinc's own chef-client: a link to a wrapper that only says
// that it redirects. Configuration belongs to the client behind it.
func (c chefClient) real() chefClient {
	target, err := filepath.EvalSymlinks(c.path)
	if err == nil && c.name == "chef-client" && strings.HasPrefix(filepath.Base(target), "cinc") {
		if direct := filepath.Join(filepath.Dir(target), "cinc-client"); executable(direct) {
			return chefClient{name: "cinc-client", confDir: "/etc/cinc", path: direct}
		}
	}
	return c
}

// executable says whether path is a file that may be run.
func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

// clientRB renders client.rb: what a Chef Infra client 16 to 18 needs to act
// as a client and node that exist already. Run list, environment and
// attributes are the node's.
func (s *session) clientRB(c chefClient) []byte {
	var b strings.Builder
	b.WriteString("# Written by boot-agent at first boot; changes are lost on a new instance.\n")
	fmt.Fprintf(&b, "chef_server_url %s\n", ruby(s.conf.Chef.ServerURL))
	fmt.Fprintf(&b, "node_name %s\n", ruby(s.j.Node))
	fmt.Fprintf(&b, "client_key %s\n", ruby(s.path(c.confDir, "client.pem")))
	b.WriteString("ssl_verify_mode :verify_peer\n")
	if s.conf.Chef.CAFile != "" {
		fmt.Fprintf(&b, "ssl_ca_file %s\n", ruby(s.path(s.conf.Chef.CAFile)))
	}
	return []byte(b.String())
}

// ruby renders s as a single-quoted Ruby string, in which nothing is evaluated.
func ruby(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// verdict is what an exit code of the Chef client means to the agent.
type verdict int

const (
	converged verdict = iota
	again             // worth another attempt
	reboot            // the machine has to reboot, then resume
	fatal             // another attempt ends the same
)

// judge reads an exit code. The codes are Chef's own (its RFC 062, "exit
// status"), from client 13 on the default.
func judge(code int) (verdict, string) {
	switch code {
	case 0:
		return converged, ""
	case 1:
		return again, "the run failed"
	case 2, 3, 128 + 2, 128 + 15:
		return again, "it was stopped by a signal"
	case 35:
		return reboot, "it scheduled a reboot"
	case 37:
		return reboot, "it needs a reboot"
	case 41:
		return fatal, "it could not reboot the machine"
	case 43:
		return fatal, "its configuration is invalid"
	case 127:
		return fatal, "it could not be started"
	case 172:
		return fatal, "its licence is not accepted"
	case 213:
		return again, "it upgraded itself"
	}
	return again, "exit code " + strconv.Itoa(code)
}
