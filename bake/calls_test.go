package bake

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

// TestAPlainBakeMakesTheseCallsAndNoOthers holds the number of EC2 calls down:
// each of them is a chance to be throttled. The base is named by its id, the
// name of the image is unique, and nothing is waited for twice.
func TestAPlainBakeMakesTheseCallsAndNoOthers(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.Rebake = true
	f.ec2.prompt = true
	if _, err := f.Bake(t.Context(), f.plan(t)); err != nil {
		t.Fatal(err)
	}
	want := []string{"DescribeImages", "DescribeSubnets", "CreateSecurityGroup", "AuthorizeSecurityGroupIngress", "RunInstances",
		"CreateImage", "DescribeImages", "TerminateInstances", "ModifyImageAttribute", "DeleteTags", "DeleteSecurityGroup"}
	if !slices.Equal(f.ec2.calls, want) {
		t.Errorf("a bake calls\n%v, want\n%v", f.ec2.calls, want)
	}
}

// TestABuilderThatEC2EndedIsNotWaitedFor: the launch succeeds, and EC2 ends the
// instance a moment later, as it does when a volume cannot be made.
func TestABuilderThatEC2EndedIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.Silence = time.Millisecond
	tries := 0
	f.Connect = func(ctx context.Context, _ host.Target) (Machine, error) {
		if tries++; tries == 2 {
			f.ec2.mu.Lock()
			f.ec2.instances[0].state = "terminated"
			f.ec2.mu.Unlock()
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	_, err := f.Bake(t.Context(), f.plan(t))
	if fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), "it was terminated") || tries != 2 {
		t.Errorf("after %d tries: %v", tries, err)
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestABuilderThatIsSlowToAnswerIsWaitedFor: silence alone ends nothing.
func TestABuilderThatIsSlowToAnswerIsWaitedFor(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.Silence = time.Millisecond
	connect, tries := f.Connect, 0
	f.Connect = func(ctx context.Context, to host.Target) (Machine, error) {
		if tries++; tries < 4 {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		return connect(ctx, to)
	}
	if _, err := f.Bake(t.Context(), f.plan(t)); err != nil || f.ec2.called("DescribeInstances") != 3 {
		t.Errorf("%d looks, %v", f.ec2.called("DescribeInstances"), err)
	}
}

// TestTheEndOfTheBuilderIsAskedForAgain: letting it go early is a courtesy; a
// reply that is lost, or a throttled call, is made up for in the clean-up.
func TestTheEndOfTheBuilderIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*fakes){
		"throttled": func(f *fakes) {
			f.ec2.onCall = func(action string) {
				delete(f.ec2.refuse, "TerminateInstances")
				if action == "TerminateInstances" && f.ec2.instances[0].state == "pending" && f.ec2.tally("TerminateInstances") == 1 {
					f.ec2.refuse["TerminateInstances"] = "RequestLimitExceeded"
				}
			}
		},
		"lost": func(f *fakes) { f.ec2.lose["TerminateInstances"] = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFakes(t)
			spoil(f)
			r, err := f.Bake(t.Context(), f.plan(t))
			if err != nil || f.ec2.called("TerminateInstances") != 2 {
				t.Errorf("%d calls, %v", f.ec2.called("TerminateInstances"), err)
			}
			if left := f.left(t); !slices.Equal(left, []string{r.ImageID, r.Snapshots[0]}) {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestWithoutAGroupOfItsOwnABakeSeesTheEndOfTheBuilder: there is nothing then
// whose removal would show it.
func TestWithoutAGroupOfItsOwnABakeSeesTheEndOfTheBuilder(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	f.in.SecurityGroup = "sg-given"
	if _, err := f.Bake(t.Context(), f.plan(t)); err != nil {
		t.Fatal(err)
	}
	if f.ec2.instances[0].state != "terminated" || f.ec2.called("DescribeInstances") == 0 || f.ec2.called("DeleteSecurityGroup") != 0 {
		t.Errorf("the builder is %s after %v", f.ec2.instances[0].state, f.ec2.calls)
	}
}
