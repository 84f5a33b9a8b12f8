//go:build lab

package chefstandin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/chefrepo"
	"bakehouse/test/lab/goiardi"
)

// TestRuby runs the stand-in's own suite.
func TestRuby(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("ruby", "-w", "rubytest/all.rb").CombinedOutput()
	if err != nil {
		t.Fatalf("the stand-in's Ruby tests: %v\n%s", err, out)
	}
	if !strings.Contains(string(out), " 0 skips") {
		t.Errorf("the stand-in's Ruby tests skip something:\n%s", out)
	}
}

// company is a Chef server with the fixtures on it, and one machine's identity.
type company struct {
	server *goiardi.Server
	admin  *chefapi.Client
	dir    string // the test's own; the machine's files lie below it
}

func openCompany(t *testing.T) *company {
	t.Helper()
	ctx := context.Background()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := netip.MustParseAddrPort(l.Addr().String())
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	server, err := goiardi.Start(ctx, goiardi.Config{Dir: filepath.Join(t.TempDir(), "goiardi"), Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		began := time.Now()
		if err := server.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		t.Logf("goiardi stopped in %v", time.Since(began))
	})
	t.Logf("goiardi answered after %v", time.Since(began))
	c := &company{server: server, dir: t.TempDir()}
	c.admin = c.as(t, goiardi.AdminName, server.AdminKey)
	return c
}

func (c *company) as(t *testing.T, name, keyFile string) *chefapi.Client {
	t.Helper()
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	client, err := chefapi.New(chefapi.Config{ServerURL: c.server.URL, ClientName: name, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (c *company) upload(t *testing.T, dir string) {
	t.Helper()
	repo, err := chefrepo.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.Upload(context.Background(), repo); err != nil {
		t.Fatal(err)
	}
}

// enrol makes client and node as the house's tools do, and the machine's
// client.rb. The node's marker attributes and run list are set from outside.
func (c *company) enrol(t *testing.T, name string, runList ...string) (config string) {
	t.Helper()
	ctx := context.Background()
	private, public, err := chefapi.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.admin.CreateClient(ctx, name, public); err != nil {
		t.Fatal(err)
	}
	key := c.write(t, name+".pem", string(private))
	own := c.as(t, name, key)
	node := chefapi.Node{Name: name, Environment: "_default", RunList: runList, Normal: map[string]any{
		"bakehouse": map[string]any{"role": "harmless"},
		"harmless":  map[string]any{"dir": filepath.Join(c.dir, name)},
		"broken":    map[string]any{"dir": c.dir},
		"rebooting": map[string]any{"marker": filepath.Join(c.dir, name+"-marker")},
	}}
	if err := own.CreateNode(ctx, node); err != nil {
		t.Fatal(err)
	}
	return c.write(t, name+".rb", fmt.Sprintf("chef_server_url %q\nnode_name %q\nclient_key %q\nfile_cache_path %q\nfile_backup_path %q\n"+
		"http_retry_count 0\n", c.server.URL, name, key, filepath.Join(c.dir, name+"-cache"), filepath.Join(c.dir, name+"-backup")))
}

func (c *company) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// converge runs the stand-in as a machine would and returns its exit code.
func converge(t *testing.T, config string, more ...string) (int, string) {
	t.Helper()
	began := time.Now()
	cmd := exec.Command("ruby", append([]string{"bin/chef-client", "-c", config, "--once", "--no-fork", "--no-color"}, more...)...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	t.Logf("converged with %s in %v, exit code %d", filepath.Base(config), time.Since(began), cmd.ProcessState.ExitCode())
	return cmd.ProcessState.ExitCode(), string(out)
}

func fatalLine(out string) string {
	_, line, _ := strings.Cut(out, "FATAL: ")
	line, _, _ = strings.Cut(line, "\n")
	return line
}

func TestConvergeAgainstAChefServer(t *testing.T) {
	t.Parallel()
	c := openCompany(t)
	c.upload(t, "../../fixtures/chef-repo")
	config := c.enrol(t, "i-0123", "role[harmless]")
	code, out := converge(t, config)
	if code != 0 || !strings.Contains(out, "6/7 resources updated") {
		t.Fatalf("the first converge ended with %d:\n%s", code, out)
	}
	page, err := os.ReadFile(filepath.Join(c.dir, "i-0123", "page"))
	want := "greeting: outer\nwinner: role override\nnested: true\nrole: harmless\nword: cookbook\nword: role\n"
	if err != nil || string(page) != want {
		t.Errorf("the page is %q (%v), want %q", page, err, want)
	}
	checkSavedNode(t, c)
	for _, protocol := range []string{"1.3", "1.1"} {
		c.write(t, "again.rb", readFile(t, config)+fmt.Sprintf("authentication_protocol_version %q\n", protocol))
		code, out = converge(t, filepath.Join(c.dir, "again.rb"))
		if code != 0 || !strings.Contains(out, " 0/") {
			t.Errorf("a further converge with protocol %s ended with %d, want nothing updated:\n%s", protocol, code, out)
		}
	}
	if changes := readFile(t, filepath.Join(c.dir, "i-0123", "changes")); changes != "changed\n" {
		t.Errorf("the delayed notification ran %q, want once", changes)
	}
}

func checkSavedNode(t *testing.T, c *company) {
	t.Helper()
	node, err := c.admin.Node(context.Background(), "i-0123")
	if err != nil {
		t.Fatal(err)
	}
	if len(node.RunList) != 1 || node.RunList[0] != "role[harmless]" || node.Normal["bakehouse"] == nil {
		t.Errorf("the saved node lost its run list %v or its attributes %v", node.RunList, node.Normal)
	}
	if node.Automatic["hostname"] == nil || node.Automatic["platform"] == nil || node.Automatic["ec2"] != nil {
		t.Errorf("the saved node's automatic attributes are %v", node.Automatic)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBadInputEndsWithOneClearLine(t *testing.T) {
	t.Parallel()
	c := openCompany(t)
	c.upload(t, "../../fixtures/chef-repo")
	cases := []struct {
		role string
		code int
		want []string
	}{
		{"broken-converge", 1, []string{"execute[boom] had an error", "the database said no", "recipes/default.rb:5"}},
		{"broken-recipe", 1, []string{"SyntaxError", "recipes/syntax.rb:"}},
		{"unknown-resource", 1, []string{"unknown resource `kernel_quantum_tunnel`", "recipes/unknown_resource.rb:3"}},
		{"unknown-property", 1, []string{"unknown property or name `flavour`", "recipes/unknown_property.rb:3"}},
		{"missing-cookbook", 1, []string{"412: Run list contains invalid items: no such cookbook no-such-cookbook"}},
		{"missing-role", 1, []string{"role[no-such-role] (asked for by role[missing-role])"}},
		{"missing-recipe", 1, []string{"has no recipe no_such_recipe"}},
		{"reboot-needed", 37, []string{"a reboot is needed"}},
	}
	for _, k := range cases {
		t.Run(k.role, func(t *testing.T) {
			t.Parallel()
			config := c.enrol(t, k.role, "role["+k.role+"]")
			code, out := converge(t, config)
			line := fatalLine(out)
			for _, want := range k.want {
				if code != k.code || !strings.Contains(line, want) {
					t.Errorf("exit code %d, last line %q; want %d and %q\n%s", code, line, k.code, want, out)
				}
			}
			node, err := c.admin.Node(context.Background(), k.role)
			if err != nil || len(node.Automatic) != 0 {
				t.Errorf("a failed run saved the node: %v, %v", node.Automatic, err)
			}
		})
	}
}

func TestAForeignKeyAndADeadServerAreNamed(t *testing.T) {
	t.Parallel()
	c := openCompany(t)
	c.upload(t, "../../fixtures/chef-repo")
	config := c.enrol(t, "i-0456", "role[harmless]")
	foreign, _, err := chefapi.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "i-0456.pem", string(foreign))
	if code, out := converge(t, config); code != 1 || !strings.Contains(fatalLine(out), "401: the server does not accept the key of client i-0456") {
		t.Errorf("a foreign key ended with %d: %q", code, fatalLine(out))
	}
	if err := c.server.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if code, out := converge(t, config); code != 1 || !strings.Contains(fatalLine(out), "the Chef server does not answer") {
		t.Errorf("a dead server ended with %d: %q", code, fatalLine(out))
	}
}

func TestTheHousesOwnRolesAreAccepted(t *testing.T) {
	t.Parallel()
	c := openCompany(t)
	c.upload(t, "../../..")
	solved, err := c.admin.SolveCookbooks(context.Background(), "_default", []string{"base", "web"})
	if err != nil || solved["web"] == "" || solved["base"] == "" {
		t.Errorf("the server solves %v (%v), want base and web", solved, err)
	}
}
