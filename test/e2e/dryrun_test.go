//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
)

// dry is what the tests read of a dry run.
type dry struct {
	Checks []struct{ What, Result string }
	Rights []struct{ Action, Verdict, Why string }
}

// tryBake runs a dry run for role web.
func tryBake(t *testing.T, args ...string) (dry, string, int) {
	t.Helper()
	o := runTool(t, s.world.BakeTool("web", append([]string{"--dry-run", "--output", "json"}, args...)...))
	var d dry
	if err := json.Unmarshal([]byte(o.Stdout), &d); err != nil && o.Stdout != "" {
		t.Fatalf("%v:\n%s", err, o.Stdout)
	}
	return d, o.Stderr, o.Code
}

func TestADryRunNamesWhatABakeCalls(t *testing.T) {
	theStory(t)
	before, err := s.world.Census(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	d, stderr, code := tryBake(t)
	if code != 0 {
		t.Fatalf("exit %d:\n%s", code, tail(stderr))
	}
	unchanged(t, before)
	verdicts := map[string]string{}
	var actions []string
	for _, r := range d.Rights {
		verdicts[r.Action] = r.Verdict
		actions = append(actions, r.Action)
	}
	for _, a := range []string{"ec2:RunInstances", "ec2:CreateSecurityGroup", "ec2:DescribeImages", "ec2:DescribeSnapshots"} {
		if verdicts[a] != "allowed" {
			t.Errorf("%s is %q", a, verdicts[a])
		}
	}
	for _, what := range []string{"role web", "bucket bakehouse-builds", "channel production of app web"} {
		if !slices.ContainsFunc(d.Checks, func(c struct{ What, Result string }) bool { return c.What == what && c.Result == "found" }) {
			t.Errorf("%s is not found: %+v", what, d.Checks)
		}
	}
	allowed := policyActions(t, s.world.Root+"/docs/iam/bake-ami.json")
	for _, a := range actions {
		if !slices.Contains(allowed, a) {
			t.Errorf("the plan needs %s, which docs/iam/bake-ami.json does not allow", a)
		}
	}
	for _, a := range coreCalls(t) {
		if !slices.Contains(actions, a) {
			t.Errorf("bakes called %s, which the dry run does not name", a)
		}
	}
}

// coreCalls are the recorded actions of bakes that the story's bake made, too:
// other tests' bakes have other wishes.
func coreCalls(t *testing.T) []string {
	t.Helper()
	core := []string{"ec2:RunInstances", "ec2:DescribeInstances", "ec2:TerminateInstances", "ec2:CreateImage", "ec2:DescribeSubnets",
		"ec2:CreateSecurityGroup", "ec2:AuthorizeSecurityGroupIngress", "ec2:DeleteSecurityGroup", "ec2:DescribeImages", "ec2:DeleteTags"}
	called := slices.DeleteFunc(slices.Clone(calledBy(t)["bake-ami"]), func(a string) bool { return !slices.Contains(core, a) })
	if len(called) != len(core) {
		t.Errorf("recorded are only %v", called)
	}
	return called
}

func TestADryRunTellsRefusedRightsAndMissingBuilds(t *testing.T) {
	theStory(t)
	before, err := s.world.Census(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	rule, err := json.Marshal(gateway.Rule{Service: "ec2", Action: "CreateImage", Code: "UnauthorizedOperation", Status: 403, Times: -1})
	if err != nil {
		t.Fatal(err)
	}
	ctx := deadline(t, 20*time.Second)
	if _, err := control(ctx, http.MethodPost, "faults", rule); err != nil {
		t.Fatal(err)
	}
	d, stderr, code := tryBake(t)
	if _, err := control(ctx, http.MethodDelete, "faults", nil); err != nil {
		t.Fatal(err)
	}
	line, _ := errorLines(stderr)
	if code != 5 || !strings.Contains(line+stderr, "refused are ec2:CreateImage") || len(d.Rights) == 0 {
		t.Errorf("exit %d, want 5:\n%s", code, tail(stderr))
	}
	tool := proving(t, t.TempDir()+"/r.json", "", "channel: production", "channel: nosuch")
	tool.Args = append(tool.Args, "--dry-run")
	if o := runTool(t, tool); o.Code != 4 || !strings.Contains(o.Stderr, "no channel nosuch of app web") {
		t.Errorf("a channel that is not there: exit %d, want 4:\n%s", o.Code, tail(o.Stderr))
	}
	unchanged(t, before)
}
