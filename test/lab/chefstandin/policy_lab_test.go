//go:build lab

package chefstandin

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/chefapi"
	"bakehouse/test/lab/chefproxy"
	"bakehouse/test/lab/goiardi"
)

// TestAPolicyIsConvergedFromAServer converges a policy that the lab's stand-in
// for Chef Infra Server's policies holds, first from client.rb and then again
// from what the node was saved with.
func TestAPolicyIsConvergedFromAServer(t *testing.T) {
	t.Parallel()
	c := openCompany(t)
	c.upload(t, "../../fixtures/chef-repo")
	up, err := url.Parse(c.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := chefproxy.NewSigner(goiardi.AdminName, []byte(readFile(t, c.server.AdminKey)))
	if err != nil {
		t.Fatal(err)
	}
	proxy := chefproxy.New(up, "")
	proxy.StandInForPolicies(admin)
	srv := httptest.NewServer(proxy)
	t.Cleanup(srv.Close)
	lock := chefproxy.Lock{Name: "site", Group: "prod", RunList: []string{"recipe[harmless::default]"}, Cookbooks: map[string]string{"harmless": "0.1.0"},
		Default: map[string]any{"prod": map[string]any{"harmless": map[string]any{"greeting": "of prod"}}}}
	if _, err := admin.Push(t.Context(), srv.URL, lock); err != nil {
		t.Fatal(err)
	}
	config := c.enrol(t, "i-0789", "role[no-such-role]")
	plain := strings.Replace(readFile(t, config), c.server.URL, srv.URL, 1)
	for i, text := range []string{plain + "policy_name 'site'\npolicy_group 'prod'\n", plain, plain + "authentication_protocol_version '1.1'\n"} {
		code, out := converge(t, c.write(t, fmt.Sprintf("run%d.rb", i), text))
		if code != 0 || !strings.Contains(out, "Using policy site of group prod, revision ") || strings.Contains(out, " 0/") != (i > 0) {
			t.Fatalf("run %d ended with %d:\n%s", i+1, code, out)
		}
	}
	if page := readFile(t, filepath.Join(c.dir, "i-0789", "page")); !strings.Contains(page, "greeting: of prod\n") {
		t.Errorf("the page is %q", page)
	}
	checkPolicyNode(t, c, srv.URL)
	code, out := converge(t, c.write(t, "other.rb", plain+"policy_name 'nosuch'\npolicy_group 'prod'\n"))
	if code != 1 || !strings.Contains(fatalLine(out), "no policy nosuch in group prod") {
		t.Errorf("an unknown policy ended with %d: %q", code, fatalLine(out))
	}
}

func checkPolicyNode(t *testing.T, c *company, server string) {
	t.Helper()
	chef, err := chefapi.New(chefapi.Config{ServerURL: server, ClientName: goiardi.AdminName, Key: []byte(readFile(t, c.server.AdminKey))})
	if err != nil {
		t.Fatal(err)
	}
	n, err := chef.Node(t.Context(), "i-0789")
	if err != nil || n.PolicyName != "site" || n.PolicyGroup != "prod" || n.Environment != "prod" || n.Automatic["policy_revision"] == nil {
		t.Errorf("%v: the node is %+v", err, n)
	}
}
