package bake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// ended says that a call failed only because its context ended.
func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// chefFault gives a failed call to the Chef server its kind and next step.
func chefFault(doing string, err error) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	if ended(err) || fault.NextOf(err) != "" {
		return keepKind(err, fault.Chef, wrapped)
	}
	next := "check that the Chef server can be reached from here"
	switch {
	case errors.Is(err, chefapi.ErrUnauthorized):
		next = "check --chef-client and --chef-key: the server does not know that name with that key (or the clocks differ by over 15 minutes)"
	case errors.Is(err, chefapi.ErrForbidden):
		next = "give the Chef client the right to do this, or use an admin's key"
	case errors.Is(err, chefapi.ErrNotFound):
		next = "upload it to the Chef server (knife upload), or correct the name"
	}
	return fault.New(fault.Chef, next, wrapped)
}

// keepKind classifies wrapped as kind unless its cause has a kind or is the
// end of the context.
func keepKind(cause error, kind fault.Kind, wrapped error) error {
	var known *fault.Error
	if errors.As(cause, &known) || ended(cause) {
		return wrapped
	}
	return fault.New(kind, "", wrapped)
}

// diskFull says whether a guest's words are about a full disk.
func diskFull(text string) bool {
	return strings.Contains(strings.ToLower(text), "no space left on device") || strings.Contains(text, "ENOSPC")
}

// guestFault classifies a failure inside the guest; output is what the guest
// said. A full disk has one cause and one remedy wherever it shows.
func guestFault(kind fault.Kind, doing string, err error, output string) error {
	if err == nil {
		return nil
	}
	wrapped := fmt.Errorf("%s: %w", doing, err)
	if diskFull(output) || diskFull(err.Error()) {
		return fault.New(kind, "raise --root-volume-gb (bake.root_volume_gb)", fmt.Errorf("%s: the builder's disk is full: %w", doing, err))
	}
	return keepKind(err, kind, wrapped)
}
