package simulate

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

// readAll reads a trace of demand to its end.
func readAll(csv string) error {
	d, err := TraceDemand("t.csv", text(csv), false)
	for at := time.Duration(0); err == nil; at += time.Second {
		_, err = d.At(at)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func readMarket(csv string) error {
	m, err := TraceMarket("p.csv", text(csv), []Pool{{"t3.large", "us-east-1a", 1}, {"t3.large", "us-east-1b", 1}}, Told{Notice: time.Minute})
	if err == nil {
		_, err = m.Until(time.Hour)
	}
	return err
}

func TestBadTracesNameTheirPlace(t *testing.T) {
	t.Parallel()
	const head, pool = "time,demand\n", "time,pool,price,available\n"
	for _, c := range []struct {
		read func(string) error
		csv  string
		want string
	}{
		{readAll, "", "t.csv: the trace is empty"},
		{readAll, head, "t.csv: the trace has a head and no rows"},
		{readAll, "when,demand\n0,1\n", "t.csv:1:1: expected the head time,demand"},
		{readAll, "time\n0\n", "t.csv:1:1: expected the head"},
		{readAll, "time,demand,more\n0,1,2\n", `t.csv:1:13: unknown column "more"`},
		{readAll, head + "0,1\n60\n", "t.csv:3:1: expected 2 fields (time,demand)"},
		{readAll, head + "0,1\n60,x\n", `t.csv:3:4: demand: expected a number of 0 or more, got "x"`},
		{readAll, head + "0,1\n60,-3\n", "t.csv:3:4: demand: expected a number"},
		{readAll, head + "0,1\n60,NaN\n", "t.csv:3:4: demand: expected a number"},
		{readAll, head + "0,1\n60,2\n60,3\n", "t.csv:4:1: the time 60 does not come after that of the row before (1m0s)"},
		{readAll, head + "0,1\n60,2\n30,3\n", "t.csv:4:1: the time 30 does not come after"},
		{readAll, head + "-5,1\n", "t.csv:2:1: the time -5 is negative"},
		{readAll, head + "noon,1\n", `t.csv:2:1: "noon" is no time`},
		{readAll, head + "2026-01-05T00:00:00Z,1\n60,1\n", `t.csv:3:1: "60" is no date`},
		{readAll, head + "0,1\n2026-01-05T00:00:00Z,1\n", `t.csv:3:1: "2026-01-05T00:00:00Z" is a date`},
		{readAll, head + "0,\"1\n", "t.csv:"},
		{readAll, head + "0,1\n", "t.csv: a trace of one row has no length"},
		{readAll, "# a comment\n" + head + "0,1\n60,2\n", ""},
		{readAll, head + "2026-01-05T00:00:00Z,1\n2026-01-05T00:01:00Z,1\n", ""},
		{readMarket, pool + "0,#1,,1\n60,#9,,1\n", ""},
		{readMarket, pool + "0,t3.large/us-east-1a,34%,1\n0,#2,0.03,0\n", ""},
		{readMarket, pool + "0,#1,,1\n60,#1,,0\n60,#2,,0\n60,#1,,1\n", "p.csv:5:4: pool #1 has two rows at the time 60"},
		{readMarket, pool, "p.csv: the trace has a head and no rows"},
		{readMarket, pool + "0,m5.large/us-east-1a,,1\n", `p.csv:2:3: the group has no pool "m5.large/us-east-1a"; it has t3.large/us-east-1a, t3.large/us-east-1b`},
		{readMarket, pool + "0,#0,,1\n", "p.csv:2:3: the group has no pool"},
		{readMarket, pool + "0,#1,cheap,1\n", "p.csv:2:6: price"},
		{readMarket, pool + "0,#1,-3%,1\n", "p.csv:2:6: price"},
		{readMarket, pool + "0,#1,,yes\n", `p.csv:2:7: available: expected 1 or 0, got "yes"`},
		{readMarket, pool + "60,#1,,1\n0,#1,,1\n", "p.csv:3:1: the time 0 does not come after"},
	} {
		err := c.read(c.csv)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Usage) {
			t.Errorf("%q: %v; want %q", c.csv, err, c.want)
		}
	}
}

func TestBadWords(t *testing.T) {
	t.Parallel()
	demand := func(s string) error { _, err := ParseDemand(s, 1); return err }
	market := func(s string) error { _, err := ParseMarket(s, 3, 1); return err }
	modes := func(s string) error { _, err := ParseModes(s); return err }
	for _, c := range []struct {
		read func(string) error
		text string
		want string
	}{
		{demand, "constant", "say how much"},
		{demand, "constant:-1", "of: expected a number of 0 or more"},
		{demand, "sine:mean", "expected KEY=VALUE"},
		{demand, "sine:mean=1,mean=2", "each key once"},
		{demand, "sine:men=1", `unknown key "men"; expected some of amplitude, mean, peak, period`},
		{demand, "sine:period=0s", "period: expected a duration of 1m0s or more"},
		{demand, "noise:sd=0.1", "noise alone is no demand"},
		{demand, "constant:1+wave:a=1", `unknown term "wave"`},
		{demand, "constant:1+step:by=-1,at=1h+ramp:by=5,at=1d,for=2h+spike:height=1,every=1h", ""},
		{market, "model:mtbf=x", "mtbf: expected a duration"},
		{market, "model:together=4,every=1h", "the group has 3 pools"},
		{market, "model:together=2", "together and every go with each other"},
		{market, "model:together=1.5,every=1h", "expected a whole number"},
		{market, "model:price=-1", "price: expected a number of 0 or more"},
		{market, "model", ""},
		{modes, "mixed,spot", `got "spot"`},
		{modes, "mixed,mixed", "each once"},
		{modes, "", ""},
	} {
		err := c.read(c.text)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || fault.KindOf(err) != fault.Usage) {
			t.Errorf("%q: %v; want %q", c.text, err, c.want)
		}
	}
}

func TestWrittenDemand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		at   time.Duration
		want float64
	}{
		{"constant:20", time.Hour, 20},
		{"sine:mean=20,amplitude=10,peak=14h", 14 * time.Hour, 30},
		{"sine:mean=20,amplitude=10,peak=14h", 2 * time.Hour, 10},
		{"sine:mean=5,amplitude=10", 2 * time.Hour, 0}, // never negative
		{"constant:1+spike:height=5,at=1h,for=10m", time.Hour + 9*time.Minute, 6},
		{"constant:1+spike:height=5,at=1h,for=10m", time.Hour + 10*time.Minute, 1},
		{"constant:1+spike:height=5,at=1h,for=10m,every=1d", 25 * time.Hour, 6},
		{"constant:1+step:by=3,at=1h", time.Hour, 4},
		{"constant:1+ramp:by=4,at=1h,for=1h", 90 * time.Minute, 3},
		{"constant:1+ramp:by=4,at=1h,for=1h", 9 * time.Hour, 5},
	} {
		d, err := ParseDemand(c.text, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := d.At(c.at); err != nil || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%s at %s is %v (%v), want %v", c.text, c.at, got, err, c.want)
		}
	}
}

func TestATraceHoldsAndRepeats(t *testing.T) {
	t.Parallel()
	d, err := TraceDemand("t.csv", text("time,demand\n0,1\n60,2\n120,3\n"), true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for at := time.Duration(0); at < 6*time.Minute; at += 30 * time.Second {
		v, err := d.At(at)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprint(v))
	}
	if s := strings.Join(got, " "); s != "1 1 2 2 3 3 1 1 2 2 3 3" {
		t.Errorf("the trace gives %s", s)
	}
}

// endless gives rows as long as it is read.
type endless struct {
	row, read int
	rest      []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.row++; e.row == 1 {
			e.rest = []byte("time,demand\n")
		} else {
			e.rest = fmt.Appendf(nil, "%d,%d\n", e.row, e.row%50)
		}
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	e.read += n
	return n, nil
}

func (e *endless) Close() error { return nil }

func TestTracesAreReadAsTheyAreNeeded(t *testing.T) {
	t.Parallel()
	e := &endless{}
	d, err := TraceDemand("t.csv", func() (io.ReadCloser, error) { return e, nil }, false)
	if err == nil {
		_, err = d.At(time.Minute)
	}
	if err != nil || e.read > 64<<10 {
		t.Errorf("for one minute %d bytes were read (%v)", e.read, err)
	}
}

func TestMetricMath(t *testing.T) {
	t.Parallel()
	v := map[string]float64{"a": 6, "b": 4, "none": math.NaN(), "zero": 0}
	for expression, want := range map[string]float64{
		"a + b * 2": 14, "(a + b) * 2": 20, "a - b - 1": 1, "-a + b": -2, "2 ^ 3": 8, "a / b": 1.5, "a / zero": math.NaN(), "a + none": math.NaN(),
		"FILL(none, 7) + 1": 8, "IF(a > b, a, b)": 6, "IF(a < b, a, b)": 4, "IF(a >= 6 AND b != 4, 1, 2)": 2, "IF(a == 6 || none > 1, 1, 2)": math.NaN(),
		"MAX([a, b])": 6, "MIN(a, b, 1)": 1, "SUM([a, b])": 10, "AVG([a, b])": 5, "CEIL(a / b)": 2, "FLOOR(a / b)": 1, "ABS(b - a)": 2, "if(a > b, 1, 0)": 1,
	} {
		f, err := compile(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		if got := f(v); got != want && !(math.IsNaN(got) && math.IsNaN(want)) {
			t.Errorf("%s is %v, want %v", expression, got, want)
		}
	}
	for _, bad := range []string{"", "a +", "(a", "a b", "RATE(a)", "IF(a, b)", "MAX([a, b)", "a $ b", "FILL()"} {
		if _, err := compile(bad); err == nil {
			t.Errorf("%q is no error", bad)
		}
	}
}
