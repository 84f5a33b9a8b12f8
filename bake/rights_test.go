package bake

import (
	"encoding/json"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
)

// policy reads the actions that docs/iam/bake-ami.json allows.
func policy(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile("../docs/iam/bake-ami.json")
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Statement []struct{ Action any } }
	if err := json.Unmarshal(b, &p); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range p.Statement {
		switch a := s.Action.(type) {
		case string:
			out = append(out, a)
		case []any:
			for _, one := range a {
				out = append(out, one.(string))
			}
		}
	}
	return out
}

// wishes are bakes that differ in what they call.
func wishes() map[string]func(*fakes) {
	return map[string]func(*fakes){
		"plain":  func(*fakes) {},
		"proven": func(f *fakes) { f.in.Prove = ProveInputs{InstanceProfile: "web", KeepUnproven: true} },
		"kept":   func(f *fakes) { f.in.Protect, f.in.DeprecateAfter = true, 1<<50 },
		"ssm":    func(f *fakes) { f.in.Transport, f.in.InstanceProfile = TransportSSM, "builder" },
		"group": func(f *fakes) {
			f.Groups = fakeGroups{"web": "subnet-1"}
			f.in.Prove = ProveInputs{InstanceProfile: "web", Group: "web"}
		},
		"named": func(f *fakes) { f.in.SecurityGroup = "sg-1" },
	}
}

func TestAPlansActionsAreInThePolicyAndNoneIsMissing(t *testing.T) {
	t.Parallel()
	allowed := policy(t)
	for name, wish := range wishes() {
		f := newProving(t, up)
		f.in.Prove = ProveInputs{Skip: true}
		wish(f)
		p := f.plan(t)
		for _, a := range p.Actions() {
			if !slices.Contains(allowed, a) {
				t.Errorf("%s: docs/iam/bake-ami.json does not allow %s", name, a)
			}
		}
		if name == "ssm" {
			continue // the fake world has no SSM
		}
		if _, err := f.Bake(t.Context(), p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, call := range f.ec2.calls {
			if !slices.Contains(p.Actions(), "ec2:"+call) {
				t.Errorf("%s: the bake called %s, which is not in its plan", name, call)
			}
		}
	}
}

func TestRightsAreAskedForWithoutDoingAnything(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	f.in.Protect, f.in.DeprecateAfter = true, 1<<50
	p := f.plan(t)
	f.ec2.deny = func(action string, form url.Values) string {
		if form.Get("DryRun") != "true" {
			t.Errorf("%s is called for real", action)
		}
		switch action {
		case "RunInstances", "TerminateInstances":
			return "UnauthorizedOperation"
		case "RebootInstances":
			return "InvalidInstanceID.NotFound"
		case "CreateImage":
			return "RequestLimitExceeded"
		}
		return "DryRunOperation"
	}
	rights, err := f.Rights(t.Context(), p)
	if err != nil || len(rights) != len(p.Actions()) {
		t.Fatalf("%v, %+v", err, rights)
	}
	want := map[string]string{actRun: RightRefused, actTerminate: RightUnknown, actReboot: RightUnknown, actCreateImage: RightUnknown,
		actPassRole: RightUnknown, actDescribeSubnets: RightAllowed, actDeregister: RightAllowed, actProtect: RightAllowed, actCreateGroup: RightAllowed}
	for _, r := range rights {
		if v, ok := want[r.Action]; ok && v != r.Verdict {
			t.Errorf("%s is %s (%s), want %s", r.Action, r.Verdict, r.Why, v)
		}
		if r.Verdict != RightAllowed && r.Why == "" {
			t.Errorf("%s is %s without a reason", r.Action, r.Verdict)
		}
	}
	refused := RefusedRights(rights)
	if fault.KindOf(refused) != fault.AWS || !strings.HasSuffix(refused.Error(), "refused are ec2:RunInstances") || RefusedRights(nil) != nil {
		t.Errorf("refused: %v", refused)
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("asking left %v", left)
	}
}

func TestEveryEC2RightCanBeAskedFor(t *testing.T) {
	t.Parallel()
	f := newProving(t, up)
	f.in.Protect, f.in.DeprecateAfter, f.in.Prove.KeepUnproven = true, 1<<50, true
	p := f.plan(t)
	for _, a := range p.Actions() {
		_, asked := p.questions()[a]
		if strings.HasPrefix(a, "ec2:") && !asked && !slices.Contains(p.resolveActions(), a) {
			t.Errorf("there is no dry run for %s", a)
		}
	}
	p.Reuse = &ami.Image{}
	if len(p.Actions()) != 2 {
		t.Errorf("a bake that does nothing needs %v", p.Actions())
	}
}

// TestRightsOfCopiesAndSharesAreAskedFor asks each region by itself, and does
// nothing in any.
func TestRightsOfCopiesAndSharesAreAskedFor(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	f.in.Distribute.Share.Accounts = []string{"111122223333"}
	p := f.plan(t)
	asked := map[string]bool{}
	var mu sync.Mutex
	for region, api := range f.there {
		api.deny = func(action string, form url.Values) string {
			mu.Lock()
			defer mu.Unlock()
			asked[region+" "+action] = true
			if form.Get("DryRun") != "true" {
				t.Errorf("%s: %s is called for real", region, action)
			}
			if action == "ModifySnapshotAttribute" {
				return "UnauthorizedOperation"
			}
			return "DryRunOperation"
		}
	}
	rights, err := f.Rights(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"eu-west-1 CopyImage", "us-east-1 DescribeImageAttribute", "us-east-1 DescribeSnapshotAttribute", "us-east-1 ModifySnapshotAttribute"} {
		if !asked[call] {
			t.Errorf("nobody asked for %s: %v", call, asked)
		}
	}
	for _, r := range rights {
		if r.Action == "ec2:CopyImage" && r.Verdict != RightAllowed || r.Action == "ec2:ModifySnapshotAttribute" && r.Verdict != RightUnknown {
			t.Errorf("%s is %s (%s)", r.Action, r.Verdict, r.Why)
		}
	}
}
