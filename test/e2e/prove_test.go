//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/test/story"
)

// proving is a call of bake-ami that proves its image. checks is added to the
// lab's configuration, in which old words may be replaced by new ones.
func proving(t *testing.T, report, checks string, replace ...string) story.Tool {
	t.Helper()
	b, err := os.ReadFile(s.world.Config)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "bakehouse.yaml")
	text := strings.NewReplacer(replace...).Replace(string(b)) + "\nprove:\n  instance_profile: web\n" + checks
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tool := without(s.world.BakeTool("web", "--config", file, "--report", report), "--no-prove")
	return tool
}

// proof is what the report says of it.
type proof struct {
	ImageID string `json:"image_id"`
	Proof   struct {
		Result string `json:"result"`
		Logs   string `json:"logs"`
		Checks []struct{ Name, Error string }
	} `json:"proof"`
}

func TestAGoodImageProvesItself(t *testing.T) {
	theStory(t) // there is a build to pull
	before, err := s.world.Census(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.json")
	o := runTool(t, proving(t, report, `checks:
  web:
    commands: [systemctl is-active web nginx]
    files: [/srv/web/current/web]
    ports: [80, 8080]
    urls: ["http://127.0.0.1/"]
`))
	var r proof
	if err := readJSON(report, &r); o.Code != 0 || err != nil {
		t.Fatalf("exit %d, %v:\n%s", o.Code, err, tail(o.Stderr))
	}
	if r.Proof.Result != "proven" || len(r.Proof.Checks) != 6 || r.ImageID == "" {
		t.Errorf("report says %+v", r)
	}
	onlyImage(t, before, r.ImageID)
}

func TestAnImageWhoseAppIsNotHealthyIsNotKept(t *testing.T) {
	theStory(t)
	before, err := s.world.Census(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.json")
	o := runTool(t, proving(t, report, "", "/healthz", "/no-such-page", "timeout: 60s", "timeout: 3s"))
	var r proof
	if err := readJSON(report, &r); o.Code != 4 || err != nil {
		t.Fatalf("exit %d, want 4; %v:\n%s", o.Code, err, tail(o.Stderr))
	}
	if r.Proof.Result != "failed" || r.ImageID != "" || !strings.Contains(o.Stderr, r.Proof.Logs) {
		t.Errorf("report says %+v:\n%s", r, tail(o.Stderr))
	}
	log, err := os.ReadFile(filepath.Join(r.Proof.Logs, "instance.log"))
	if err != nil || !strings.Contains(string(log), "no-such-page") {
		t.Errorf("the instance's log does not name the page: %v\n%s", err, log)
	}
	unchanged(t, before)
}
