package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

const (
	defaultDrain = time.Minute
	// leaveReserve is kept of the notice's time for deregistering.
	leaveReserve = 15 * time.Second
	leastStop    = 2 * time.Second // for a unit to stop, where what came before has used up the rest
)

// parting is why and how an instance leaves.
type parting struct {
	why  string
	by   time.Time // when it is gone; zero: not known
	down bool      // systemd is taking the machine down, and stops every unit itself
}

// leave takes the instance out of service and off the Chef server: drain, stop,
// then delete its own node and client. The node goes first, because the client
// signs both requests; with the client gone nobody here could delete the node.
//
// Each step may be repeated, so a leave that was killed starts over. An
// instance that is started again after it left registers anew (rejoin).
func (a *Agent) leave(ctx context.Context, p parting) error {
	a.deps.Events.Note("leaving: " + p.why)
	if !p.down { // a first boot at work would hold the lock for a whole converge, a deploy for a whole pull
		a.systemctl(ctx, "stop", "bakehouse-first-boot.service")
		a.endHolder(ctx)
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	id, err := a.instanceID(ctx)
	if err != nil {
		return err
	}
	j, err := a.lastJournal(id)
	if j == nil || err != nil || j.left() {
		return err
	}
	s := &session{Agent: a, j: j}
	if j.Leave == nil {
		j.Leave = &Record{Stage: Leave}
	}
	j.Leave.begin(a.deps.Clock.Now())
	j.Leave.Detail = p.why
	if err := s.save(); err != nil {
		return err
	}
	if err := s.reached(LeaveRecorded); err != nil {
		return err
	}
	a.quiesce(ctx, p)
	err = s.deregister(ctx)
	s.release(ctx)
	return s.gone(ctx, err)
}

// release lets the group's termination go on; where that fails the hook's own
// time does it.
func (s *session) release(ctx context.Context) {
	h := Hook{Group: s.j.Identity.Group(), Name: s.conf.Group.TerminateHook, Instance: s.j.InstanceID}
	if h.Name == "" || h.Group == "" {
		return
	}
	if err := s.tell(ctx, h, resultContinue); err != nil {
		s.deps.Events.Note(err.Error())
	}
}

// gone records how a leave ended.
func (s *session) gone(ctx context.Context, err error) error {
	why := s.j.Leave.Detail
	s.detail = why
	return errors.Join(err, s.ended(ctx, s.j.Leave, err))
}

// left says that the instance is neither a client nor a node any more.
func (j *Journal) left() bool { return j.Leave != nil && j.Leave.State == Done }

// quiesce runs the drain command and stops the app and whatever runs Chef by
// itself (a run in the wrong moment would create the node again). Nothing here
// may keep the instance from leaving.
func (a *Agent) quiesce(ctx context.Context, p parting) {
	if a.conf.Leave.Drain != "" {
		limit := time.Duration(a.conf.Leave.DrainTimeout)
		if limit <= 0 {
			limit = defaultDrain
		}
		if !p.by.IsZero() {
			limit = min(limit, p.by.Sub(a.deps.Clock.Now())-leaveReserve)
		}
		a.drain(ctx, limit)
	}
	if p.down {
		return // a stop of our own would wait for ours to end
	}
	if a.conf.App != nil {
		a.stopUnits(ctx, p, a.appUnits(ctx)...)
	}
	a.stopUnits(ctx, p, "chef-client.timer", "chef-client.service", "cinc-client.timer", "cinc-client.service")
}

// stopUnits stops units, and waits for it as long as p leaves time. systemd goes
// on with what is not waited for any more.
func (a *Agent) stopUnits(ctx context.Context, p parting, units ...string) {
	if !p.by.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, max(p.by.Sub(a.deps.Clock.Now())-leaveReserve, leastStop))
		defer cancel()
	}
	a.systemctl(ctx, append([]string{"stop"}, units...)...)
}

// drain runs the drain command for at most limit.
func (a *Agent) drain(ctx context.Context, limit time.Duration) {
	if limit <= 0 {
		a.deps.Events.Note("no time left to drain")
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := a.deps.Runner.Run(ctx, Command{Path: a.path(a.conf.Leave.Drain), Out: a.deps.Events.Output()}); err != nil {
		a.deps.Events.Note(fmt.Sprintf("draining with %s: %v", a.conf.Leave.Drain, err))
	}
}

// deregister deletes the own node and then the own client, and the key last.
// A 401 says that the client is gone already: an earlier run, or the reaper.
func (s *session) deregister(ctx context.Context) error {
	client, err := s.chefClient()
	if err != nil {
		return err
	}
	path := s.path(client.confDir, "client.pem")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // never registered, or done by an earlier run
	}
	if err != nil {
		return fmt.Errorf("reading the client key: %w", onDisk(err))
	}
	self, err := s.deps.Chef(s.chefConfig(s.j.Node, key))
	if err != nil {
		return fmt.Errorf("preparing to talk to the Chef server: %w", err)
	}
	p := patience{For: "the Chef server", Attempts: 6, Base: time.Second, Cap: 15 * time.Second}
	err = s.retry(ctx, p, func() error { return s.deleteSelf(ctx, self) })
	if err != nil && !errors.Is(err, chefapi.ErrUnauthorized) {
		return fault.New(fault.Chef, "chef-reaper removes what is left of "+s.j.Node, err)
	}
	return wrap("removing the client key", dropTemp(path))
}

// deleteSelf deletes node and client; either may be gone already.
func (s *session) deleteSelf(ctx context.Context, self Chef) error {
	if err := self.DeleteNode(ctx, s.j.Node); err != nil {
		return finalIfForeign(err)
	}
	if err := s.reached(NodeDeleted); err != nil {
		return err
	}
	if err := self.DeleteClient(ctx, s.j.Node); err != nil {
		return finalIfForeign(err)
	}
	return s.reached(ClientDeleted)
}

// finalIfForeign stops the attempts at a 401, which no other attempt cures.
func finalIfForeign(err error) error {
	if errors.Is(err, chefapi.ErrUnauthorized) {
		return finalError{err}
	}
	return err
}

// rejoin gives an instance that left, or was leaving, and was started again a
// journal to begin anew with. The key of an unfinished leave is still the
// client's, if there is one.
func (a *Agent) rejoin(j *Journal) *Journal {
	if j.Leave == nil {
		return j
	}
	a.deps.Events.Note("the instance had left (" + j.Leave.Detail + "); registering again")
	fresh := newJournal(j.InstanceID)
	fresh.Serials = j.Serials
	if !j.left() {
		fresh.KeyFingerprint = j.KeyFingerprint
	}
	return fresh
}
