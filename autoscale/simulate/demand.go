package simulate

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

// Demand is how much is asked of a group over time.
type Demand interface {
	// At returns the demand at t, never negative; io.EOF after its end. Calls
	// come with times that rise.
	At(t time.Duration) (float64, error)
	// Start is the date of time zero; the zero time when demand has none.
	Start() time.Time
}

// Open opens a named trace for reading.
type Open func() (io.ReadCloser, error)

// generators are the terms of a written demand.
func generators() []string {
	return []string{"constant", "sine", "spike", "step", "ramp", "noise"}
}

// IsGenerator says that text is a written demand, and no file.
func IsGenerator(text string) bool {
	name, _, ok := strings.Cut(text, ":")
	return ok && slices.Contains(generators(), name)
}

// term is one summand of a written demand.
type term func(t time.Duration) float64

// written is a demand of several terms, and noise upon their sum.
type written struct {
	terms []term
	noise *noise
}

// ParseDemand reads a written demand: terms joined by +, such as
// "sine:mean=20,amplitude=10+spike:height=30,at=6h,for=20m+noise:sd=0.05".
// The seed decides the noise and nothing else.
func ParseDemand(text string, seed uint64) (Demand, error) {
	w := &written{}
	for part := range strings.SplitSeq(text, "+") {
		name, rest, _ := strings.Cut(strings.TrimSpace(part), ":")
		if name == "constant" && !strings.Contains(rest, "=") && rest != "" {
			rest = "of=" + rest
		}
		o := parseOptions(part, rest)
		if err := w.add(name, o, seed); err != nil {
			return nil, err
		}
		if err := o.done(); err != nil {
			return nil, err
		}
	}
	if len(w.terms) == 0 {
		return nil, fault.Newf(fault.Usage, "", "%q: noise alone is no demand; add a term such as constant:20", text)
	}
	return w, nil
}

func (w *written) add(name string, o *options, seed uint64) error {
	at, length := o.duration, o.duration
	switch name {
	case "constant":
		of := o.number("of", math.NaN(), 0)
		if math.IsNaN(of) {
			o.fail("say how much: constant:20")
		}
		w.terms = append(w.terms, func(time.Duration) float64 { return of })
	case "sine":
		mean, amplitude := o.number("mean", 10, 0), o.number("amplitude", 5, 0)
		period, peak := length("period", 24*time.Hour, time.Minute), at("peak", 14*time.Hour, 0)
		w.terms = append(w.terms, func(t time.Duration) float64 {
			return mean + amplitude*math.Cos(2*math.Pi*(t-peak).Seconds()/period.Seconds())
		})
	case "spike":
		height, from, long, every := o.number("height", 10, 0), at("at", 6*time.Hour, 0), length("for", 15*time.Minute, time.Second), at("every", 0, 0)
		w.terms = append(w.terms, func(t time.Duration) float64 {
			if t -= from; t >= 0 && every > 0 {
				t %= every
			}
			if t >= 0 && t < long {
				return height
			}
			return 0
		})
	case "step", "ramp":
		by, from := o.number("by", 10, math.Inf(-1)), at("at", 6*time.Hour, 0)
		long := time.Duration(0)
		if name == "ramp" {
			long = length("for", time.Hour, time.Second)
		}
		w.terms = append(w.terms, func(t time.Duration) float64 {
			switch t -= from; {
			case t < 0:
				return 0
			case t < long:
				return by * t.Seconds() / long.Seconds()
			}
			return by
		})
	case "noise":
		w.noise = &noise{sd: o.number("sd", 0.05, 0), hold: length("hold", time.Minute, time.Second), seed: seed, index: -1}
	default:
		return fault.Newf(fault.Usage, "", "%q: unknown term %q; expected %s", o.of, name, strings.Join(generators(), ", "))
	}
	return nil
}

// noise is a factor around 1 that is drawn anew for each stretch of hold. A
// stretch's factor depends on the seed and its number alone, so that neither
// the step nor the modes change it.
type noise struct {
	sd    float64
	hold  time.Duration
	seed  uint64
	index int64
	value float64
}

func (n *noise) at(t time.Duration) float64 {
	if i := int64(t / n.hold); i != n.index {
		n.index = i
		n.value = 1 + n.sd*rand.New(rand.NewPCG(n.seed, uint64(i))).NormFloat64()
	}
	return n.value
}

// At sums the terms.
func (w *written) At(t time.Duration) (float64, error) {
	sum := 0.0
	for _, f := range w.terms {
		sum += f(t)
	}
	if w.noise != nil {
		sum *= w.noise.at(t)
	}
	return max(sum, 0), nil
}

// Start is the zero time: a written demand has no date.
func (w *written) Start() time.Time { return time.Time{} }

// traced is demand from a file. A row holds until the next.
type traced struct {
	name   string
	open   Open
	repeat bool

	rows   *rows
	close  io.Closer
	start  time.Time
	offset time.Duration // of this reading of the file
	gap    time.Duration // between the last two rows
	now    float64
	nextAt time.Duration
	next   float64
	ended  bool
}

// TraceDemand reads a CSV with the columns time and demand as it is needed.
// When repeat is set the trace begins again at its end, one interval after its
// last row.
func TraceDemand(name string, open Open, repeat bool) (Demand, error) {
	d := &traced{name: name, open: open, repeat: repeat}
	if err := d.begin(); err != nil {
		return nil, err
	}
	d.start = d.rows.zero
	return d, nil
}

// begin opens the file and reads its first row.
func (d *traced) begin() error {
	f, err := d.open()
	if err != nil {
		return opening(err)
	}
	d.close = f
	if d.rows, err = newRows(d.name, f, "time", "demand"); err != nil {
		return err
	}
	d.rows.strict = true
	at, row, err := d.rows.next()
	if err == nil {
		d.now, err = d.rows.number(row, 1)
	}
	if err != nil {
		return err
	}
	d.nextAt = d.offset + at
	return d.read()
}

// read takes in the next row.
func (d *traced) read() error {
	at, row, err := d.rows.next()
	if errors.Is(err, io.EOF) {
		d.ended = true
		return d.close.Close()
	}
	if err != nil {
		return err
	}
	if d.next, err = d.rows.number(row, 1); err != nil {
		return err
	}
	d.gap = d.offset + at - d.nextAt
	d.nextAt = d.offset + at
	return nil
}

// At gives the last row at or before t.
func (d *traced) At(t time.Duration) (float64, error) {
	for !d.ended && d.nextAt <= t {
		d.now = d.next
		if err := d.read(); err != nil {
			return 0, err
		}
	}
	end := d.nextAt + d.gap
	switch {
	case !d.ended || t < end:
		return d.now, nil
	case d.gap == 0 && d.repeat:
		return d.now, nil // one row is a constant
	case d.gap == 0:
		return 0, fault.Newf(fault.Usage, "give --for", "%s: a trace of one row has no length", d.name)
	case !d.repeat:
		return 0, io.EOF
	}
	d.ended, d.offset = false, end
	if err := d.begin(); err != nil {
		return 0, err
	}
	return d.At(t)
}

// Start is the date of the first row, if it has one.
func (d *traced) Start() time.Time { return d.start }

// opening says why a trace cannot be read.
func opening(err error) error {
	return fault.Newf(fault.Usage, fault.NextOf(err), "opening trace: %w", err)
}
