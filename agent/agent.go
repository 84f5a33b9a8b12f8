// Package agent is what runs on an instance: at its first boot it identifies
// the machine, registers it with Chef, converges it, pulls the app's build and
// starts it; every later deploy is the last two of these again.
//
// The chain may be killed anywhere. A journal on disk, keyed by instance id,
// says which stages are finished; an unfinished one is run again from its
// beginning, so each stage finds and keeps what an earlier run of it left.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// ErrRebooting ends FirstBoot after it asked systemd for a reboot that a Chef
// run wanted (exit code 35 or 37). The next boot resumes in the same stage.
var ErrRebooting = errors.New("rebooting as the Chef run asked; first boot resumes afterwards")

// Deps is the world around an Agent. Every field but Observe and Trace is required;
// Broker where the configuration names one.
type Deps struct {
	Root     string // prefix of every path the agent touches; "/" outside tests
	Metadata Metadata
	// Cloud is called once the region is known, at most once per run.
	Cloud func(ctx context.Context, region string) (Cloud, error)
	// Broker is called only where the configuration names one.
	Broker func(ctx context.Context, region, caFile string) (Broker, error)
	// Chef speaks to the server as the client that the configuration names.
	Chef   func(chefapi.Config) (Chef, error)
	NewKey func() (privatePEM, publicPEM []byte, err error)
	Runner Runner
	Path   []string // directories searched for chef-client and cinc-client, in order
	HTTP   Doer     // for the health check: no proxy
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Disk   Disk
	Clock  Clock
	// ClockSet says whether the machine's clock is set; the agent waits for it
	// before its first signed call.
	ClockSet func() (bool, error)
	Events   Events
	// Observe, when set, is told how each run of a stage ended.
	Observe func(Outcome)
	// Trace, when set, is told of each durable step right after it happened. An
	// error from it ends the run on the spot, with nothing more written: what a
	// SIGKILL at that point does. Tests walk through all of Points with it.
	Trace func(Point) error
}

// Cloud is what the agent uses of AWS once it knows its region.
type Cloud struct {
	Secrets Secrets
	Store   Store
	Groups  Groups
	Papers  Papers
	Stacks  Stacks
}

// Agent runs the chain for one configuration. It keeps no state between calls
// but what is on disk.
type Agent struct {
	conf agentconf.Config
	deps Deps
}

// New checks conf and returns an agent. Errors are of kind fault.Usage.
func New(conf agentconf.Config, deps Deps) (*Agent, error) {
	if err := check(conf); err != nil {
		return nil, fault.New(fault.Usage, "correct "+agentconf.ConfigPath+" and bake the image again", err)
	}
	return &Agent{conf: conf, deps: deps}, nil
}

// FirstBoot runs what is unfinished of the chain for this instance, and of a
// deploy after it that was interrupted. It returns nil at once when all is done; ErrRebooting when the machine is about to
// reboot. A cancelled ctx leaves the journal as a kill would.
func (a *Agent) FirstBoot(ctx context.Context) error {
	id, err := a.instanceID(ctx)
	if err != nil {
		return err
	}
	if done, err := a.completed(id); done || err != nil {
		return err
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// Read again: whoever held the lock may have finished the chain.
	j, err := a.openJournal(id)
	if err != nil {
		return err
	}
	j = a.rejoin(j)
	s := &session{Agent: a, j: j}
	err = s.chainInGroup(ctx)
	if err == nil && j.Complete() && j.halfDeployed() {
		a.deps.Events.Note("going on with the deploy that was interrupted")
		err = s.deploySteps(ctx)
	}
	s.report(ctx, err)
	return err
}

// completed says whether the journal on disk is that of a finished first boot of
// instanceID; it needs no lock, because such a journal only ever gains deploys.
func (a *Agent) completed(instanceID string) (bool, error) {
	j, err := readJournal(a.path(agentconf.StateDir, "journal.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || j.InstanceID != instanceID || !j.Complete() || j.halfDeployed() || j.Leave != nil || !a.told(j) || !j.Reported {
		return false, err
	}
	a.deps.Events.Note("first boot of " + instanceID + " is complete")
	return true, nil
}

// Deploy pulls the channel's build and starts it: the last two stages of the
// chain, whatever first boot has come to. It reports under Journal.Deploy. A
// build that is not healthy makes room for the last good one, and is refused
// (fault.Check) from then on.
func (a *Agent) Deploy(ctx context.Context) error { return a.deploy(ctx, session{}) }

// DeployRefused is Deploy for a build that was refused before.
func (a *Agent) DeployRefused(ctx context.Context) error {
	return a.deploy(ctx, session{retryRefused: true})
}

// deploy is Deploy with what how says of it.
func (a *Agent) deploy(ctx context.Context, how session) error {
	if a.conf.App == nil {
		return fault.Newf(fault.Usage, "set apps in bakehouse.yaml and bake the image again", "deploying: the image has no app configured")
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
	j, err := a.openJournal(id)
	if err != nil {
		return err
	}
	if j.Leave != nil {
		return fault.Newf(fault.Check, "deploy to other instances; this one registers again should it be booted again",
			"deploying: the instance has left: %s", j.Leave.Detail)
	}
	s := &how
	s.Agent, s.j = a, j
	err = s.deploySteps(ctx)
	s.report(ctx, err)
	return err
}

// deploySteps runs the steps of a deploy, and records in Journal.Deploy how far
// it came.
func (s *session) deploySteps(ctx context.Context) error {
	d := &Record{State: Running, Started: s.deps.Clock.Now()}
	s.j.Deploy = d
	for _, st := range []step{{Identify, s.identify}, {Pull, s.pull}, {Start, s.start}} {
		d.Stage = st.name
		if err := s.save(); err != nil {
			return err
		}
		if err := s.announced(ctx, st); err != nil {
			return errors.Join(err, s.ended(ctx, d, err))
		}
	}
	return s.ended(ctx, d, nil)
}

// session is one run of the chain under the lock.
type session struct {
	*Agent
	j     *Journal
	cloud *Cloud
	// retryRefused says that a build that failed here before is to be tried again.
	retryRefused bool
	// want is the build that is to run, of those that the channel names; empty:
	// whatever the channel says.
	want     release.ID
	launched time.Time // when the app was last told to start
	detail   string    // what the step at work has to say for its record, one line
	said     []string  // by the last Chef run, at its end
}

// step is a stage and what it does.
type step struct {
	name Stage
	do   func(context.Context) error
}

// chain lists the steps in the order in which they run.
func (s *session) chain() []step {
	return []step{
		{Identify, s.identify},
		{Register, s.register},
		{Converge, s.converge},
		{Pull, s.pull},
		{Start, s.startLatest},
	}
}

// runStage runs one step between two records in the journal.
func (s *session) runStage(ctx context.Context, st step) error {
	r := s.j.record(st.name)
	if s.conf.App == nil && (st.name == Pull || st.name == Start) {
		r.State, r.Detail = Skipped, "the image has no app"
		return s.save()
	}
	r.begin(s.deps.Clock.Now())
	if err := s.save(); err != nil {
		return err
	}
	err := s.announced(ctx, st)
	if err := s.ended(ctx, r, err); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	return s.reached(after(st.name))
}

// announced runs a step and tells the observer about it.
func (s *session) announced(ctx context.Context, st step) error {
	began := s.deps.Clock.Now()
	s.detail = ""
	s.deps.Events.StageStarted(st.name)
	err := st.do(ctx)
	took := s.deps.Clock.Now().Sub(began)
	s.deps.Events.StageDone(st.name, took, err)
	s.observe(st.name, took, err)
	return err
}

// ended records how a step ended. An interrupted step stays "running": it did
// not fail, and the next run takes it up again.
func (s *session) ended(ctx context.Context, r *Record, err error) error {
	var aborted abortError
	if ctx.Err() != nil || errors.As(err, &aborted) || errors.Is(err, ErrRebooting) {
		return nil
	}
	r.end(s.deps.Clock.Now(), err)
	r.Detail = s.detail
	return s.save()
}

// abortError marks an error of Trace: the run ends as if it had been killed.
type abortError struct{ error }

func (e abortError) Unwrap() error { return e.error }

// reached reports a durable step to Trace.
func (a *Agent) reached(p Point) error {
	if a.deps.Trace == nil {
		return nil
	}
	if err := a.deps.Trace(p); err != nil {
		return abortError{err}
	}
	return nil
}

// path puts an absolute path of the machine below the agent's root.
func (a *Agent) path(parts ...string) string {
	return filepath.Join(append([]string{a.deps.Root}, parts...)...)
}

// connect returns the session's cloud, opened in the instance's region.
func (s *session) connect(ctx context.Context) (*Cloud, error) {
	if s.cloud != nil {
		return s.cloud, nil
	}
	region := s.conf.Region
	if region == "" {
		region = s.j.Identity.Region
	}
	c, err := s.deps.Cloud(ctx, region)
	if err != nil {
		return nil, fmt.Errorf("connecting to AWS in %s: %w", region, err)
	}
	s.cloud = &c
	return s.cloud, nil
}

// instanceID asks who we are; it decides whose state is on disk.
func (a *Agent) instanceID(ctx context.Context) (string, error) {
	var id string
	err := a.askMetadata(ctx, "identifying the instance", func() (err error) {
		id, err = a.deps.Metadata.InstanceID(ctx)
		return err
	})
	return id, err
}

// askMetadata asks the metadata service, patiently.
func (a *Agent) askMetadata(ctx context.Context, what string, ask func() error) error {
	err := a.retry(ctx, patience{For: "the metadata service", Attempts: 6, Base: 500 * time.Millisecond, Cap: 10 * time.Second}, ask)
	return fault.New(fault.AWS, "check that the instance metadata service (IMDSv2) is enabled for this instance", wrap(what, err))
}
