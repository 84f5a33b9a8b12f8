//go:build e2e

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"golang.org/x/crypto/ssh"
)

// TestReaching bakes by each way to reach a builder, side by side.
func TestReaching(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("bakes", func(t *testing.T) {
		t.Run("SSM", func(t *testing.T) { t.Parallel(); bySSM(t) })
		t.Run("bastion", func(t *testing.T) { t.Parallel(); byBastion(t) })
		t.Run("several roles", func(t *testing.T) { t.Parallel(); severalRoles(t) })
	})
	unchanged(t, before)
}

// bySSM bakes with no port, no key and no group.
func bySSM(t *testing.T) {
	tool, calls := ownCalls(t, s.world.BakeTool("harmless", "--transport", "ssm"))
	baked(t, tool)
	all := calls()
	if sent, looked := callsTo(all, "SendCommand"), callsTo(all, "GetCommandInvocation"); len(sent) == 0 || len(looked) == 0 {
		t.Errorf("%d commands sent, %d looks", len(sent), len(looked))
	}
	if groups := callsTo(all, "CreateSecurityGroup"); len(groups) > 0 {
		t.Error("a security group was made")
	}
	for _, l := range callsTo(all, "RunInstances") {
		if l.Status == http.StatusOK && l.Params["KeyName"] != "" {
			t.Errorf("the builder has key %s", l.Params["KeyName"])
		}
	}
}

// byBastion bakes through a guest; the builder sees only that.
func byBastion(t *testing.T) {
	ctx := deadline(t, 3*time.Minute)
	key, public := newUserKey(t)
	jump, err := s.world.Start(ctx, story.Launch{ImageID: theBase(t), UserData: "#cloud-config\nssh_authorized_keys:\n- " + public})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end, cancel := ending(30 * time.Second)
		defer cancel()
		if err := s.world.Terminate(end, jump.ID); err != nil {
			t.Error(err)
		}
	})
	var hostKey string
	err = story.Until(ctx, 300*time.Millisecond, func() (err error) {
		hostKey, err = s.world.Guest(ctx, jump.ID, "cloud-init status | grep -q done && cat /etc/ssh/ssh_host_ed25519_key.pub")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a cancelled command ends in the guest", func(t *testing.T) { cancelledCommandEnds(t, jump.ID) })
	known := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(known, []byte(jump.Addr+" "+hostKey), 0o600); err != nil {
		t.Fatal(err)
	}
	tool, calls := ownCalls(t, s.world.BakeTool("harmless", "--bastion", "ubuntu@"+jump.Addr, "--bastion-key", key, "--bastion-known-hosts", known,
		"--allow-from", jump.Addr+"/32"))
	baked(t, tool)
	out, err := s.world.Guest(ctx, jump.ID, "journalctl --no-pager -u ssh -u sshd | grep -c 'Accepted publickey for ubuntu'")
	if err != nil || strings.TrimSpace(out) == "0" {
		t.Errorf("nobody logged in to the bastion: %q, %v", out, err)
	}
	if opened := callsTo(calls(), "AuthorizeSecurityGroupIngress"); len(opened) != 1 || opened[0].Params["IpPermissions.1.IpRanges.1.CidrIp"] != jump.Addr+"/32" {
		t.Errorf("opened: %+v", opened)
	}
	wrong := filepath.Join(t.TempDir(), "known_hosts")
	_, other := newUserKey(t)
	if err := os.WriteFile(wrong, []byte(jump.Addr+" "+other), 0o600); err != nil {
		t.Fatal(err)
	}
	o := runBake(t, "harmless", "--bastion", "ubuntu@"+jump.Addr, "--bastion-key", key, "--bastion-known-hosts", wrong, "--allow-from", jump.Addr+"/32")
	if o.Code == 0 || !strings.Contains(o.Stderr, "host key") && !strings.Contains(o.Stderr, "key mismatch") {
		t.Errorf("a bastion with another host key: exit code %d:\n%s", o.Code, tail(o.Stderr))
	}
}

// cancelledCommandEnds sees that a command of Run Command leaves no process
// behind when it is cancelled.
func cancelledCommandEnds(t *testing.T, instance string) {
	ctx := deadline(t, 30*time.Second)
	client := ssm.NewFromConfig(s.world.AWS)
	document := "AWS-RunShellScript"
	sent, err := client.SendCommand(ctx, &ssm.SendCommandInput{DocumentName: &document, InstanceIds: []string{instance},
		Parameters: map[string][]string{"commands": {"touch /run/loops; (while :; do sleep 0.2345; done) & while :; do sleep 0.2345; done"}}})
	if err != nil {
		t.Fatal(err)
	}
	look := func(script string) string {
		t.Helper()
		out, err := s.world.Guest(ctx, instance, script)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out)
	}
	if n := look("until [ -e /run/loops ] && pgrep -f '0[.]2345' >/dev/null; do sleep 0.1; done; echo up"); n != "up" {
		t.Error("the command does not run")
	}
	if _, err := client.CancelCommand(ctx, &ssm.CancelCommandInput{CommandId: sent.Command.CommandId}); err != nil {
		t.Fatal(err)
	}
	if n := look("n=0; while pgrep -f '0[.]2345' >/dev/null && [ $n -lt 200 ]; do n=$((n+1)); sleep 0.1; done; pgrep -fc '0[.]2345' || true"); n != "0" {
		t.Errorf("%s processes of the cancelled command go on", n)
	}
}

// severalRoles bakes two roles in one run, into one report.
func severalRoles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "report.json")
	o := runTool(t, s.world.BakeTool("harmless", "--role", "harmless-inner", "--report", file))
	var all struct {
		Bakes []report `json:"bakes"`
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if o.Code != 0 || err != nil || len(all.Bakes) != 2 {
		t.Fatalf("exit code %d, %d bakes, %v\n%s", o.Code, len(all.Bakes), err, tail(o.Stderr))
	}
	for _, r := range all.Bakes {
		t.Cleanup(func() { removeImages(t, r.BakeID) })
		if !strings.Contains(o.Stdout, r.Tags["bakehouse:role"]+" "+r.ImageID+"\n") {
			t.Errorf("stdout lacks %s %s:\n%s", r.Tags["bakehouse:role"], r.ImageID, o.Stdout)
		}
	}
	if all.Bakes[0].ImageID == all.Bakes[1].ImageID {
		t.Error("both roles have the same image")
	}
}

// newUserKey makes a key pair: the private half in a file, the public half as
// authorized_keys has it.
func newUserKey(t *testing.T) (file, public string) {
	t.Helper()
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	wire, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, string(ssh.MarshalAuthorizedKey(wire))
}
