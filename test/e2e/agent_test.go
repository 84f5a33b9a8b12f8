//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// killer is user-data that kills the agent, and all that it started, once
// after each stage. It polls the journal much faster than a stage takes.
const killer = `#cloud-config
write_files:
- path: /usr/local/sbin/killer
  permissions: "0755"
  content: |
    #!/usr/bin/ruby
    require "json"
    %w[identify register converge pull start].each do |stage|
      loop do
        journal = JSON.parse(File.read("/var/lib/bakehouse/journal.json")) rescue nil
        break if journal && journal["stages"].any? { |s| s["stage"] == stage && s["state"] == "done" }
        sleep 0.001
      end
      hit = system("systemctl", "kill", "-s", "KILL", "bakehouse-first-boot.service", err: File::NULL)
      File.write("/run/killed", "#{stage} #{hit}\n", mode: "a")
    end
runcmd:
- [systemd-run, --unit=killer, /usr/local/sbin/killer]
`

// status is what the tests read of `boot-agent status --json`.
type status struct {
	State   string    `json:"state"`
	Current string    `json:"current"`
	Why     string    `json:"why"`
	Next    string    `json:"next"`
	Stages  []stageOf `json:"stages"`
}

// stageOf is one stage of a first boot.
type stageOf struct {
	Stage string `json:"stage"`
	State string `json:"state"`
	Runs  int    `json:"runs"`
}

// agentStatus reads the agent's status, whatever it is.
func agentStatus(ctx context.Context, id string) (st status, err error) {
	out, err := s.world.Guest(ctx, id, "boot-agent status --json || true")
	if err != nil {
		return st, err
	}
	return st, json.Unmarshal([]byte(out), &st)
}

// launch starts an instance of the story's image and takes it away afterwards.
func launch(ctx context.Context, t *testing.T, l story.Launch) story.Instance {
	t.Helper()
	l.ImageID = theStory(t).report.ImageID
	inst, err := s.world.Start(ctx, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(diagnose(inst.ID))
		}
		end, cancel := ending(time.Minute)
		defer cancel()
		if err := s.world.Terminate(end, inst.ID); err != nil {
			t.Error(err)
		}
	})
	return inst
}

func TestAnAgentKilledAfterEachStageEndsInTheSameState(t *testing.T) {
	r := theStory(t)
	ctx := deadline(t, 3*time.Minute)
	inst := launch(ctx, t, story.Launch{UserData: killer})
	answer, err := s.world.Answers(ctx, inst.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := complete(ctx, inst.ID); err != nil {
		t.Fatal(err)
	}
	if answer.Release != r.build {
		t.Errorf("the app answers with %s, want %s", answer.Release, r.build)
	}
	restarts := inGuest(t, inst.ID, "systemctl show -P NRestarts bakehouse-first-boot.service")
	kills := inGuest(t, inst.ID, "cat /run/killed")
	if restarts < "3" || len(restarts) != 1 {
		t.Errorf("the agent was restarted %s times; the kills were:\n%s", restarts, kills)
	}
	for _, stage := range []string{"identify", "register", "converge", "pull"} {
		if !strings.Contains(kills, stage+" ") {
			t.Errorf("no kill after %s:\n%s", stage, kills)
		}
	}
	sameState(t, inst, r)
}

// sameState compares an instance with the undisturbed one of the story: the
// same files below the app's root and one node, one client, with its key.
func sameState(t *testing.T, inst story.Instance, r story1) {
	t.Helper()
	const list = "cd /srv/web && find . ! -type d | sort && readlink current && cat current/RELEASE && stat -c '%a %U' /etc/chef/client.pem /etc/chef/client.rb && systemctl is-active web.service nginx.service"
	if got, want := inGuest(t, inst.ID, list), inGuest(t, r.inst.ID, list); got != want {
		t.Errorf("the disturbed instance holds\n%s\nthe undisturbed one\n%s", got, want)
	}
	n, err := s.world.Chef.Node(deadline(t, 10*time.Second), inst.ID)
	if err != nil {
		t.Fatal(err)
	}
	if n.Automatic["platform"] == nil || !slices.Equal(n.RunList, []string{"role[web]"}) {
		t.Errorf("the node is not as a converge leaves it: run list %v", n.RunList)
	}
}

// failed waits until the agent has given the pull or a later stage up, at
// least for now, and returns its status.
func failed(ctx context.Context, t *testing.T, id string) status {
	t.Helper()
	var st status
	err := story.Until(ctx, 300*time.Millisecond, func() (err error) {
		st, err = agentStatus(ctx, id)
		broken := slices.ContainsFunc(st.Stages, func(one stageOf) bool { return one.State == "failed" })
		if err == nil && (!broken || st.Why == "") { // before the agent has begun, too, a reason is told
			err = fmt.Errorf("the first boot is %s, and nothing is wrong", st.State)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestABuildThatIsNotItsDigestIsNeverServed(t *testing.T) {
	theStory(t)
	ctx := deadline(t, 3*time.Minute)
	dir, err := s.world.Build("to-be-damaged")
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.world.Push(ctx, dir, "damaged")
	if err != nil {
		t.Fatal(err)
	}
	damage(ctx, t, "web/builds/"+id+"/build.tar.zst")
	inst := launch(ctx, t, story.Launch{Tags: map[string]string{"bakehouse:channel": "damaged"}})
	st := failed(ctx, t, inst.ID)
	if !strings.Contains(st.Why, "sha256") && !strings.Contains(st.Why, "digest") || st.Next == "" {
		t.Errorf("the status does not say that the bytes are not the digest's: %q, next %q", st.Why, st.Next)
	}
	if st.Current != "" {
		t.Errorf("the damaged build is current: %s", st.Current)
	}
	if out := inGuest(t, inst.ID, "ls -A /srv/web/releases"); out != "" {
		t.Errorf("left in releases: %s", out)
	}
}

// damage flips the last byte of an object.
func damage(ctx context.Context, t *testing.T, key string) {
	t.Helper()
	client := s3.NewFromConfig(s.world.AWS, func(o *s3.Options) { o.UsePathStyle = true })
	bucket := aws.String("bakehouse-builds")
	got, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: aws.String(key)})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	b, err := io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-1] ^= 1
	if _, err := client.PutObject(ctx, &s3.PutObjectInput{Bucket: bucket, Key: aws.String(key), Body: bytes.NewReader(b)}); err != nil {
		t.Fatal(err)
	}
}

func TestAChannelWithoutABuildIsSaid(t *testing.T) {
	ctx := deadline(t, 3*time.Minute)
	inst := launch(ctx, t, story.Launch{Tags: map[string]string{"bakehouse:channel": "empty"}})
	st := failed(ctx, t, inst.ID)
	if !strings.Contains(st.Why, "empty") || !strings.Contains(st.Next, "deployctl") {
		t.Errorf("the status says %q, next %q", st.Why, st.Next)
	}
}
