package autoscale

import (
	"context"
	"fmt"
	"strings"
	"time"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// Outcome is what became of one change.
type Outcome struct {
	Change Change
	Err    error // nil: done
	// Skipped says that an earlier change of the same group failed, so this
	// one was not tried.
	Skipped bool
	Took    time.Duration
}

// Progress hears of changes as they go; calls come from one goroutine.
type Progress interface {
	Started(Change)
	Done(Outcome)
}

// tries bounds how often a change is sent that AWS was too busy for.
const tries = 6

// Apply carries p out in its order. After a failure it skips the rest of that
// group, whose later changes may lean on the failed one, both halves of it
// where it has two, and goes on with the
// next: a run after the cause is gone finishes the rest. The outcomes are one
// per change; the error names the first failure and counts the others.
func (p Plan) Apply(ctx context.Context, w World, o Observed, progress Progress) ([]Outcome, error) {
	var outcomes []Outcome
	var first error
	failed, skipped := 0, 0
	runs, stopped := map[string]*run{}, map[string]bool{} // by group, and by written group
	for _, c := range p.Changes {
		r := runs[c.Group]
		if r == nil {
			r = &run{w: w, group: c.Group, arns: map[string]string{}}
			for name, arn := range o.Groups[c.Group].PolicyARNs {
				r.arns[name] = arn
			}
			runs[c.Group] = r
		}
		out := Outcome{Change: c, Skipped: stopped[c.Written()] || ctx.Err() != nil}
		if !out.Skipped {
			progress.Started(c)
			started := w.Now()
			out.Err = r.retry(ctx, c)
			out.Took = w.Now().Sub(started)
		}
		switch {
		case out.Skipped:
			skipped++
		case out.Err != nil:
			failed++
			stopped[c.Written()] = true
			if first == nil {
				first = out.Err
			}
		}
		outcomes = append(outcomes, out)
		progress.Done(out)
	}
	if first == nil && ctx.Err() != nil {
		first = context.Cause(ctx)
	}
	if first == nil {
		return outcomes, nil
	}
	done := len(p.Changes) - failed - skipped
	next := fault.NextOf(first)
	if fault.KindOf(first) == fault.AWS {
		next = "remove the cause and run it again: what is done stays done; " + next
	}
	return outcomes, fault.New(fault.KindOf(first), next,
		fmt.Errorf("applying plan: %d of %d changes done, %d failed, %d not tried: %w", done, len(p.Changes), failed, skipped, first))
}

// run is one group's part of a plan under way.
type run struct {
	w       World
	group   string
	made    bool              // something of this group was made a moment ago
	version string            // of the launch template, once created
	arns    map[string]string // of policies by name
}

// retry sends c until AWS is not too busy for it, with growing pauses.
func (r *run) retry(ctx context.Context, c Change) error {
	pause := time.Second
	for n := 1; ; n++ {
		err := c.do(ctx, r)
		if err == nil {
			r.made = r.made || strings.HasPrefix(string(c.Kind), "create") || c.Kind == PutPolicy
			return nil
		}
		if awserr.IsRefreshing(err) {
			return r.refreshing(ctx, c)
		}
		// What was made a moment ago may not be everywhere yet.
		young := r.made && awserr.IsUnseen(err)
		if n == tries || !awserr.IsThrottle(err) && !awserr.IsBusy(err) && !young {
			return refused(fmt.Sprintf("%s: %s %s", r.group, c.Kind, c.Name), err)
		}
		if err := r.w.Sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, 30*time.Second)
	}
}

// arn finds a policy's ARN. Put answers it; an answer without one is asked
// after.
func (r *run) arn(ctx context.Context, policy string) (string, error) {
	if arn := r.arns[policy]; arn != "" {
		return arn, nil
	}
	out, err := r.w.Groups.DescribePolicies(ctx, &as.DescribePoliciesInput{AutoScalingGroupName: &r.group, PolicyNames: []string{policy}})
	if err != nil {
		return "", err
	}
	for _, p := range out.ScalingPolicies {
		if val(p.PolicyName) == policy && val(p.AutoScalingGroupName) == r.group {
			r.arns[policy] = val(p.PolicyARN)
			return val(p.PolicyARN), nil
		}
	}
	return "", fmt.Errorf("finding policy %s: AWS does not list it", policy)
}
