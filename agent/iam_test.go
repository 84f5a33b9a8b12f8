package agent

import (
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"bakehouse/release"
)

// statement is one of docs/iam/boot-agent.json.
type statement struct {
	Sid, Effect, Resource string
	Action                any
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
		"s3":             {":::bakehouse-builds/web/*"},
		"ssm":            {":parameter/bakehouse/chef/validator"},
		"secretsmanager": {":secret:bakehouse/chef/validator-*"}, // AWS adds six characters to a secret's name
		"autoscaling":    {":autoScalingGroupName/web"},
		"cloudformation": {":stack/web/*"}, // the stack's id is made with it
	}
	seen := map[string]bool{}
	for _, st := range policy.Statement {
		actions, _ := st.Action.([]any)
		if one, ok := st.Action.(string); ok {
			actions = []any{one}
		}
		if len(actions) == 0 || st.Effect != "Allow" {
			t.Errorf("%s: %+v", st.Sid, st)
		}
		for _, a := range actions {
			action, _ := a.(string)
			service, name, _ := strings.Cut(action, ":")
			seen[service] = true
			if name == "" || strings.Contains(name, "*") || !slices.ContainsFunc(ends[service], func(end string) bool { return strings.HasSuffix(st.Resource, end) }) {
				t.Errorf("%s: %s on %s is wider than the app's own", st.Sid, action, st.Resource)
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
	for _, key := range []string{release.ChannelKey("web", "production"), release.ManifestKey("web", id), release.ArtifactKey("web", id)} {
		if !strings.HasPrefix(key, "web/") || path.Clean(key) != key {
			t.Errorf("%s is not below web/", key)
		}
	}
	if key := release.ManifestKey("web-admin", id); strings.HasPrefix(key, "web/") {
		t.Errorf("%s is below web/", key)
	}
}
