package autoscale

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Desired says what a file wants of desired capacity. Without one nobody
// writes it, except when it lies outside min and max.
type Desired struct {
	Enforce bool // else only a new group gets N
	N       int
}

// String writes d as a file does: initial:2 or enforce:2.
func (d Desired) String() string {
	if d.Enforce {
		return "enforce:" + strconv.Itoa(d.N)
	}
	return "initial:" + strconv.Itoa(d.N)
}

// setScalar reads what String writes.
func (d *Desired) setScalar(text string) error {
	how, count, ok := strings.Cut(text, ":")
	n, err := strconv.Atoi(count)
	if !ok || err != nil || n < 0 || how != "initial" && how != "enforce" {
		return fmt.Errorf("expected initial:N or enforce:N, got %q", text)
	}
	*d = Desired{how == "enforce", n}
	return nil
}

// setScalar reads the short form of a tag: a value that propagates.
func (t *Tag) setScalar(text string) error {
	propagate := true
	*t = Tag{&text, &propagate}
	return nil
}

// weighted takes TYPE or TYPE=WEIGHT apart.
func weighted(text string) (instanceType, weight string, err error) {
	instanceType, weight, has := strings.Cut(text, "=")
	if n, bad := strconv.Atoi(weight); has && (bad != nil || n < 1 || n > 999) || instanceType == "" {
		return "", "", errors.New("expected TYPE or TYPE=WEIGHT with a weight of 1 to 999")
	}
	return instanceType, weight, nil
}

// ptr is a pointer to a value of its own.
func ptr[T any](v T) *T { return &v }

// val is what p points at, or the zero value.
func val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
