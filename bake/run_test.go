package bake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bakehouse/bake/ami"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

func TestABakeMakesAnImageAndLeavesNothingElse(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	r, err := f.Bake(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.left(t); !slices.Equal(got, []string{r.ImageID, r.Snapshots[0]}) {
		t.Errorf("left are %v, want only image and snapshot %s %v", got, r.ImageID, r.Snapshots)
	}
	if r.Result != "done" || r.Steps[0].Name != resolveStep || r.Steps[len(r.Steps)-1].Name != cleanUpStep || len(r.Steps) != len(p.Steps)+2 {
		t.Errorf("report says %q with steps %+v", r.Result, r.Steps)
	}
	if f.chef.asOwner != f.chef.node.Name || !strings.HasPrefix(f.chef.node.Name, "bake-") {
		t.Errorf("node %q was made as %q: it must own itself", f.chef.node.Name, f.chef.asOwner)
	}
	if f.chef.node.Name != strings.ToLower(f.chef.node.Name) {
		t.Errorf("node name %q is not lower case", f.chef.node.Name)
	}
}

func TestTheBuilderIsLockedDownAndTagged(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.CI = map[string]string{"BUILD_URL": "http://ci/1"}
	p := f.plan(t)
	if _, err := f.Bake(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	run := f.ec2.instances[0].params
	for key, want := range map[string]string{
		"MetadataOptions.HttpTokens": "required", "InstanceInitiatedShutdownBehavior": "terminate",
		"ClientToken": p.clientToken(), "BlockDeviceMapping.1.Ebs.DeleteOnTermination": "true", "KeyName": "",
	} {
		if got := run.Get(key); got != want {
			t.Errorf("RunInstances %s = %q, want %q", key, got, want)
		}
	}
	for _, made := range []*thing{f.ec2.instances[0], f.ec2.images[1], f.ec2.snapshots[0]} {
		if made.tags[ami.TagBakeID] != p.BakeID || made.tags[ami.TagRole] != "web" || made.tags[ami.TagOwner] == "" || made.tags["bakehouse:build-url"] != "http://ci/1" {
			t.Errorf("%s carries %v", made.id, made.tags)
		}
	}
	if f.ec2.instances[0].tags[ami.TagExpires] == "" {
		t.Error("the builder has no expiry: a lost one would not be found")
	}
	for _, kept := range []*thing{f.ec2.images[1], f.ec2.snapshots[0]} {
		if kept.tags[ami.TagExpires] != "" {
			t.Errorf("%s still expires: a sweep would take the finished image", kept.id)
		}
	}
	if p.Launch.AllowFrom != "172.31.0.1/32" || p.Launch.Address != AddressPrivate {
		t.Errorf("the builder admits %s by its %s address", p.Launch.AllowFrom, p.Launch.Address)
	}
}

// breakers makes each step fail in its own way.
func breakers(t *testing.T, f *fakes) map[string]func() {
	guest := func(part string) func() {
		return func() {
			f.machine.on = func(_ context.Context, script string, _ io.Writer) (bool, error) {
				return strings.Contains(script, part), &host.ExitError{Code: 1, Stderr: "boom"}
			}
		}
	}
	refuse := func(action string) func() {
		return func() { f.ec2.refuse[action] = "UnauthorizedOperation" }
	}
	return map[string]func(){
		"chef node":      func() { f.chef.refuse = "CreateNode" },
		"security group": refuse("AuthorizeSecurityGroupIngress"),
		"launch":         refuse("RunInstances"),
		"boot":           func() { f.ec2.noAddress = true; refuse("DescribeInstances")() },
		"connect":        func() { f.Connect = func(context.Context, host.Target) (Machine, error) { return nil, errBoom } },
		"cloud-init":     guest("status --wait"),
		"install chef":   guest("command -v cinc-client"),
		"converge":       guest("client.rb"),
		"install agent":  guest("systemd-analyze"),
		"inventory":      guest("dpkg-query"),
		"scrub":          guest("verify.sh"),
		"create image":   refuse("CreateImage"),
		"wait for image": refuse("ModifyImageAttribute"),
		"store inventory": func() {
			if err := os.WriteFile(filepath.Join(f.StateDir, "inventories"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"keep image": refuse("DeleteTags"),
	}
}

func TestAFailureInEachStepUndoesWhatWasMade(t *testing.T) {
	t.Parallel()
	names := newFakes(t).plan(t).stepNames()
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			p := f.plan(t)
			broken, ok := breakers(t, f)[name]
			if !ok {
				t.Fatalf("no test breaks step %q", name)
			}
			broken()
			f.reporter.start = func(step string) {
				if step == undoStep { // let the undo see the builder again
					delete(f.ec2.refuse, "DescribeInstances")
				}
			}
			r, err := f.Bake(t.Context(), p)
			if err == nil {
				t.Fatal("the bake succeeded")
			}
			if left := f.left(t); len(left) > 0 {
				t.Errorf("left behind: %v (after %v)", left, err)
			}
			if r.Result != "failed" || r.ImageID != "" || r.Error == "" {
				t.Errorf("report: %+v", r)
			}
			ran := f.reporter.steps[1 : len(f.reporter.steps)-1] // without resolve and undo
			if !slices.Equal(ran, names[:i+1]) {
				t.Errorf("ran %v", ran)
			}
			if fault.KindOf(err) == fault.Internal {
				t.Errorf("%v has no kind: it would end with exit code 1", err)
			}
		})
	}
}

// signalled stands for a signal as the cause of a context's end.
var errSignalled = errors.New("interrupted by SIGTERM")

func TestACancelInEachStepUndoesWhatWasMade(t *testing.T) {
	t.Parallel()
	for _, name := range newFakes(t).plan(t).stepNames() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			p := f.plan(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			f.reporter.start = func(step string) {
				if step == name {
					cancel(errSignalled)
				}
			}
			_, err := f.Bake(ctx, p)
			if !errors.Is(err, errSignalled) {
				t.Errorf("error %v does not name the signal", err)
			}
			if left := f.left(t); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if name != "chef node" && !slices.ContainsFunc(f.reporter.infos, func(l string) bool { return strings.HasPrefix(l, "undoing: ") }) {
				t.Errorf("nothing said what is undone: %v", f.reporter.infos)
			}
		})
	}
}

func TestUndoRunsInReverse(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	f.ec2.refuse["DeleteTags"] = "UnauthorizedOperation" // the last call of all
	_, err := f.Bake(t.Context(), p)
	if err == nil || !strings.Contains(fault.NextOf(err), "ec2:DeleteTags") {
		t.Errorf("error %v, next %q: want the missing permission named", err, fault.NextOf(err))
	}
	var order []string
	for _, c := range f.ec2.calls {
		if slices.Contains([]string{"DeregisterImage", "DeleteSnapshot", "TerminateInstances", "DeleteSecurityGroup"}, c) {
			order = append(order, c)
		}
	}
	// The builder is let go as soon as its image can be used.
	if want := []string{"TerminateInstances", "DeregisterImage", "DeleteSnapshot", "DeleteSecurityGroup"}; !slices.Equal(slices.Compact(order), want) {
		t.Errorf("undone in the order %v, want %v", order, want)
	}
}

func TestALostReplyMakesNothingTwice(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"RunInstances", "CreateImage", "CreateSecurityGroup"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			p := f.plan(t)
			f.ec2.lose[action] = true
			r, err := f.Bake(t.Context(), p)
			if err != nil {
				t.Fatal(err)
			}
			if n := f.ec2.called(action); n != 1 {
				t.Errorf("%s was called %d times", action, n)
			}
			if left := f.left(t); len(left) != 2 || left[0] != r.ImageID {
				t.Errorf("left are %v", left)
			}
		})
	}
}

func TestALostReplyAndASignalLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"RunInstances", "CreateImage", "CreateSecurityGroup"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			p := f.plan(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			f.ec2.lose[action] = true
			f.ec2.onCall = func(a string) {
				if a == action {
					cancel(errSignalled)
				}
			}
			if _, err := f.Bake(ctx, p); !errors.Is(err, errSignalled) {
				t.Errorf("error %v", err)
			}
			if left := f.left(t); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestUndoFailuresAreGathered(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	breakers(t, f)["converge"]()
	f.ec2.refuse["TerminateInstances"] = "UnauthorizedOperation"
	f.ec2.refuse["DeleteSecurityGroup"] = "DependencyViolation"
	f.chef.refuse = "DeleteNode"
	r, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.Chef {
		t.Errorf("kind %v: a failed bake keeps its own", fault.KindOf(err))
	}
	for _, want := range []string{"undoing launch", "undoing security group", "undoing chef node",
		"aws ec2 terminate-instances --region us-east-1 --instance-ids " + f.ec2.instances[0].id, "knife node delete -y " + p.nodeName()} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("the error lacks %q:\n%v", want, err)
		}
	}
	if len(r.Leftover) != 3 {
		t.Errorf("leftovers %+v, want instance, group and node", r.Leftover)
	}
	if slices.Contains(f.chef.names, "client "+p.nodeName()) {
		t.Error("the client stayed, although only the node was refused")
	}
}

func TestAnIncompleteCleanUpStillGivesTheImage(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	f.chef.refuse = "DeleteClient"
	r, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.Leftover || r.ImageID == "" || r.Result != "done" {
		t.Errorf("kind %v, image %q, result %q", fault.KindOf(err), r.ImageID, r.Result)
	}
	if !errors.Is(err, chefapi.ErrForbidden) {
		t.Errorf("%v does not say why", err)
	}
}

func TestAnInterruptedBakeThatCannotCleanUpSaysSo(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	f.reporter.start = func(step string) {
		if step == "converge" {
			cancel(errSignalled)
		}
	}
	f.ec2.refuse["TerminateInstances"] = "UnauthorizedOperation"
	_, err := f.Bake(ctx, p)
	if fault.KindOf(err) != fault.Leftover {
		t.Errorf("kind %v for %v: exit codes 130 and 143 mean that all is cleaned", fault.KindOf(err), err)
	}
}

func TestAConvergeMayRebootAFewTimes(t *testing.T) {
	t.Parallel()
	for asked, want := range map[int]bool{1: true, maxReboots: true, maxReboots + 1: false} {
		f := newFakes(t)
		p := f.plan(t)
		runs := 0
		f.machine.on = func(_ context.Context, script string, _ io.Writer) (bool, error) {
			switch {
			case strings.Contains(script, "client.rb"):
				if runs++; runs <= asked {
					return true, &host.ExitError{Code: 35 + 2*(runs%2)}
				}
			case strings.Contains(script, "reboot"):
				f.machine.boots++
			}
			return false, nil
		}
		_, err := f.Bake(t.Context(), p)
		if (err == nil) != want {
			t.Errorf("%d reboots: %v", asked, err)
		}
		if !want && fault.KindOf(err) != fault.Chef {
			t.Errorf("%d reboots: kind %v", asked, fault.KindOf(err))
		}
		if reboots := min(asked, maxReboots); f.connects != 1+reboots {
			t.Errorf("%d reboots: %d connections", asked, f.connects)
		}
	}
}
