package simulate

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

// rows reads a trace row by row: a head that names the columns, then rows
// whose times do not fall. Errors name file, line and column.
type rows struct {
	name    string
	in      *csv.Reader
	columns []string
	zero    time.Time // of a trace whose times are dates
	dated   bool
	last    time.Duration
	started bool
	strict  bool // times must rise, not only not fall
}

// newRows reads the head; a trace without the columns asked for is refused.
func newRows(name string, r io.Reader, columns ...string) (*rows, error) {
	t := &rows{name: name, in: csv.NewReader(r), columns: columns}
	t.in.ReuseRecord, t.in.TrimLeadingSpace, t.in.Comment = true, true, '#'
	head, err := t.in.Read()
	if errors.Is(err, io.EOF) {
		return nil, fault.Newf(fault.Usage, "write a head and a row for each time: "+strings.Join(columns, ","), "%s: the trace is empty", name)
	}
	if err != nil {
		return nil, t.broken(err)
	}
	for i, want := range columns {
		if i >= len(head) || strings.TrimSpace(head[i]) != want {
			return nil, t.wrong(min(i, len(head)-1), "expected the head %s", strings.Join(columns, ","))
		}
	}
	if len(head) > len(columns) {
		return nil, t.wrong(len(columns), "unknown column %q; expected the head %s", head[len(columns)], strings.Join(columns, ","))
	}
	return t, nil
}

// next returns a row with its time since the first row that has a date, or as
// it is written; io.EOF after the last one. The fields are valid until the
// next call.
func (t *rows) next() (time.Duration, []string, error) {
	row, err := t.in.Read()
	if errors.Is(err, io.EOF) {
		if !t.started {
			return 0, nil, fault.Newf(fault.Usage, "add rows below the head", "%s: the trace has a head and no rows", t.name)
		}
		return 0, nil, io.EOF
	}
	if err != nil {
		return 0, nil, t.broken(err)
	}
	at, err := t.time(strings.TrimSpace(row[0]))
	if err != nil {
		return 0, nil, err
	}
	if t.started && (at < t.last || t.strict && at == t.last) {
		return 0, nil, t.wrong(0, "the time %s does not come after that of the row before (%s)", row[0], t.last)
	}
	if at < 0 {
		return 0, nil, t.wrong(0, "the time %s is negative", row[0])
	}
	t.last, t.started = at, true
	return at, row, nil
}

// time reads seconds, a duration such as 90m, or a date of RFC 3339.
func (t *rows) time(text string) (time.Duration, error) {
	if when, err := time.Parse(time.RFC3339, text); err == nil {
		if !t.started {
			t.zero, t.dated = when, true
		}
		if t.dated {
			return when.Sub(t.zero), nil
		}
		return 0, t.wrong(0, "%q is a date, but the rows before count from zero", text)
	}
	if t.dated {
		return 0, t.wrong(0, "%q is no date, but the rows before have dates", text)
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return ofSeconds(seconds), nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return d, nil
	}
	return 0, t.wrong(0, "%q is no time: write seconds, a duration such as 90m, or a date such as 2026-11-23T19:00:00Z", text)
}

func ofSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// number reads a figure that is not negative.
func (t *rows) number(row []string, i int) (float64, error) {
	text := strings.TrimSpace(row[i])
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < 0 || v > 1e12 || v != v {
		return 0, t.wrong(i, "%s: expected a number of 0 or more, got %q", t.columns[i], text)
	}
	return v, nil
}

func (t *rows) wrong(field int, format string, args ...any) error {
	line, column := t.in.FieldPos(max(field, 0))
	return fault.Newf(fault.Usage, "", "%s:%d:%d: %s", t.name, line, column, fmt.Sprintf(format, args...))
}

// broken tells where the CSV itself is wrong.
func (t *rows) broken(err error) error {
	var p *csv.ParseError
	if errors.As(err, &p) {
		what := p.Err.Error()
		if errors.Is(p.Err, csv.ErrFieldCount) {
			what = fmt.Sprintf("expected %d fields (%s)", len(t.columns), strings.Join(t.columns, ","))
		}
		return fault.Newf(fault.Usage, "", "%s:%d:%d: %s", t.name, p.Line, p.Column, what)
	}
	return fault.Newf(fault.Usage, "", "reading %s: %w", t.name, err)
}

// options reads KEY=VALUE,… of a generator or model; each key once.
type options struct {
	of   string // as written, for the errors
	have map[string]string
	used []string
	err  error
}

func parseOptions(of, text string) *options {
	o := &options{of: of, have: map[string]string{}}
	if text == "" {
		return o
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := o.have[key]; !ok || key == "" || value == "" || twice {
			o.fail("expected KEY=VALUE, each key once; got %q", part)
			return o
		}
		o.have[key] = value
	}
	return o
}

func (o *options) fail(format string, args ...any) {
	if o.err == nil {
		o.err = fault.Newf(fault.Usage, "", "%q: %s", o.of, fmt.Sprintf(format, args...))
	}
}

func (o *options) text(key, or string) string {
	o.used = append(o.used, key)
	if v, ok := o.have[key]; ok {
		return v
	}
	return or
}

// number reads a figure of at least least.
func (o *options) number(key string, or, least float64) float64 {
	text := o.text(key, "")
	if text == "" {
		return or
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v < least || v > 1e12 || v != v {
		o.fail("%s: expected a number of %g or more, got %q", key, least, text)
	}
	return v
}

func (o *options) count(key string, or, least int) int {
	v := o.number(key, float64(or), float64(least))
	if v != float64(int(v)) {
		o.fail("%s: expected a whole number, got %g", key, v)
	}
	return int(v)
}

// duration reads a time of at least least.
func (o *options) duration(key string, or, least time.Duration) time.Duration {
	text := o.text(key, "")
	if text == "" {
		return or
	}
	v, err := ParseDuration(text)
	if err != nil || v < least {
		o.fail("%s: expected a duration of %s or more, got %q", key, least, text)
	}
	return v
}

// done refuses keys that nobody asked for.
func (o *options) done() error {
	for key := range o.have {
		if !slices.Contains(o.used, key) {
			slices.Sort(o.used)
			o.fail("unknown key %q; expected some of %s", key, strings.Join(o.used, ", "))
		}
	}
	return o.err
}

// ParseDuration reads what time.ParseDuration does, and days: 7d or 1d12h.
func ParseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseFloat(days, 64)
	if err != nil || n < 0 || n > 36500 {
		return 0, fmt.Errorf("cannot read duration %q", text)
	}
	total := time.Duration(n * 24 * float64(time.Hour))
	if rest == "" {
		return total, nil
	}
	more, err := time.ParseDuration(rest)
	return total + more, err
}
