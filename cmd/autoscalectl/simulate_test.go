package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/autoscale/simulate"
)

// newPlay is a desk with the file of the balance tests.
func newPlay(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t)
	d.write(backed)
	return d
}

func TestSimulateComparesModes(t *testing.T) {
	t.Parallel()
	d := newPlay(t)
	folder := t.TempDir()
	csv, page := filepath.Join(folder, "out.csv"), filepath.Join(folder, "out.html")
	out := d.want(0, "", "simulate", "FILE", "--demand", "sample:web-day", "--spot", "sample:spot-week", "--boot", "120s", "--for", "1d12h", "--step", "30s", "--csv", csv, "--html", page)
	for _, want := range []string{"web: 1d12h in steps of 30s, from launch to service 2m, seed 1", "on_demand  ", "mixed  ", "backstop  ", "balance  ", "promise kept"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	rows, err := os.ReadFile(csv)
	if n := strings.Count(string(rows), "\n"); err != nil || n != 1+4*36*120 || !strings.HasPrefix(string(rows), simulate.RowHead) {
		t.Errorf("the CSV has %d lines (%v)", n, err)
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "<svg") {
		t.Errorf("the page has no plot (%v)", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 2 {
		t.Errorf("the folder has %v (%v)", left, err)
	}
	if len(d.aws.Calls()) != 0 {
		t.Errorf("a simulation asks AWS: %v", d.aws.Calls())
	}
}

func TestSimulateSpeaksJSON(t *testing.T) {
	t.Parallel()
	d := newPlay(t)
	var r simulate.Report
	out := d.want(0, "", "simulate", "FILE", "--demand", "constant:5", "--spot", "model:mtbf=3h,price=0.4", "--modes", "balance", "--output", "json")
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Modes) != 1 || r.Modes[0].Promise == nil || r.Seconds != 86400 || len(r.Modes[0].CostUnknown) != 0 {
		t.Errorf("%v in %s", err, out)
	}
}

func TestSimulateChecksThePromise(t *testing.T) {
	t.Parallel()
	d := newPlay(t)
	play := []string{"simulate", "FILE", "--demand", "constant:10", "--spot", "model:mtbf=2h,recovery=1h,notice=0s", "--check"}
	d.want(0, "promise kept (at most 60 % short", append(play, "--modes", "balance")...)
	d.want(4, "the promise is broken in mode mixed, balance", append(play, "--modes", "mixed,balance", "--promise", "0,10s")...)
	d.want(0, "promise kept", append(play, "--modes", "balance", "--promise", "100,0s")...)
	d.want(2, "no mode promises anything to check", append(play, "--modes", "on_demand")...)
}

func TestSimulateRefuses(t *testing.T) {
	t.Parallel()
	d := newPlay(t)
	folder := t.TempDir()
	trace := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct {
		want string
		args []string
	}{
		{"missing --demand", nil},
		{"there is no sample trace \"none\"; there are spot-week, web-day", []string{"--demand", "sample:none"}},
		{"no such file or directory", []string{"--demand", "none.csv"}},
		{"falls.csv:4:1: the time 30 does not come after", []string{"--demand", trace("falls.csv", "time,demand\n0,1\n60,1\n30,1\n120,1\n")}},
		{"empty.csv: the trace is empty", []string{"--demand", trace("empty.csv", "")}},
		{"pool.csv:2:3: the group has no pool", []string{"--demand", "constant:1", "--spot", trace("pool.csv", "time,pool,price,available\n0,m5.large,,1\n")}},
		{`the file has no group "none"`, []string{"--demand", "constant:1", "--group", "none"}},
		{`got "fast"`, []string{"--demand", "constant:1", "--modes", "fast"}},
		{"the boot time must be", []string{"--demand", "constant:1", "--boot", "-3s"}},
		{"the step must be", []string{"--demand", "constant:1", "--step", "0s"}},
		{"--service-time 0s, --workers 4: want both more than zero", []string{"--demand", "constant:1", "--service-time", "0s"}},
		{"the workers of a unit must be from 1 to 1000", []string{"--demand", "constant:1", "--workers", "2000"}},
		{"the service time must be from a millisecond to a minute", []string{"--demand", "constant:1", "--service-time", "2m"}},
		{"--for soon", []string{"--demand", "constant:1", "--for", "soon"}},
		{"--start soon", []string{"--demand", "constant:1", "--start", "soon"}},
		{"--price free", []string{"--demand", "constant:1", "--price", "free"}},
		{"--losses 0", []string{"--demand", "constant:1", "--losses", "0"}},
		{"--promise 10", []string{"--demand", "constant:1", "--promise", "10"}},
		{"--notice -1s", []string{"--demand", "constant:1", "--spot", "model", "--notice", "-1s"}},
		{"writing --csv " + folder + "/none/a.csv: no such file or directory", []string{"--demand", "constant:1", "--csv", folder + "/none/a.csv"}},
		{"writing --html", []string{"--demand", "constant:1", "--html", folder + "/none/a.html"}},
		{"together and every go with each other", []string{"--demand", "constant:1", "--spot", "model:together=2"}},
	} {
		d.want(2, c.want, append([]string{"simulate", "FILE"}, c.args...)...)
	}
	d.write(strings.Replace(backed, "groups:\n", "groups:\n  other: {capacity: {mode: backstop, min: 1, max: 2}, launch: {image: ami-1, type: t3.large}, network: {zones: [us-east-1a]}}\n", 1))
	d.want(2, "missing --group: the file has other, web", "simulate", "FILE", "--demand", "constant:1")
}
