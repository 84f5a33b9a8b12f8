//go:build e2e

package e2e

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/test/lab/chefproxy"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// policyServer is the lab's Chef server behind the lab's stand-in for Chef
// Infra Server's policies: goiardi has none.
type policyServer struct {
	url   string
	admin chefproxy.Signer
	chef  *chefapi.Client // asks through the stand-in
}

func startPolicies(t *testing.T) policyServer {
	t.Helper()
	server, err := url.Parse(os.Getenv("CHEF_SERVER_URL"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(os.Getenv("CHEF_CLIENT_KEY"))
	if err != nil {
		t.Fatal(err)
	}
	p := policyServer{}
	if p.admin, err = chefproxy.NewSigner(os.Getenv("CHEF_CLIENT_NAME"), key); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", labHost+":0") // guests reach it, too
	if err != nil {
		t.Fatal(err)
	}
	p.url = "http://" + l.Addr().String()
	proxy := chefproxy.New(server, labHost)
	proxy.StandInForPolicies(p.admin)
	srv := &http.Server{Handler: proxy, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }() // it ends with Close
	t.Cleanup(func() { _ = srv.Close() })
	if p.chef, err = chefapi.New(chefapi.Config{ServerURL: p.url, ClientName: p.admin.Name, Key: key}); err != nil {
		t.Fatal(err)
	}
	t.Logf("policies come from %s, the lab's stand-in for Chef Infra Server's policies before goiardi", p.url)
	return p
}

// push gives group prod a revision of policy web: the sample cookbooks, and an
// attribute that shows in a file on the instance.
func (p policyServer) push(t *testing.T, maxBody string) (revision string) {
	t.Helper()
	revision, err := p.admin.Push(deadline(t, 10*time.Second), p.url, chefproxy.Lock{
		Name: "web", Group: "prod", RunList: []string{"recipe[base::default]", "recipe[web::default]"},
		Cookbooks: map[string]string{"base": "1.0.0", "web": "1.0.0"},
		Default: map[string]any{"base": map[string]any{"role": "web"},
			"prod": map[string]any{"web": map[string]any{"nginx": map[string]any{"max_body": maxBody}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// tool is a bake of policy web of group prod.
func (p policyServer) tool(dir string, args ...string) story.Tool {
	w := s.world
	return story.Tool{Name: "bake-ami", Args: append([]string{"--config", w.Config, "--chef-server", p.url,
		"--policy", "web", "--policy-group", "prod", "--chef-package", w.ChefPackage, "--chef-package-sha256", w.ChefSHA256,
		"--no-prove", "--state-dir", filepath.Join(dir, "state")}, args...)}
}

// policyReport is what this test reads of a report.
type policyReport struct {
	ImageID string `json:"image_id"`
	Result  string `json:"result"`
	Digest  string `json:"inputs_digest"`
}

// bake bakes and reads the report.
func (p policyServer) bake(t *testing.T, dir, name string) (r policyReport, o story.Outcome) {
	t.Helper()
	file := filepath.Join(dir, name+".json")
	o, err := s.world.Run(deadline(t, 3*time.Minute), p.tool(dir, "--report", file))
	if err == nil && o.Code == 0 {
		err = readJSON(file, &r)
	}
	if err != nil || o.Code != 0 || r.ImageID == "" {
		t.Errorf("baking the %s image: exit %d, %v, %+v\n%s", name, o.Code, err, r, o.Stderr)
	}
	if r.Result == "done" { // for other tests it would be the newest image of role web
		t.Cleanup(func() {
			_, err := s.world.EC2.DeregisterImage(s.ctx, &ec2.DeregisterImageInput{ImageId: &r.ImageID, DeleteAssociatedSnapshots: aws.Bool(true)})
			if err != nil {
				t.Error(err)
			}
		})
	}
	return r, o
}

// TestAPolicyBecomesAnImage bakes a policy, boots the image and bakes the next
// revision meanwhile.
func TestAPolicyBecomesAnImage(t *testing.T) {
	theStory(t) // its build is what the instance pulls
	began, dir, p := time.Now(), t.TempDir(), startPolicies(t)
	p.push(t, "11m")
	first, o := p.bake(t, dir, "first")
	if t.Failed() {
		return
	}
	t.Logf("baked %s of policy web in %v", first.ImageID, o.Took.Round(100*time.Millisecond))
	if again, o := p.bake(t, dir, "same"); again.ImageID != first.ImageID || again.Result != "reused" {
		t.Errorf("the same revision gives %+v, was %+v\n%s", again, first, o.Stderr)
	}
	revision := p.push(t, "12m")
	second := make(chan policyReport, 1)
	go func() {
		r, _ := p.bake(t, dir, "second")
		second <- r
	}()
	p.boots(t, first.ImageID, revision)
	if r := <-second; r.ImageID == first.ImageID || r.Result != "done" || r.Digest == first.Digest {
		t.Errorf("a new revision gives %+v, was %+v", r, first)
	}
	t.Logf("all of it took %v", time.Since(began).Round(100*time.Millisecond))
}

// boots launches an instance of the image, and looks at what the policy did to
// it: the group's present revision counts, not that of the bake.
func (p policyServer) boots(t *testing.T, image, revision string) {
	t.Helper()
	ctx := deadline(t, 2*time.Minute)
	inst, err := s.world.Start(ctx, story.Launch{ImageID: image})
	if err != nil {
		t.Error(err)
		return
	}
	defer func() {
		if t.Failed() {
			t.Log(diagnose(inst.ID))
		}
		end, cancel := ending(time.Minute)
		defer cancel()
		if err := s.world.Terminate(end, inst.ID); err != nil {
			t.Error(err)
		}
		forget(inst.ID)
	}()
	if _, err := s.world.Answers(ctx, inst.Addr); err != nil {
		t.Error(err)
		return
	}
	if err := complete(ctx, inst.ID); err != nil {
		t.Error(err)
		return
	}
	n, err := p.chef.Node(ctx, inst.ID)
	if err != nil || n.PolicyName != "web" || n.PolicyGroup != "prod" || n.Automatic["policy_revision"] != revision {
		t.Errorf("%v: the node has policy %q of group %q, revision %v, want web, prod, %s", err, n.PolicyName, n.PolicyGroup, n.Automatic["policy_revision"], revision)
	}
	out, err := s.world.Guest(ctx, inst.ID, `dpkg-query -W -f '${Status}\n' nginx-light; systemctl is-active nginx web; grep client_max_body_size /etc/nginx/sites-enabled/web; `+
		`chef-client --once >/tmp/again 2>&1; echo "again: $?"; cat /tmp/again`)
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"install ok installed\nactive\nactive\n", "client_max_body_size 12m;", "again: 0\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("in the guest, %q is missing:\n%s", want, out)
		}
	}
	if s.world.StandIn && !strings.Contains(out, "Using policy web of group prod, revision "+revision) {
		t.Errorf("a later run does not use the policy:\n%s", out)
	}
}

// TestPoliciesThatCannotBeBakedLeaveNothing asks for what is not there, and
// for what does not go together.
func TestPoliciesThatCannotBeBakedLeaveNothing(t *testing.T) {
	dir, p := t.TempDir(), startPolicies(t)
	p.push(t, "11m")
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--policy", "nosuch"}, 3, "policy nosuch of group prod"},
		{[]string{"--policy-group", "nosuch"}, 3, "policy web of group nosuch"},
		{[]string{"--chef-server", os.Getenv("CHEF_SERVER_URL")}, 3, "goiardi has none"},
		{[]string{"--role", "web"}, 2, "--role"},
		{[]string{"--environment", "prod"}, 2, "--environment"},
		{[]string{"--policy-group", ""}, 2, "--policy-group"},
		{[]string{"--policy", "a/b"}, 2, "a/b"},
		{[]string{"--chef-mode", "local", "--chef-repo", s.world.Root}, 2, "--chef-mode"},
	} {
		o := runTool(t, p.tool(dir, c.args...))
		if o.Code != c.code || !strings.Contains(o.Stderr, c.says) {
			t.Errorf("%v: exit %d, want %d and %q\n%s", c.args, o.Code, c.code, c.says, o.Stderr)
		}
	}
	unchanged(t, before)
}
