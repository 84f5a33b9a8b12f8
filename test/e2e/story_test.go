//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/chefapi"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// inGuest runs a script in the story's instance and fails the test when it fails.
func inGuest(t *testing.T, id, script string) string {
	t.Helper()
	out, err := s.world.Guest(deadline(t, 30*time.Second), id, script)
	if err != nil {
		t.Fatalf("running in %s: %v", id, err)
	}
	return strings.TrimSpace(out)
}

func TestTheAppAnswersWithThePushedBuild(t *testing.T) {
	r := theStory(t)
	if r.answer.App != "web" || r.answer.Release != r.build {
		t.Errorf("the app answers %+v, pushed was %s", r.answer, r.build)
	}
}

func TestTheInstanceIsNotItsBuilder(t *testing.T) {
	r := theStory(t)
	if r.builder.machineID == "" || r.builder.hostKeys == "" {
		t.Fatal("nothing was seen of the builder; this test would compare with nothing")
	}
	if id := inGuest(t, r.inst.ID, "cat /etc/machine-id"); len(id) != 32 || id == r.builder.machineID {
		t.Errorf("machine-id %q, the builder's was %q", id, r.builder.machineID)
	}
	keys := inGuest(t, r.inst.ID, "cat /etc/ssh/ssh_host_*_key.pub")
	if keys == "" {
		t.Error("the instance has no host keys")
	}
	for _, k := range strings.Split(keys, "\n") {
		if f := strings.Fields(k); len(f) > 1 && strings.Contains(r.builder.hostKeys, f[1]) {
			t.Errorf("the builder's host key lives on: %s", k)
		}
	}
	if name := inGuest(t, r.inst.ID, "hostname"); !strings.HasPrefix(name, "ip-172-31-") {
		t.Errorf("the host name is %q, not the instance's own", name)
	}
}

func TestOnlyTheLaunchesKeyMayLogIn(t *testing.T) {
	r := theStory(t)
	if r.builder.authorizedKeys == "" {
		t.Error("the builder had no authorized key to lose")
	}
	blob := strings.Fields(launchKey)[1]
	keys := inGuest(t, r.inst.ID, "cat /root/.ssh/authorized_keys* /home/*/.ssh/authorized_keys* 2>/dev/null")
	found := 0
	for _, line := range strings.Split(keys, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if !strings.Contains(line, blob) {
			t.Errorf("a key that the launch did not give: %s", line)
		}
		found++
	}
	if found == 0 {
		t.Error("the launch's own key is missing")
	}
}

func TestTheImageKeepsNoSecret(t *testing.T) {
	r := theStory(t)
	pem := inGuest(t, r.inst.ID, "grep -rlI -e '-----BEGIN .*PRIVATE KEY-----' /etc /root /home /var /opt /srv /usr/local /tmp 2>/dev/null || true")
	for _, path := range strings.Fields(pem) {
		if path != "/etc/chef/client.pem" && !strings.HasPrefix(path, "/etc/ssh/ssh_host_") {
			t.Errorf("a private key that is not the instance's own: %s", path)
		}
	}
	if !strings.Contains(pem, "/etc/chef/client.pem") {
		t.Error("the instance has no Chef key of its own")
	}
	bake := strings.ToLower(r.report.BakeID)
	traces := inGuest(t, r.inst.ID, "grep -rlIi -e 'bake-"+bake+"' /etc /root /home /var /opt /srv /usr/local /tmp 2>/dev/null || true")
	if traces != "" {
		t.Errorf("the bake's node is named in the image: %s", traces)
	}
	owners := inGuest(t, r.inst.ID, "stat -c '%U %a' /etc/chef/client.pem")
	if owners != "root 600" {
		t.Errorf("client.pem belongs to %s", owners)
	}
}

func TestChefKnowsTheInstanceAndNothingOfTheBake(t *testing.T) {
	r := theStory(t)
	ctx := deadline(t, 10*time.Second)
	nodes, err := s.world.Chef.NodeNames(ctx)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := s.world.Chef.ClientNames(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(nodes, clients) {
		if strings.HasPrefix(name, "bake-") {
			t.Errorf("a trace of a bake on the Chef server: %s", name)
		}
	}
	if !slices.Contains(nodes, r.inst.ID) || !slices.Contains(clients, r.inst.ID) {
		t.Fatalf("the instance %s is not among nodes %v and clients %v", r.inst.ID, nodes, clients)
	}
	n, err := s.world.Chef.Node(ctx, r.inst.ID)
	if err != nil {
		t.Fatal(err)
	}
	checkNode(t, n, r)
}

// checkNode compares the instance's node with what it must say.
func checkNode(t *testing.T, n chefapi.Node, r story1) {
	t.Helper()
	if !slices.Equal(n.RunList, []string{"role[web]"}) {
		t.Errorf("run list %v", n.RunList)
	}
	if n.Environment != "_default" {
		t.Errorf("environment %q", n.Environment)
	}
	mark, _ := n.Normal["bakehouse"].(map[string]any)
	want := map[string]string{"instance_id": r.inst.ID, "image_id": r.report.ImageID, "region": "us-east-1",
		"role": "web", "bake_id": r.report.BakeID, "account": "123456789012"}
	for k, v := range want {
		if mark[k] != v {
			t.Errorf("marker attribute %s is %v, want %s", k, mark[k], v)
		}
	}
	if n.Automatic["platform"] == nil {
		t.Error("no automatic attributes: the node's own chef-client has not saved it")
	}
}

func TestABakeLeavesTheImageAndItsSnapshotsAlone(t *testing.T) {
	r := theStory(t)
	now, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range now.Since(r.before) {
		kind, id, _ := strings.Cut(item, " ")
		switch {
		case kind == "image" && id == r.report.ImageID:
		case kind == "snapshot" && slices.Contains(r.report.Snapshots, id):
		case kind == "security":
			t.Errorf("the bake left a security group: %s", id)
		case kind == "key":
			t.Errorf("the bake left a key pair: %s", id)
		}
	}
	for _, id := range append([]string{r.report.ImageID}, r.report.Snapshots...) {
		out, err := s.world.EC2.DescribeTags(deadline(t, 10*time.Second), &ec2.DescribeTagsInput{Filters: filter("resource-id", id)})
		if err != nil {
			t.Fatal(err)
		}
		tags := map[string]string{}
		for _, tag := range out.Tags {
			tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
		}
		if tags["bakehouse:bake-id"] != r.report.BakeID || tags["bakehouse:role"] != "web" {
			t.Errorf("%s carries %v", id, tags)
		}
	}
}
