// Package test holds the house to its plan: who may import whom, how large
// things may grow, and which habits are banned. The tables are data with a
// reason per row, and a broken row fails with that reason.
package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// room is one row of the house plan: the packages below Path may import, of
// our own module, only those below May.
type room struct {
	Path   string
	May    []string
	Reason string
}

// leaves may be imported by every room: nouns and error kinds without behaviour.
var leaves = []string{"internal/fault", "internal/awserr", "internal/awsfault", "internal/secret"}

var rooms = []room{
	{"bake", []string{"cloud-init", "internal/agentconf", "internal/await", "internal/chefapi", "internal/chefrepo", "internal/host"},
		"bake makes images; it knows the machine and Chef, never the release or the agent's code"},
	{"agent", []string{"release", "internal/agentconf", "internal/chefapi", "internal/enrol"},
		"the agent must stay small and reads only the nouns that bake and deploy write"},
	{"agent/broker", []string{"internal/chefapi", "internal/enrol"},
		"the other side of registering: it knows Chef and what an instance posts, never the agent's chain"},
	{"internal/enrol", nil, "a noun between an instance and the broker"},
	{"deploy", []string{"release", "internal/await", "internal/chefapi", "internal/host", "internal/s3cond"},
		"deploy publishes releases and reaches hosts; it never bakes"},
	{"reap", []string{"internal/chefapi", "internal/s3cond"}, "reap compares two lists"},
	{"autoscale", []string{"bake/ami", "internal/nearest", "internal/yamltree"}, "autoscale speaks only to AWS, and reads on images the noun that a bake leaves there"},
	{"autoscale/scaling", nil, "a model of AWS's scaling rules: arithmetic that knows neither files nor clocks"},
	{"autoscale/simulate", []string{"autoscale"}, "plays the product's own decisions against a model; it needs the room above, which must not need it"},
	{"release", nil, "release is a noun: what deploy writes and agent reads"},
	{"release/waves", []string{"release"}, "the noun and the decision of a rollout that agents carry out: deploy and agent must judge alike"},
	{"cloud-init", nil, "files left in the image, nothing else"},
	{"internal/fault", nil, "a leaf: everybody imports it"},
	{"internal/secret", nil, "a leaf: keys that no printing shows"},
	{"internal/awserr", nil, "a leaf: the only place that knows AWS error codes"},
	{"internal/awsfault", nil, "advice for failed AWS calls: awserr's codes in fault's kinds"},
	{"bake/ami", nil, "the noun that a bake leaves behind; who copies, publishes or prunes it needs no bake"},
	{"bake/distribute", []string{"bake/ami", "internal/await"}, "takes an image to regions and accounts; bakes and the commands that redo it alike use it"},
	{"bake/inventory", nil, "the noun for what an image holds; who compares two images needs no bake"},
	{"bake/cost", nil, "a price table and its arithmetic, which asks nobody"},
	{"bake/publish", []string{"bake/ami"}, "makes a finished image the one that others find; bakes and bake-ami publish alike use it"},
	{"bake/retain", []string{"bake/ami"}, "decides which images may go, and takes them away; no bake is needed for it"},
	{"internal/agentconf", nil, "a noun between baker and agent"},
	{"internal/s3cond", nil, "how a document in S3 that several processes write is written; deploy and reap alike need it"},
	{"internal/await", nil, "how calls to EC2 are waited for; bakes and copies alike need it"},
	{"internal/awscfg", nil, "one aws.Config, for cmd and test"},
	{"internal/chefrepo", nil, "reads a chef-repo from disk"},
	{"internal/chefapi", []string{"internal/chefrepo"}, "the only importer of go-chef"},
	{"internal/config", []string{"internal/nearest", "internal/yamltree"}, "bakehouse.yaml, read by cmd alone"},
	{"internal/yamltree", nil, "how both strict readers of YAML walk it and say where they are; it knows no keys"},
	{"internal/nearest", nil, "what a mistyped word was meant to be, for whoever reads a file strictly"},
	{"internal/events", nil, "a queue that says when to look, for the commands that look again and again; it knows nothing of what for"},
	{"internal/host", nil, "reaches a machine and knows nothing of what for"},
	{"internal/ui", nil, "progress and tables"},
	{"internal/cliapp", []string{"internal/ui"}, "what every urfave tool needs"},
	{"cmd", []string{"bake", "agent", "deploy", "reap", "autoscale", "release", "cloud-init", "internal"},
		"flags, wiring, printing and the exit code stand above everything"},
	{"test/asg", []string{"autoscale/scaling"}, "the Auto Scaling service shares the arithmetic of AWS's scaling rules, and nothing that decides for the product"},
	{"test", []string{"bake", "agent", "deploy", "reap", "release", "cloud-init", "internal", "test"},
		"the lab and the suites may look at everything"},
}

// outside names third-party packages that only some rooms may import.
var outside = []struct {
	Import string
	Only   []string
	Reason string
}{
	{"github.com/go-chef/chef", []string{"internal/chefapi"}, "go-chef's traps are dealt with in one place"},
	{"github.com/urfave/cli", []string{"cmd", "internal/cliapp"}, "a CLI library below cmd ties rooms to flags"},
	{"golang.org/x/crypto/ssh", []string{"internal/host", "bake", "test"}, "SSH is reached through internal/host; bake only makes keys"},
	{"github.com/aws/smithy-go", []string{"internal/awserr", "internal/awscfg", "test", "cmd"}, "AWS error codes are known in one place"},
	{"github.com/aws/aws-sdk-go-v2/config", []string{"internal/awscfg", "test"}, "one place makes the aws.Config"},
	{"github.com/goccy/go-yaml", []string{"internal/config", "internal/yamltree", "bake", "autoscale", "test"}, "configuration is parsed strictly in one place; bake renders user-data"},
}

// goPackage is what this suite reads of `go list -json`.
type goPackage struct {
	ImportPath, Dir, Doc, Name           string
	GoFiles, TestGoFiles, XTestGoFiles   []string
	Imports, TestImports, XTestImports   []string
	Module                               *struct{ Path, Dir string }
	IgnoredGoFiles, EmbedFiles, CgoFiles []string
}

// packages lists the module's packages with every build tag of the suites on.
func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-tags", "lab e2e bench", "-json", "bakehouse/...")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v\n%s", err, stderr.String())
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	var all []goPackage
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("reading go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) < 3 {
		t.Fatalf("go list names %d packages; the suite looks at nothing", len(all))
	}
	return all
}

// under reports whether path is dir or stands below it.
func under(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// underAny reports whether path stands below one of dirs.
func underAny(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return under(path, d) })
}

// roomOf returns the most specific row that covers path.
func roomOf(path string) (room, bool) {
	best, found := room{}, false
	for _, r := range rooms {
		if under(path, r.Path) && (!found || len(r.Path) > len(best.Path)) {
			best, found = r, true
		}
	}
	return best, found
}

func TestImportsFollowTheHousePlan(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, "bakehouse/")
		r, ok := roomOf(path)
		if !ok {
			t.Errorf("%s is in no room of the plan: add a row with a reason to test/arch_test.go, or move it", path)
			continue
		}
		for _, imp := range p.Imports {
			checkImport(t, path, imp, r)
		}
	}
}

// checkImport fails when path may not import imp.
func checkImport(t *testing.T, path, imp string, r room) {
	t.Helper()
	if own, ok := strings.CutPrefix(imp, "bakehouse/"); ok {
		if !under(own, r.Path) && !underAny(own, r.May) && !slices.Contains(leaves, own) {
			t.Errorf("%s imports %s: %s", path, own, r.Reason)
		}
		return
	}
	for _, o := range outside {
		if under(imp, o.Import) && !underAny(path, o.Only) {
			t.Errorf("%s imports %s: %s", path, imp, o.Reason)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	for _, p := range packages(t) {
		if len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}
