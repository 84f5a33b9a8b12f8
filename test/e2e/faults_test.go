//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The faults that every call of a bake meets in turn.
const (
	throttled = "throttled once"
	refused   = "fails for good"
	lostReply = "lost reply"
	sigterm   = "SIGTERM"
	sigkill   = "SIGKILL + sweep"
)

// faultKinds are the columns of the table.
func faultKinds() []string { return []string{throttled, refused, lostReply, sigterm, sigkill} }

// callOf is the nth call of an action in a bake. Service "chef" is the Chef
// server, whose actions are method and kind of object.
type callOf struct {
	service, action string
	nth             int
}

// name is the call's, told from those of the other kinds of bake.
func (r struck) name() string {
	if r.kind != plain {
		return string(r.kind) + ": " + r.call.String()
	}
	return r.call.String()
}

func (c callOf) String() string { return fmt.Sprintf("%s:%s #%d", c.service, c.action, c.nth) }

// struck is one run: a bake in which one call met one fault.
type struck struct {
	lane   int // which of those side by side
	kind   bakeKind
	call   callOf
	fault  string
	bakeID string
	ran    bool
	hit    bool // false: this bake never made the call
	code   int
	took   time.Duration
	left   []string // right after the bake, where nothing may be left unsaid
	wrong  []string // what the suite demands and did not get
	stderr string
}

// hangs is how long a bake with a fault may take: throttled calls and undo
// wait some seconds, and the machine is shared.
const hangs = 4 * time.Minute

// sample is what the bounded form runs: each fault, at the calls where it
// hurts most.
func sample() []struck {
	at := func(fault, service, action string) struck {
		return struck{fault: fault, call: callOf{service, action, 1}}
	}
	full := func(r struck) struck {
		r.kind = everything
		return r
	}
	proof := func(r struck) struck {
		r.kind, r.call.nth = proven, 2 // the first is the builder's
		return r
	}
	return []struck{
		at(throttled, "ec2", "CreateSecurityGroup"),
		at(refused, "ec2", "TerminateInstances"), at(refused, "chef", "DELETE nodes/BAKE"),
		at(lostReply, "ec2", "RunInstances"), at(lostReply, "ec2", "CreateImage"), at(lostReply, "chef", "POST clients"),
		at(sigterm, "ec2", "RunInstances"), at(sigterm, "ec2", "CreateImage"),
		at(sigkill, "ec2", "RunInstances"), at(sigkill, "ec2", "CreateImage"), at(sigkill, "chef", "POST nodes"),
		full(at(lostReply, "ec2", "CopyImage")), full(at(refused, "ssm", "PutParameter")), full(at(sigkill, "ec2", "CopyImage")),
		proof(at(sigkill, "ec2", "RunInstances")),
	}
}

// TestNoFaultLeavesAnything runs the sample, or with BAKEHOUSE_FAULTS=FILE all
// of it, and then writes the table to FILE.
func TestNoFaultLeavesAnything(t *testing.T) {
	before, err := s.world.Census(deadline(t, 10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	uploadLaneRoles(t)
	file := os.Getenv("BAKEHOUSE_FAULTS")
	runs := sample()
	if file != "" {
		runs = whole(t)
	}
	strikeAll(runs)
	for _, r := range runs {
		if len(r.wrong) > 0 {
			t.Errorf("%s at %s (bake %s, exit %d, %.0f s): %s\n%s", r.fault, r.name(), r.bakeID, r.code, r.took.Seconds(), strings.Join(r.wrong, "; "), tail(r.stderr))
		}
		if file == "" && r.ran && !r.hit {
			t.Errorf("%s at %s: the bake never made that call", r.fault, r.name())
		}
	}
	unchanged(t, before)
	if err := s.ctx.Err(); err != nil {
		t.Error("not all of it was run:", err)
	}
	if table := faultTable(runs); file == "" {
		t.Log("\n" + table)
	} else if err := os.WriteFile(file, []byte(table), 0o644); err != nil {
		t.Error(err)
	}
}

// strikeAll runs a few bakes side by side: they wait most of the time.
func strikeAll(runs []struck) {
	var wait sync.WaitGroup
	next := make(chan *struck)
	for lane := range lanes {
		wait.Go(func() {
			for r := range next {
				if s.ctx.Err() != nil {
					continue // interrupted: the table tells what was run until then
				}
				r.lane, r.ran = lane, true
				if err := strike(r); err != nil {
					r.wrong = append(r.wrong, err.Error())
				}
				if len(r.wrong) > 0 {
					fmt.Fprintf(os.Stderr, "faults: %s at %s: %s\n", r.fault, r.name(), strings.Join(r.wrong, "; "))
				}
			}
		})
	}
	for i := range runs {
		next <- &runs[i]
		if n := i + 1; n%20 == 0 {
			fmt.Fprintf(os.Stderr, "faults: %d of %d\n", n, len(runs))
		}
	}
	close(next)
	wait.Wait()
}

// strike runs one bake with its fault and fills in how it went.
func strike(r *struck) error {
	ctx, cancel := context.WithTimeoutCause(s.ctx, 2*hangs, fmt.Errorf("it hangs: %v", 2*hangs))
	defer cancel()
	b := &struckBake{struck: *r}
	defer func() { *r = b.struck }()
	if err := b.set(ctx); err != nil {
		return fmt.Errorf("setting the stage: %w", err)
	}
	err := b.run(ctx)
	return errors.Join(err, dropImages(ctx, b.bakeID), b.unset(ctx))
}

// run bakes, looks at what is left, and sweeps what may be.
func (b *struckBake) run(ctx context.Context) error {
	if err := b.bake(ctx); err != nil {
		return err
	}
	b.judge()
	left, err := leftOf(ctx, b.bakeID)
	if err != nil {
		return err
	}
	b.left = left
	if len(left) > 0 && b.code >= 0 && !strings.Contains(b.stderr, "left behind:") {
		b.wrong = append(b.wrong, "left behind and not said: "+strings.Join(left, ", "))
	}
	if len(left) > 0 || b.fault == sigkill || strings.Contains(b.stderr, "left behind:") {
		if err := b.sweep(ctx); err != nil {
			return err
		}
	}
	if left, err = leftOf(ctx, b.bakeID); err == nil && len(left) > 0 {
		b.wrong = append(b.wrong, "left after the sweep: "+strings.Join(left, ", "))
	}
	if files, _ := filepath.Glob(filepath.Join(b.state, "bakes", "*")); len(files) > 0 {
		b.wrong = append(b.wrong, fmt.Sprintf("journals left: %v", files))
	}
	wrong, err := b.consistent(ctx)
	b.wrong = append(b.wrong, wrong...)
	return err
}

// judge compares the exit code with what the fault may come to.
func (b *struckBake) judge() {
	if want := b.expected(); !slices.Contains(want, b.code) {
		b.wrong = append(b.wrong, fmt.Sprintf("exit code %d, want one of %v", b.code, want))
	}
	if b.took > hangs {
		b.wrong = append(b.wrong, fmt.Sprintf("it took %v", b.took.Round(time.Second)))
	}
}

// expected lists the exit codes that are right.
func (b *struckBake) expected() []int {
	if !b.hit {
		return []int{0} // the call was not made this time: nothing happened
	}
	switch b.fault {
	case sigkill:
		return []int{-1}
	case sigterm:
		if b.image != "" && b.kind == everything {
			return []int{0, 8} // the image is kept; what was not published is listed
		}
		if b.image != "" {
			return []int{0} // the image was made already: the bake ends as if nothing had been
		}
		return []int{143}
	case refused:
		if codes, ok := fullCodes()[b.call.service+":"+b.call.action]; ok && b.kind == everything {
			return codes
		}
		if codes, ok := provenCodes()[b.call.service+":"+b.call.action]; ok && b.kind == proven {
			return codes
		}
		if codes, ok := refusedCodes()[b.call.service+":"+b.call.action]; ok {
			return codes
		}
		if b.call.service == "chef" {
			return []int{3}
		}
		return []int{5}
	}
	return []int{0}
}

// refusedCodes are the exit codes of refusals that do not simply end the bake
// with "AWS refused" or "Chef failed".
func refusedCodes() map[string][]int {
	return map[string][]int{
		"ec2:DescribeSnapshots":    {0},    // asked only to show progress
		"ec2:DescribeInstances":    {5, 7}, // 7 once the image is made: then it is the clean-up that cannot see
		"ec2:TerminateInstances":   {7},    // part of the clean-up: the image is made
		"ec2:DeleteSecurityGroup":  {7},
		"chef:DELETE clients/BAKE": {7},
		"chef:DELETE nodes/BAKE":   {7},
	}
}

// faultTable renders calls × faults: exit code and seconds, or what was wrong.
func faultTable(runs []struck) string {
	var b strings.Builder
	ran, leaks, bad, cells, rows := 0, 0, 0, map[string]string{}, []string{}
	for _, r := range runs {
		name, text := r.name(), fmt.Sprintf("exit %d, %.0f s", r.code, r.took.Seconds())
		if r.ran {
			ran++
		}
		switch {
		case !r.ran:
			text = "not run"
		case len(r.wrong) > 0:
			text = "**" + strings.Join(r.wrong, "; ") + "**"
			bad++
		case !r.hit:
			text = "not called"
		case r.code < 0:
			text = "swept"
		case len(r.left) > 0:
			text += ", listed, swept"
		}
		if strings.Contains(text, "left") {
			leaks++
		}
		if !slices.Contains(rows, name) {
			rows = append(rows, name)
		}
		cells[name+r.fault] = text
	}
	fmt.Fprintf(&b, "| call | %s |\n|---|%s\n", strings.Join(faultKinds(), " | "), strings.Repeat("---|", len(faultKinds())))
	for _, name := range rows {
		fmt.Fprintf(&b, "| `%s` |", name)
		for _, f := range faultKinds() {
			fmt.Fprintf(&b, " %s |", cells[name+f])
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%d bakes, %d calls × %d faults: %d leaks, %d not as documented.\n", ran, len(rows), len(faultKinds()), leaks, bad)
	return b.String()
}
