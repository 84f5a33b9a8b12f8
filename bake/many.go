package bake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"bakehouse/internal/fault"
)

// Reports is what several bakes of one run have to say, in the order of their
// roles.
type Reports struct {
	Result string   `json:"result"` // done, or failed when one of them is
	Bakes  []Report `json:"bakes"`
}

// AllOf gathers the reports of one run.
func AllOf(bakes []Report) Reports {
	out := Reports{Result: "done", Bakes: bakes}
	for _, r := range bakes {
		if r.Result != "done" && r.Result != "reused" {
			out.Result = "failed"
		}
	}
	return out
}

// JSON renders the reports, indented, with a final newline.
func (r Reports) JSON() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the reports: %w", err)
	}
	return append(b, '\n'), nil
}

// ResolveAll resolves several roles side by side. One that cannot be baked
// refuses them all, before anything is made.
func (w World) ResolveAll(ctx context.Context, ins []Inputs) ([]Plan, error) {
	plans, errs := make([]Plan, len(ins)), make([]error, len(ins))
	var roles []string
	var wait sync.WaitGroup
	for i, in := range ins {
		roles = append(roles, in.Role)
		wait.Go(func() { plans[i], errs[i] = w.of(in.Role).Resolve(ctx, in) })
	}
	wait.Wait()
	return plans, together(roles, errs)
}

// BakeAll carries out several plans side by side. Each undoes itself when it
// fails, and leaves the others alone. The reports are complete also when there
// is an error; the error's kind is that of the first failed role, but
// fault.Leftover when something could not be removed for any of them, and
// fault.Unpublished only when every role that failed has its image.
func (w World) BakeAll(ctx context.Context, plans []Plan) (Reports, error) {
	out, errs := Reports{Bakes: make([]Report, len(plans))}, make([]error, len(plans))
	var roles []string
	var wait sync.WaitGroup
	for i, p := range plans {
		roles = append(roles, p.Recipe.Role)
		wait.Go(func() { out.Bakes[i], errs[i] = w.of(p.Recipe.Role).Bake(ctx, p) })
	}
	wait.Wait()
	return AllOf(out.Bakes), together(roles, errs)
}

// of is the same world, whose steps are reported under a role's name.
func (w World) of(role string) World {
	w.Reporter = named{w.Reporter, role + ": "}
	return w
}

// together joins the errors of several roles into one line.
func together(roles []string, errs []error) error {
	var lead, all error
	for i, err := range errs {
		if err == nil {
			continue
		}
		if lead == nil || gravity(err) > gravity(lead) {
			lead = err
		}
		err = fmt.Errorf("role %s: %w", roles[i], err)
		if all != nil {
			err = fmt.Errorf("%w; %w", all, err)
		}
		all = err
	}
	var known *fault.Error
	if !errors.As(lead, &known) {
		return all
	}
	return fault.New(fault.KindOf(lead), fault.NextOf(lead), all)
}

// gravity orders the errors of several roles: what is left behind is told
// before what was not made, and that before what was not published.
func gravity(err error) int {
	switch fault.KindOf(err) {
	case fault.Leftover:
		return 2
	case fault.Unpublished:
		return 0
	}
	return 1
}

// named puts a prefix before the names of steps.
type named struct {
	to     Reporter
	prefix string
}

// StepStarted passes on.
func (n named) StepStarted(name string) { n.to.StepStarted(n.prefix + name) }

// StepProgress passes on.
func (n named) StepProgress(name, detail string) { n.to.StepProgress(n.prefix+name, detail) }

// StepLog passes on.
func (n named) StepLog(name, line string) { n.to.StepLog(n.prefix+name, line) }

// StepDone passes on.
func (n named) StepDone(name string, took time.Duration, err error) {
	n.to.StepDone(n.prefix+name, took, err)
}

// Info passes on.
func (n named) Info(line string) { n.to.Info(n.prefix + line) }
