package agent

import (
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"bakehouse/release"
	"bakehouse/release/waves"
)

// statement is one of docs/iam/boot-agent.json.
type statement struct {
	Sid, Effect      string
	Action, Resource any // one, or several
	Condition        map[string]map[string]string
}

// texts are the strings of what is one or several.
func texts(v any) (all []string) {
	list, several := v.([]any)
	if !several {
		list = []any{v}
	}
	for _, one := range list {
		text, _ := one.(string)
		all = append(all, text)
	}
	return all
}

// TestEveryRightOfTheProfileIsScoped holds the published policy to the app's
// prefix, one parameter or secret, one group and one stack.
func TestEveryRightOfTheProfileIsScoped(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../docs/iam/boot-agent.json")
	if err != nil {
		t.Fatal(err)
	}
	var policy struct{ Statement []statement }
	if err := json.Unmarshal(b, &policy); err != nil {
		t.Fatal(err)
	}
	// What a resource ends in, by the service of the actions on it. Account and
	// region stand open: the profile belongs to one account.
	ends := map[string][]string{
		"s3":             {":::bakehouse-builds/web/*", ":::bakehouse-builds/web/pull/*/results/*", ":::bakehouse-builds/web/pull/*/state.json"},
		"ssm":            {":parameter/bakehouse/chef/validator"},
		"secretsmanager": {":secret:bakehouse/chef/validator-*"}, // AWS adds six characters to a secret's name
		"autoscaling":    {":autoScalingGroupName/web"},
		"cloudformation": {":stack/web/*"}, // the stack's id is made with it
	}
	seen := map[string]bool{}
	for _, st := range policy.Statement {
		if st.Effect != "Allow" {
			t.Errorf("%s: %+v", st.Sid, st)
		}
		for _, action := range texts(st.Action) {
			service, name, _ := strings.Cut(action, ":")
			seen[service] = true
			for _, resource := range texts(st.Resource) {
				if action == "s3:ListBucket" && strings.HasSuffix(resource, ":::bakehouse-builds") && st.Condition["StringLike"]["s3:prefix"] == "web/pull/*" {
					continue // of the whole bucket it may list what rollouts of its app are made of
				}
				if action == "s3:PutObject" && strings.HasSuffix(resource, "/web/*") {
					t.Errorf("%s: an instance may write builds and channels", st.Sid)
				}
				if name == "" || strings.Contains(name, "*") || !slices.ContainsFunc(ends[service], func(end string) bool { return strings.HasSuffix(resource, end) }) {
					t.Errorf("%s: %s on %s is wider than the app's own", st.Sid, action, resource)
				}
			}
		}
	}
	for service := range ends {
		if !seen[service] {
			t.Errorf("no right on %s", service)
		}
	}
}

// What the agent reads lies below its app's prefix, and nobody else's does.
func TestWhatIsPulledLiesBelowTheAppsPrefix(t *testing.T) {
	t.Parallel()
	id := release.ID(strings.Repeat("ab", 32))
	p := waves.Plan{App: "web", Channel: "production", ID: "0123456789ab"}
	for _, key := range []string{release.ChannelKey("web", "production"), release.ManifestKey("web", id), release.ArtifactKey("web", id), p.PlanKey(), p.RosterKey()} {
		if !strings.HasPrefix(key, "web/") || path.Clean(key) != key {
			t.Errorf("%s is not below web/", key)
		}
	}
	if key := p.ResultKey(0, "i-1", waves.Done); !strings.HasPrefix(key, "web/pull/") || !strings.Contains(key, "/results/") || !strings.HasPrefix(p.WavePrefix(0), "web/pull/") {
		t.Errorf("a result lies at %s, where an instance may not write or list", key)
	}
	if key := release.ManifestKey("web-admin", id); strings.HasPrefix(key, "web/") {
		t.Errorf("%s is below web/", key)
	}
}
