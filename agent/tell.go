package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"bakehouse/internal/agentconf"
)

const (
	reportTime = 20 * time.Second // for telling the node: nothing waits for it
	tellAgain  = 5 * time.Minute  // after which a node that could not be told is told again
	// assureNode is how often a node's word on what runs here is compared: a
	// chef-client whose run spans a deploy puts back what it had read before.
	assureNode = time.Hour
)

// report saves where the instance stands with its node, as normal attributes:
// bakehouse.release and bakehouse.last_good, from which deployctl gc knows what
// hosts may start, and bakehouse.first_boot. It comes after the Chef run has
// saved the node, and touches nothing else of it; that it failed is only worth a
// note. The journal remembers what was told: boot-agent watch makes good for an
// agent that failed at it, or was killed before.
func (s *session) report(ctx context.Context, err error) {
	if ctx.Err() != nil || errors.Is(err, ErrRebooting) || !s.j.finished(Register) || s.j.Leave != nil {
		return
	}
	var aborted abortError
	if errors.As(err, &aborted) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	values := map[string]any{"first_boot": s.standing()}
	if s.conf.App != nil {
		values["release"], values["last_good"] = s.j.Build, s.j.LastGood
	}
	known, reported := s.j.nodeTold(), s.j.Reported
	if err := s.setOwn(ctx, values); err != nil {
		s.deps.Events.Note("the node was not told where the instance stands: " + err.Error())
	} else {
		s.j.Told = &Told{s.j.Build, s.j.LastGood}
	}
	s.j.Reported = reported || s.j.Complete()
	if known == s.j.nodeTold() && reported == s.j.Reported {
		return
	}
	if err := s.save(); err != nil {
		s.deps.Events.Note(err.Error())
	}
}

// setOwn sets attributes of this instance's own node.
func (s *session) setOwn(ctx context.Context, values map[string]any) error {
	client, err := s.chefClient()
	if err != nil {
		return err
	}
	key, err := os.ReadFile(s.path(client.confDir, "client.pem"))
	if err != nil {
		return fmt.Errorf("reading the client key: %w", err)
	}
	self, err := s.deps.Chef(s.chefConfig(s.j.Node, key))
	if err != nil {
		return err
	}
	return self.SetNormal(ctx, s.j.Node, markerKey, values)
}

// tellNode sees to it that the node says what runs here: soon where it was not
// told, and now and then in any case. While a boot-agent is at work it is left
// to that one.
func (w *watcher) tellNode(ctx context.Context) {
	now := w.deps.Clock.Now()
	if w.conf.App == nil || now.Sub(w.tried) < tellAgain || locked(w.path(agentconf.StateDir, "lock")) {
		return
	}
	w.tried = now
	id, err := w.deps.Metadata.InstanceID(ctx)
	if err != nil {
		return
	}
	j, err := w.lastJournal(id)
	if err != nil || j == nil || !j.finished(Register) || j.Leave != nil || j.Build == "" {
		return
	}
	if j.nodeTold() && now.Sub(w.assured) < assureNode {
		return
	}
	w.assured = now
	if err := w.assure(ctx, id); err != nil && ctx.Err() == nil {
		w.deps.Events.Note("the node was not told what runs here: " + err.Error())
	}
}

// assure tells the node what runs here, under the lock, so that no deploy that
// begins now is overtaken.
func (w *watcher) assure(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	unlock, err := w.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	j, err := w.openJournal(id)
	if err != nil || j.Leave != nil {
		return err
	}
	s := &session{Agent: w.Agent, j: j}
	known := j.nodeTold()
	if err := s.setOwn(ctx, map[string]any{"release": j.Build, "last_good": j.LastGood}); err != nil || known {
		return err
	}
	j.Told = &Told{j.Build, j.LastGood}
	return s.save()
}
