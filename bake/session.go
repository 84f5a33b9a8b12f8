package bake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/bake/publish"
	"bakehouse/internal/fault"
	"bakehouse/internal/secret"
)

// Session is one bake under way: what its steps have made and found out.
type Session struct {
	World
	plan    Plan
	journal *journal
	hostKey keyPair // the builder's, pinned
	userKey keyPair // ours

	group    string // security group of the builder
	token    string // client token of the launch
	tried    []Attempt
	instance string // the builder
	private  string // its address, from the reply to its launch
	launched time.Time
	booted   time.Duration // from the launch to its first answer; 0: not known
	ending   time.Time     // when EC2 took the order to end it; zero: not yet
	addr     string        // where its SSH answers
	machine  Machine       // connected builder
	chefKey  secret.Bytes  // private key of the bake's Chef client, PEM
	client   string        // path of chef-client or cinc-client in the builder
	image    string
	snaps    []string
	siblings []ami.Image        // of the image, and itself: all of its role when it was made, the newest first
	copying  *distribute.Copier // nil: no copy has begun
	copies   []distribute.Copy
	shared   []distribute.Share

	resumed   string        // set apart from the bake that it resumes; empty: it is the first
	kept      bool          // the image is finished: whatever fails from now on, it stays
	published *publish.Plan // nil: publishing has not begun

	stock              // what the image holds
	converged []string // the converge's last lines
	console   []string // the builder's console, when the bake failed
	machineID string   // the builder's
	prover    *prover  // nil: no proof has begun

	step  string // name of the running step
	times []StepTime
}

// Step is one action of a bake. Undo removes what Run made, whole or in part;
// it is called when Run failed, too, and must stand being called in vain.
type Step struct {
	Name    string
	Timeout time.Duration // of Run; 0: the bake's own
	Run     func(*Session, context.Context) error
	Undo    func(*Session, context.Context) error // nil: Run makes nothing that outlives the builder
	Product bool                                  // what Run made is the result: undone on failure only
	Keeps   bool                                  // once Run is through, the product stays whatever fails later
	// Actions are the IAM actions that Run and Undo use, beside those that
	// reach into the builder.
	Actions []string
}

// steps lists what a bake does, in order.
func steps(p Plan) []Step {
	var list []Step
	if p.Recipe.ChefMode == ChefServerMode {
		list = append(list, Step{Name: "chef node", Timeout: 2 * time.Minute, Run: (*Session).makeNode, Undo: (*Session).removeNode})
	}
	if p.Launch.SecurityGroup == "" && p.Launch.Transport != TransportSSM {
		list = append(list, Step{Name: "security group", Timeout: 2 * time.Minute, Run: (*Session).makeGroup, Undo: (*Session).removeGroup, Actions: groupActions()})
	}
	list = append(list,
		Step{Name: "launch", Timeout: 5 * time.Minute, Run: (*Session).launch, Undo: (*Session).terminate, Actions: p.launchActions()},
		Step{Name: "boot", Timeout: 10 * time.Minute, Run: (*Session).boot, Actions: []string{actDescribeInstances}},
		Step{Name: "connect", Timeout: 5 * time.Minute, Run: (*Session).connect, Undo: (*Session).disconnect},
		Step{Name: "cloud-init", Timeout: 15 * time.Minute, Run: (*Session).awaitCloudInit},
		Step{Name: "install chef", Timeout: 15 * time.Minute, Run: (*Session).installChef},
		Step{Name: "converge", Run: (*Session).converge, Actions: []string{actReboot}},
		Step{Name: "install agent", Timeout: 10 * time.Minute, Run: (*Session).installAgent},
		Step{Name: "inventory", Timeout: 5 * time.Minute, Run: (*Session).takeInventory},
		Step{Name: "scrub", Timeout: 10 * time.Minute, Run: (*Session).scrub},
		Step{Name: "create image", Timeout: 5 * time.Minute, Run: (*Session).createImage, Undo: (*Session).removeImage, Product: true, Actions: p.imageActions()},
		Step{Name: "wait for image", Run: (*Session).awaitImage, Actions: []string{actDescribeImages, actDescribeSnapshots, actModifyImage, actTerminate}},
	)
	if !p.inputs.Prove.Skip {
		list = append(list, Step{Name: "prove", Run: (*Session).prove, Undo: (*Session).removeProver, Actions: p.proveActions()})
	}
	if len(p.inputs.Distribute.Copies) > 0 {
		list = append(list, Step{Name: copyStep, Run: (*Session).copyImage, Undo: (*Session).removeCopies, Product: true, Actions: p.copyActions()})
	}
	if !p.inputs.Distribute.Share.Empty() {
		list = append(list, Step{Name: shareStep, Timeout: 10 * time.Minute, Run: (*Session).shareImage, Actions: p.shareActions()})
	}
	list = append(list, Step{Name: "store inventory", Timeout: 2 * time.Minute, Run: (*Session).storeInventory, Actions: p.storeActions()})
	list = append(list, Step{Name: "keep image", Timeout: 5 * time.Minute, Run: (*Session).keep, Keeps: true, Actions: p.keepActions()})
	if !p.inputs.Publish.Empty() {
		list = append(list, Step{Name: publishStep, Timeout: 10 * time.Minute, Run: (*Session).publish, Actions: p.inputs.Publish.Actions()})
	}
	return list
}

// The steps that Bake adds for its undos.
const (
	undoStep    = "undo"
	cleanUpStep = "clean up"
)

// logf passes a line on as output of the running step.
func (s *Session) logf(format string, args ...any) {
	s.Reporter.StepLog(s.step, fmt.Sprintf(format, args...))
}

// progress tells how the running step stands.
func (s *Session) progress(format string, args ...any) {
	s.Reporter.StepProgress(s.step, fmt.Sprintf(format, args...))
}

// timed runs f as a step: reported, and bounded by limit unless that is 0.
func (s *Session) timed(ctx context.Context, name string, limit time.Duration, f func(context.Context) error) error {
	start := s.Clock.Now()
	s.step = name
	s.Reporter.StepStarted(name)
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, stepTooLong(name, limit))
		defer cancel()
	}
	err := f(ctx)
	if err != nil && ctx.Err() != nil {
		err = outOfTime(ctx, name, err)
	}
	took := s.Clock.Now().Sub(start)
	s.Reporter.StepDone(name, took, err)
	s.times = append(s.times, stepTime(name, start, took, err))
	return err
}

func stepTooLong(name string, limit time.Duration) error {
	return fault.Newf(fault.Timeout, "look at the builder's console output, or bake again", "step %s took longer than %s", name, limit)
}

func bakeTooLong(limit time.Duration) error {
	return fault.Newf(fault.Timeout, "raise --timeout (bake.timeout)", "the bake took longer than %s", limit)
}

// outOfTime puts why the context ended into an error that its end brought
// about: a limit of ours, or whatever the caller gave as cause (a signal).
func outOfTime(ctx context.Context, name string, err error) error {
	cause := context.Cause(ctx)
	if errors.Is(err, cause) && err.Error() != cause.Error() {
		return err
	}
	var known *fault.Error
	if errors.As(cause, &known) {
		return fault.New(known.Kind, known.Next, fmt.Errorf("%w: %w", cause, err))
	}
	return fmt.Errorf("%w in step %s", cause, name)
}
