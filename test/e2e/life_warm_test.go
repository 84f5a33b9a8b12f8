//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// rests waits until the instance is ready in the warm pool. The group learns a
// moment after the agent's answer that it is, and one that grows before that
// launches another instance and has no use for this one.
func (m member) rests(ctx context.Context) {
	m.t.Helper()
	err := story.Until(ctx, 100*time.Millisecond, func() error {
		out, err := m.groups.DescribeWarmPool(ctx, &autoscaling.DescribeWarmPoolInput{AutoScalingGroupName: &m.group})
		if err == nil && (len(out.Instances) != 1 || out.Instances[0].LifecycleState != astypes.LifecycleStateWarmedRunning) {
			err = fmt.Errorf("the warm pool of %s holds %d instances, and not one that is ready", m.group, len(out.Instances))
		}
		return err
	})
	if err != nil {
		m.t.Fatalf("%v\n%s", err, m.activities(m.group))
	}
}

// A warm instance is prepared, serves nothing and says nothing to the stack;
// in service it starts the build that is current by then.
func isWarmed(t *testing.T) {
	t.Parallel()
	ctx := deadline(t, 4*time.Minute)
	p := pulled{t: t, ctx: ctx, channel: "warm"}
	p.first = p.push("warm-first", nil)
	m := joins(ctx, t, "life-warm", joining{channel: p.channel, before: "true", warm: true})
	l := answers(ctx, t, m.ID, "ready CONTINUE")
	err := story.Until(ctx, 100*time.Millisecond, func() error { // it notes what it told a moment later
		st, err := agentStatus(ctx, m.ID)
		if err == nil && st.State != "warm" {
			err = fmt.Errorf("its state is %q", st.State)
		}
		return err
	})
	if err != nil || l.Target != "Warmed:Running" || l.signal != "" {
		t.Errorf("in the warm pool: %v, target %s, the stack was told %q", err, l.Target, l.signal)
	}
	if active := inGuest(t, m.ID, "systemctl is-active web.service || true; readlink /srv/web/current"); active != "inactive\nreleases/"+p.first {
		t.Errorf("in the warm pool the app is %s, want it stopped and its build there", active)
	}
	newer := p.push("warm-newer", nil)
	m.rests(ctx)
	if err := m.want(ctx, 1); err != nil {
		t.Fatal(err)
	}
	l = answers(ctx, t, m.ID, "ready CONTINUE", "ready CONTINUE")
	if a, err := s.world.Answers(ctx, m.Addr); err != nil || a.Release != newer {
		t.Errorf("in service the app answers with %s (%v), want %s", a.Release, err, newer)
	}
	if l.signal != "life/Web SUCCESS" {
		t.Errorf("in service the stack was told %q", l.signal)
	}
	if all := m.serving(ctx, m.group, 1); aws.ToString(all[0].InstanceId) != m.ID {
		t.Errorf("%s is in service, want the warm one, %s", aws.ToString(all[0].InstanceId), m.ID)
	}
}
