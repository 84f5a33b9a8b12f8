package autoscale

import (
	"fmt"
	"strconv"
	"strings"

	"bakehouse/internal/fault"
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
		number := strings.TrimSpace(text[strings.LastIndexByte(text, ':')+1:])
		if _, err := strconv.Atoi(number); err != nil {
			number = "N"
		}
		return fault.Newf(fault.Usage, fmt.Sprintf("write initial:%[1]s for a new group alone, or enforce:%[1]s for each apply, without a space", number),
			"expected initial:N or enforce:N, got %q", text)
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

// shortForm is a value that may be written in one word.
type shortForm interface{ short() (string, bool) }

func (t Tag) short() (string, bool) { return val(t.Value), t.Value != nil && val(t.Propagate) }

// setScalar reads the short form of an instance type: TYPE or TYPE=WEIGHT.
func (o *Override) setScalar(text string) error {
	instanceType, weight, has := strings.Cut(text, "=")
	if n, bad := strconv.Atoi(weight); has && (bad != nil || n < 1 || n > 999) || instanceType == "" {
		return fmt.Errorf("expected TYPE or TYPE=WEIGHT with a weight of 1 to 999, got %q", text)
	}
	if *o = (Override{Type: &instanceType}); has {
		o.Weight = &weight
	}
	return nil
}

func (o Override) short() (string, bool) {
	plain := o.Type != nil && o.Requirements == nil && o.Image == nil && o.Template == nil && o.Version == nil
	if o.Weight != nil {
		return val(o.Type) + "=" + *o.Weight, plain
	}
	return val(o.Type), plain
}

// setScalar reads none.
func (m *Mixed) setScalar(text string) error {
	none, err := absent(text)
	*m = Mixed{None: none}
	return err
}

// setScalar reads none.
func (p *WarmPool) setScalar(text string) error {
	none, err := absent(text)
	*p = WarmPool{None: none}
	return err
}

func absent(text string) (*bool, error) {
	if text != "none" {
		return nil, fmt.Errorf("expected a section or none, got %q", text)
	}
	return ptr(true), nil
}

func (m Mixed) short() (string, bool) { return "none", val(m.None) }

func (p WarmPool) short() (string, bool) { return "none", val(p.None) }

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
