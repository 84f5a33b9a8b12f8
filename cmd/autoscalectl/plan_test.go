package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/autoscale"
)

// change replaces text of the file, and demands that it is there.
func (d *desk) change(old, new string) {
	d.t.Helper()
	b, err := os.ReadFile(d.file)
	if err != nil || !strings.Contains(string(b), old) {
		d.t.Fatalf("the file has no %q (%v)", old, err)
	}
	d.write(strings.ReplaceAll(string(b), old, new))
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestThePlanCountsWhatItDoes(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	out := d.want(0, "4 changes in 1 group: 4 new.", "plan", "FILE")
	if !strings.Contains(out, "      capacity.max: 4\n") || strings.Contains(out, "(none)") {
		t.Errorf("a new group shows more than its values:\n%s", out)
	}
	d.want(0, "", "apply", "--yes", "FILE")
	d.change("max: 4", "max: 5")
	d.change("    alarms: {busy: {namespace: AWS/EC2, metric: CPUUtilization, comparison: '>', threshold: 70, period: 300, policy: up}}\n", "    alarms: {}\n")
	out = d.want(0, "2 changes in 1 group: 1 changed, 1 gone.", "plan", "FILE")
	if !strings.Contains(out, "~ update group web") || !strings.Contains(out, "capacity.max: 4 -> 5\n") || !strings.Contains(out, "- delete alarm web|up|CPUUtilization") {
		t.Errorf("the signs or values are missing:\n%s", out)
	}
}

func TestLongListsStandLineByLine(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	const steps = "up: {type: ChangeInCapacity, steps: [{from: 0, to: 10, adjustment: 1}, {from: 10, to: 20, adjustment: 2}, {from: 20, adjustment: 3}]}"
	d.change("up: {type: ChangeInCapacity, adjustment: 1}", steps)
	out := d.want(0, "", "plan", "FILE")
	if want := "      policies.up.steps:\n        + {adjustment:1 from:0 to:10}\n        + {adjustment:2 from:10 to:20}\n        + {adjustment:3 from:20}\n"; !strings.Contains(out, want) {
		t.Errorf("the steps are not shown as\n%sbut\n%s", want, out)
	}
	d.want(0, "", "apply", "--yes", "FILE")
	d.change("adjustment: 2}", "adjustment: 5}")
	out = d.want(0, "", "plan", "FILE")
	if want := "        - {adjustment:2 from:10 to:20}\n"; !strings.Contains(out, want) || !strings.Contains(out, "+ {adjustment:5 from:10 to:20}\n") || strings.Contains(out, "+ {adjustment:1") {
		t.Errorf("one step that changes is shown as\n%s", out)
	}
	d.change("steps: [{from: 0, to: 10, adjustment: 1}, {from: 10, to: 20, adjustment: 5}, {from: 20, adjustment: 3}]", "steps: [{from: 0, adjustment: 1}]")
	d.want(0, "- {adjustment:2 from:10 to:20}", "plan", "FILE")
}

func TestColoursAreForTerminals(t *testing.T) {
	t.Parallel()
	const green = "\x1b[32m+ create group\x1b[0m"
	d := newDesk(t)
	for _, c := range []struct {
		terminal bool
		env      map[string]string
		args     []string
		colored  bool
	}{
		{false, nil, nil, false},
		{true, nil, nil, true},
		{true, map[string]string{"NO_COLOR": "1"}, nil, false},
		{true, map[string]string{"NO_COLOR": ""}, nil, true},
		{true, map[string]string{"TERM": "dumb"}, nil, false},
		{true, nil, []string{"--output", "plain"}, false},
		{true, nil, []string{"--json"}, false},
	} {
		d.colors, d.env = c.terminal, c.env
		_, out, _ := d.run(append([]string{"plan", "FILE"}, c.args...)...)
		if strings.Contains(out, green) != c.colored || !c.colored && strings.Contains(out, "\x1b") {
			t.Errorf("%+v: colours are wrong in %q", c, out)
		}
	}
}

func TestJSONIsAskedForInTwoWays(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if a, b := d.want(0, "", "plan", "--json", "FILE"), d.want(0, "", "plan", "--output", "json", "FILE"); a != b || !strings.HasPrefix(a, "{") {
		t.Errorf("--json prints\n%s\nand --output json\n%s", a, b)
	}
	d.write("version: 3")
	if _, _, errs := d.run("plan", "--json", "FILE"); !strings.HasPrefix(errs, `{"error":`) {
		t.Errorf("an error of --json is no JSON: %s", errs)
	}
}

func TestThePageOfAPlan(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.want(0, "", "apply", "--yes", "FILE")
	d.change("echo one", "echo <b>two</b>")
	page := filepath.Join(t.TempDir(), "plan.html")
	d.want(10, "2 changes", "plan", "--exit-code", "--html", page, "FILE")
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	html := string(b)
	for _, want := range []string{"<h1>2 changes in 1 group: 1 new, 1 changed</h1>", "no version has the content that the file asks for", `<span class="gone">- echo one</span>`,
		`<span class="new">&#43; echo &lt;b&gt;two&lt;/b&gt;</span>`, "prefers-color-scheme: dark", "<td>launch.version</td>"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, foreign := range []string{"<script", "src=", "href=", "url(", "@import", "ZgotmplZ"} {
		if strings.Contains(html, foreign) {
			t.Errorf("the page needs something from elsewhere, or is broken: %s", foreign)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(page), "*")); len(left) != 1 {
		t.Errorf("writing the page left %v", left)
	}
	d.want(2, "there is no folder", "plan", "--html", "/no/such/plan.html", "FILE")
	d.want(2, "it is a folder", "plan", "--html", t.TempDir(), "FILE")
	if err := writePage(page, planView{File: "x", Total: "Nothing to change", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if b, _ = os.ReadFile(page); !strings.Contains(string(b), "AWS matches the file") {
		t.Error("the page of an empty plan does not say so")
	}
}

func TestFarLinesAreFolded(t *testing.T) {
	t.Parallel()
	before := "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n"
	var got []string
	for _, l := range folded(textDiff(before, strings.Replace(before, "6\n", "six\n", 1))) {
		got = append(got, l.mark+l.text)
	}
	if s := strings.Join(got, "|"); s != "…2 lines the same| 3| 4| 5|-6|+six| 7| 8| 9|…3 lines the same" {
		t.Errorf("folded to %s", s)
	}
	if c := sign(autoscale.Change{Kind: autoscale.PutPolicy, Fields: []autoscale.Field{{Path: "x", Before: "1", After: "2"}}}); c != "~" {
		t.Errorf("a policy that changes is %s", c)
	}
}
