package bake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/internal/fault"
)

// Redo says what an image of an earlier bake still lacks of the copies and
// shares that are wished. It is made by PlanRedo and only read.
type Redo struct {
	Image  ami.Image              `json:"image"`
	Region string                 `json:"region"`
	Copies []RedoCopy             `json:"copies"`
	Shares []distribute.SharePlan `json:"shares"`

	original types.Image
	wishes   distribute.Wishes
}

// RedoCopy is a copy that is wished, and the one that exists already, if any.
type RedoCopy struct {
	distribute.Target
	ImageID   string   `json:"image_id,omitempty"` // empty: to be made
	Snapshots []string `json:"snapshots,omitempty"`
}

// Empty says that the image lacks nothing.
func (r Redo) Empty() bool {
	for _, c := range r.Copies {
		if c.ImageID == "" {
			return false
		}
	}
	for _, s := range r.Shares {
		if !s.Empty() {
			return false
		}
	}
	return true
}

// Text renders the plan for people.
func (r Redo) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "image %s (%s) in %s, bake %s\n", r.Image.ID, r.Image.Name, r.Region, r.Image.BakeID)
	for _, c := range r.Copies {
		switch {
		case c.ImageID != "":
			fmt.Fprintf(&b, "same   %s: %s is its copy already\n", c.Region, c.ImageID)
		default:
			fmt.Fprintf(&b, "copy   %s\n", c.Target)
		}
	}
	for _, s := range r.Shares {
		what := s.ImageID
		if what == "" {
			what = "the copy"
		}
		if s.Empty() {
			fmt.Fprintf(&b, "same   %s: %s is shared with %s already\n", s.Region, what, strings.Join(s.Audience.All(), ", "))
			continue
		}
		fmt.Fprintf(&b, "share  %s: %s with %s\n", s.Region, what, strings.Join(s.Audience.All(), ", "))
		for _, n := range s.Notes() {
			fmt.Fprintf(&b, "note   %s: %s\n", s.Region, n)
		}
	}
	if r.Empty() {
		b.WriteString("nothing to do\n")
	}
	return b.String()
}

// PlanRedo looks at a baked image of a region and at what stands where copies
// and shares are wished, and changes nothing. Errors are fault.Usage for what
// cannot work, or fault.AWS.
func (w World) PlanRedo(ctx context.Context, region, id string, wishes distribute.Wishes) (Redo, error) {
	image, err := w.imageIn(ctx, region, id)
	if err != nil {
		return Redo{}, err
	}
	r := Redo{Image: ami.From(image), Region: region, Copies: []RedoCopy{}, Shares: []distribute.SharePlan{}, original: image, wishes: wishes}
	if err := r.check(w.Clock.Now()); err != nil {
		return r, err
	}
	d := w.distribution()
	if err := d.CheckMade(ctx, wishes, region, image); err != nil {
		return r, err
	}
	if err := d.CheckKeys(ctx, wishes, distribute.Source{Region: region}); err != nil {
		return r, err
	}
	// What the image itself is, CheckMade knows; its copies may fare otherwise.
	if err := d.CheckDefaults(ctx, wishes, distribute.Source{Region: region, Encrypted: true}); err != nil {
		return r, err
	}
	standing, err := d.Look(ctx, wishes.Copies, r.Image.Name, r.Image.BakeID)
	if err != nil {
		return r, err
	}
	for _, s := range standing {
		c := RedoCopy{Target: s.Target}
		if s.Existing != nil {
			c.ImageID, c.Snapshots = s.Existing.ID, s.Existing.Snapshots
		}
		r.Copies = append(r.Copies, c)
	}
	return r, w.planShares(ctx, &r)
}

// check refuses images that are not to be spread.
func (r Redo) check(now time.Time) error {
	k := r.Image
	bad := func(next, format string, args ...any) error {
		return fault.Newf(fault.Usage, next, "looking at image %s: "+format, append([]any{k.ID}, args...)...)
	}
	switch {
	case k.BakeID == "":
		return bad("name an image that bake-ami made", "no bake made it: it has no tag %s", ami.TagBakeID)
	case !k.Finished():
		return bad("wait for its bake", "its bake %s has not finished (the image is %s)", k.BakeID, k.State)
	case k.Tags[ami.TagProof] == ami.ProofFailed:
		return bad("bake again", "it failed its proof")
	case !k.Deprecated.IsZero() && !k.Deprecated.After(now):
		return bad("bake again, or take the deprecation off it", "it is deprecated since %s", k.Deprecated.Format(time.RFC3339))
	}
	return nil
}

// planShares looks who lacks what, in every region where something stands.
func (w World) planShares(ctx context.Context, r *Redo) error {
	to := r.wishes.Share
	if to.Empty() {
		return nil
	}
	p, err := w.distribution().PlanShare(ctx, r.Region, r.original, to)
	if err != nil {
		return err
	}
	r.Shares = append(r.Shares, p)
	for _, c := range r.Copies {
		p := distribute.SharePlan{Region: c.Region, Audience: to, Image: to}
		if c.ImageID != "" {
			image, err := w.imageIn(ctx, c.Region, c.ImageID)
			if err == nil {
				p, err = w.distribution().PlanShare(ctx, c.Region, image, to)
			}
			if err != nil {
				return err
			}
		}
		r.Shares = append(r.Shares, p)
	}
	return nil
}

// RedoResult is what stands after a Redo.
type RedoResult struct {
	Image  ami.Image          `json:"image"`
	Region string             `json:"region"`
	Copies []distribute.Copy  `json:"copies"`
	Shared []distribute.Share `json:"shared"`
}

// Redo carries a plan out. Regions do not depend on each other: a copy that
// was made stays although another failed, and running again makes the rest. A
// copy that failed is removed. The result is complete also when there is an
// error; it is fault.Leftover when something could not be removed.
func (w World) Redo(ctx context.Context, r Redo) (RedoResult, error) {
	out := RedoResult{Image: r.Image, Region: r.Region, Copies: []distribute.Copy{}, Shared: []distribute.Share{}}
	if len(r.Copies) > 0 {
		err := w.step(ctx, copyStep, func(ctx context.Context) (err error) {
			out.Copies, err = w.redoCopies(ctx, r)
			return err
		})
		if err != nil {
			return out, err
		}
	}
	if len(r.Shares) == 0 {
		return out, nil
	}
	return out, w.step(ctx, shareStep, func(ctx context.Context) error {
		where := []distribute.Copy{{Region: r.Region, ImageID: r.Image.ID}}
		for _, c := range append(where, out.Copies...) {
			share, err := w.shareIn(ctx, c.Region, c.ImageID, r.wishes.Share)
			if err != nil {
				return err
			}
			out.Shared = append(out.Shared, share)
		}
		return nil
	})
}

// step reports f as a step.
func (w World) step(ctx context.Context, name string, f func(context.Context) error) error {
	start := w.Clock.Now()
	w.Reporter.StepStarted(name)
	err := f(ctx)
	w.Reporter.StepDone(name, w.Clock.Now().Sub(start), err)
	return err
}

// redoExpiry is when a copy that nobody finished counts as lost.
const redoExpiry = 3 * time.Hour

// redoCopies makes the missing copies, under a journal of the image's bake.
func (w World) redoCopies(ctx context.Context, r Redo) ([]distribute.Copy, error) {
	out := make([]distribute.Copy, len(r.Copies))
	missing := false
	for i, c := range r.Copies {
		out[i] = distribute.Copy{Region: c.Region, KMSKey: c.KMSKey, ImageID: c.ImageID, Snapshots: c.Snapshots, Existing: c.ImageID != ""}
		missing = missing || c.ImageID == ""
	}
	if !missing {
		return out, nil
	}
	j, err := w.redoJournal(r)
	if err != nil {
		return out, err
	}
	copier := distribute.Copier{World: w.distribution(), Ledger: copyLedger{j}, Original: r.original, Home: r.Region,
		Expires: j.file.ExpiresAt, Token: fmt.Sprintf("copy-%s-%x", r.Image.BakeID, w.Clock.Now().UnixMilli()),
		Progress: func(region, line string) { w.Reporter.StepProgress(copyStep, region+": "+line) }}
	last := distribute.Last{Deprecate: r.Image.Deprecated, Protect: r.Image.Protected}
	errs := make([]error, len(out))
	var wait sync.WaitGroup
	for i, c := range out {
		if !c.Existing {
			wait.Go(func() { out[i], errs[i] = w.redoCopy(ctx, copier, r.Copies[i].Target, last) })
		}
	}
	wait.Wait()
	return out, w.redoVerdict(ctx, j, r, errs)
}

// redoCopy makes one copy last, or removes it.
func (w World) redoCopy(ctx context.Context, c distribute.Copier, t distribute.Target, last distribute.Last) (distribute.Copy, error) {
	made, err := c.Make(ctx, t)
	if err == nil {
		if err = c.Keep(ctx, made, last); err == nil {
			return made, nil
		}
	}
	made.Error = err.Error()
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoEach)
	defer cancel()
	if uerr := c.Remove(undo, made, last); uerr != nil {
		return made, fmt.Errorf("%w; then undoing failed: %w", err, uerr)
	}
	made.ImageID, made.Snapshots = "", nil
	return made, err
}

// redoJournal opens the journal of the image's bake anew, so that a sweep
// finds what a killed redo left. One that a dead bake left comes first.
func (w World) redoJournal(r Redo) (*journal, error) {
	id := r.Image.BakeID
	old, err := readJournals(w.StateDir)
	if err != nil {
		return nil, err
	}
	if b, here := old[id]; here {
		if b.alive {
			return nil, fault.Newf(fault.Usage, "wait for it", "copying %s: process %d works on bake %s just now", r.Image.ID, b.PID, id)
		}
		return nil, fault.Newf(fault.Usage, "run bake-ami abort "+id, "copying %s: a process that died while it worked on bake %s left things behind (%s)", r.Image.ID, id, b.path)
	}
	j, err := newJournal(w.StateDir, journalFile{BakeID: id, Role: r.Image.Role, Region: r.Region,
		Account: aws.ToString(r.original.OwnerId), ExpiresAt: w.Clock.Now().Add(redoExpiry).UTC()}, w.Clock.Now)
	if err != nil {
		return nil, fault.New(fault.Usage, "give a folder that can be written: --state-dir DIR", err)
	}
	return j, nil
}

// redoVerdict joins what went wrong and what remains of it.
func (w World) redoVerdict(ctx context.Context, j *journal, r Redo, errs []error) error {
	var failed []error
	var first error
	for _, err := range errs {
		if err != nil {
			failed = append(failed, err)
			if first == nil {
				first = err
			}
		}
	}
	lines, left := "", j.remaining()
	for _, l := range left {
		lines += "\n  left behind: " + l.Text(r.Region)
	}
	if err := j.close(); err != nil {
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		return nil
	}
	texts := make([]string, len(failed))
	for i, err := range failed {
		texts[i] = err.Error()
	}
	kind, next, text := fault.KindOf(first), fault.NextOf(first), strings.Join(texts, "; ")
	if ctx.Err() != nil {
		var known *fault.Error
		if errors.As(context.Cause(ctx), &known) {
			kind, next, text = known.Kind, known.Next, known.Error()+": "+text
		}
	}
	if len(left) > 0 {
		kind, next = fault.Leftover, "remove what is listed with the commands beside it"
	}
	return fault.Newf(kind, next, "%s%s", text, lines)
}

// WithTimeout bounds a redo, with a cause that says so.
func WithTimeout(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, limit, fault.Newf(fault.Timeout, "raise --timeout, and run it again: it goes on with what is missing", "it took longer than %s", limit))
}
