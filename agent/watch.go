package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"bakehouse/internal/agentconf"
)

const (
	watchPoll = 5 * time.Second  // as often as EC2's guide asks for
	lastLook  = 5 * time.Second  // for the notices, while the machine goes down
	lastRites = 40 * time.Second // for leaving, while the machine goes down
)

// Watch looks at the metadata service's notices until ctx ends, and leaves
// when one says that the instance will be gone. It returns nil once it has
// left, or when ctx ended and nothing had to be done.
//
// EC2 announces the end of a spot instance and of a member of a group. Any
// other termination is seen from inside as a power-off like every other, after
// which the instance may well come back, so the node is kept then unless the
// configuration says otherwise (Leave.AtPoweroff).
func (a *Agent) Watch(ctx context.Context) error {
	w := &watcher{Agent: a, assured: a.deps.Clock.Now()}
	for {
		if left, err := w.look(ctx); left || err != nil && ctx.Err() == nil {
			return err
		}
		if a.deps.Clock.Sleep(ctx, watchPoll) != nil {
			return w.goingDown(context.WithoutCancel(ctx))
		}
	}
}

// watcher is what Watch remembers from one look to the next.
type watcher struct {
	*Agent
	blind   bool // the metadata service did not answer
	rested  bool // the app was stopped for a notice
	advised bool // a rebalance recommendation was noted
	woken   bool // first boot was told to go on from the warm pool

	tried, assured time.Time // when the node was told last, because it had not been and in any case
}

// look reads the notices once and does what they ask for. left says that there
// is nothing more to watch.
func (w *watcher) look(ctx context.Context) (left bool, err error) {
	n, err := w.deps.Metadata.Notice(ctx)
	if err != nil {
		if !w.blind && ctx.Err() == nil {
			w.deps.Events.Note("cannot read the notices, trying on: " + err.Error())
		}
		w.blind = true
		return false, nil
	}
	w.blind = false
	f, by, why := foretell(n, w.conf.Leave)
	switch {
	case f == ends:
		return true, w.Agent.leave(ctx, parting{why: why, by: by})
	case f == rests && !w.rested:
		w.deps.Events.Note(why + ": draining and stopping the app; the node stays")
		w.rested = true
		w.quiesce(ctx, parting{by: by})
	case f == stays && w.rested && w.conf.App != nil:
		w.rested = false
		w.systemctl(ctx, append([]string{"start"}, w.appUnits(ctx)...)...)
	}
	if n.Target == targetInService && !w.woken && w.waiting(ctx) {
		w.woken = true
		w.systemctl(ctx, "restart", "--no-block", "bakehouse-first-boot.service")
	}
	w.tellNode(ctx)
	if !n.Rebalance.IsZero() && !w.advised {
		w.advised = true
		w.deps.Events.Note("EC2 recommends rebalancing: the risk of an interruption has risen")
	}
	return false, nil
}

// waiting says whether this instance waits in a warm pool, by its journal.
func (w *watcher) waiting(ctx context.Context) bool {
	id, err := w.deps.Metadata.InstanceID(ctx)
	if err != nil {
		return false
	}
	j, err := w.lastJournal(id)
	return err == nil && j != nil && j.Warm
}

// goingDown is the last look: the machine may be going down because it ends,
// with a notice that is younger than the last look.
func (w *watcher) goingDown(ctx context.Context) error {
	look, cancel := context.WithTimeout(ctx, lastLook)
	n, err := w.deps.Metadata.Notice(look)
	cancel()
	f, _, why := foretell(n, w.conf.Leave)
	down := w.poweringOff(ctx)
	if down && w.conf.Leave.AtPoweroff && f != ends {
		f, why, err = ends, "power-off", nil
	}
	if err != nil || f != ends {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, lastRites)
	defer cancel()
	return w.Agent.leave(ctx, parting{why: why, down: down})
}

// poweringOff says whether systemd is taking the machine down and not up again.
func (a *Agent) poweringOff(ctx context.Context) bool {
	var jobs bytes.Buffer
	if err := a.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: []string{"list-jobs", "--plain", "--no-legend"}, Out: &jobs}); err != nil {
		return false
	}
	return strings.Contains(jobs.String(), "poweroff.target") || strings.Contains(jobs.String(), "halt.target")
}

// systemctl runs systemctl; what fails is noted and goes unheeded, because
// nothing must keep a leaving instance from leaving.
func (a *Agent) systemctl(ctx context.Context, args ...string) {
	if err := a.deps.Runner.Run(ctx, Command{Path: "systemctl", Args: args}); err != nil {
		a.deps.Events.Note(fmt.Sprintf("systemctl %s: %v", strings.Join(args, " "), err))
	}
}

// lastJournal reads the journal as it is; nil when this instance has none.
func (a *Agent) lastJournal(instanceID string) (*Journal, error) {
	j, err := readJournal(a.path(agentconf.StateDir, "journal.json"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && j.InstanceID != instanceID {
		return nil, nil
	}
	return j, err
}
