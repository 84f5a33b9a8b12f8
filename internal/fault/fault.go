// Package fault gives errors a kind, so that every tool of the house ends with
// the same exit code for the same cause, and a next step that the reader can
// take. Rooms attach both where the cause is known; cmd only reads them.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of thing went wrong. The zero value is Internal.
type Kind int

// The kinds, in the order of the table that Table returns.
const (
	Internal    Kind = iota // a bug or a cause that nobody classified
	Usage                   // bad flag, argument or configuration
	Chef                    // the Chef server refused, or a converge failed
	Check                   // a check, proof or health check said no
	AWS                     // AWS refused, or has no capacity
	Timeout                 // a deadline passed
	Leftover                // done, but clean-up is incomplete
	Unpublished             // built, but publishing is incomplete
	Changes                 // a plan has changes (plan --exit-code)
	Interrupt               // SIGINT, and everything was undone
	Terminated              // SIGTERM, and everything was undone
)

// Row is one line of the exit code table.
type Row struct {
	Kind    Kind
	Code    int
	Meaning string
}

// rows is the house's only exit code table; help texts and docs print it.
func rows() []Row {
	return []Row{
		{Internal, 1, "internal error"},
		{Usage, 2, "usage or invalid configuration"},
		{Chef, 3, "Chef failed"},
		{Check, 4, "check, proof or health failed"},
		{AWS, 5, "AWS refused or no capacity"},
		{Timeout, 6, "time-out"},
		{Leftover, 7, "done, but clean-up incomplete (what remains is listed)"},
		{Unpublished, 8, "built, but publishing incomplete"},
		{Changes, 10, "plan has changes (plan --exit-code)"},
		{Interrupt, 130, "interrupted (SIGINT) and cleaned"},
		{Terminated, 143, "terminated (SIGTERM) and cleaned"},
	}
}

// Table returns the exit code table without the row for success (code 0).
func Table() []Row { return rows() }

// Help renders the table for a --help text, one line a code.
func Help() string {
	var b strings.Builder
	b.WriteString("  0    done\n")
	for _, r := range rows() {
		fmt.Fprintf(&b, "  %-4d %s\n", r.Code, r.Meaning)
	}
	return b.String()
}

// Error is an error with a kind and, where one is known, a next step.
type Error struct {
	Kind Kind
	Next string // what the reader can do now, one imperative sentence; may be empty
	Err  error
}

// Error returns the cause alone; the next step is for cmd to print.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives errors.Is and errors.As the cause.
func (e *Error) Unwrap() error { return e.Err }

// New wraps err with a kind and a next step ("" when there is none to name).
// A nil err stays nil.
func New(kind Kind, next string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Next: next, Err: err}
}

// Newf is New with a formatted cause; %w works.
func Newf(kind Kind, next, format string, args ...any) error {
	return New(kind, next, fmt.Errorf(format, args...))
}

// KindOf returns the outermost kind in err's chain. An unclassified context
// deadline is Timeout; anything else without a kind is Internal.
func KindOf(err error) Kind {
	var f *Error
	if errors.As(err, &f) {
		return f.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Timeout
	}
	return Internal
}

// NextOf returns the outermost non-empty next step in err's chain.
func NextOf(err error) string {
	for err != nil {
		var f *Error
		if !errors.As(err, &f) {
			return ""
		}
		if f.Next != "" {
			return f.Next
		}
		err = f.Err
	}
	return ""
}

// ExitCode returns the process exit code for err: 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	kind := KindOf(err)
	for _, r := range rows() {
		if r.Kind == kind {
			return r.Code
		}
	}
	return 1
}
