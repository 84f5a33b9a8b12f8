package bake

import (
	"encoding/xml"
	"slices"
	"strings"
	"testing"
	"time"

	"bakehouse/bake/distribute"
	"bakehouse/bake/inventory"
)

// reports are a good and a failed bake.
func someReports() []Report {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	good := Report{BakeID: bakeA, Result: "done", Role: "web", Region: "us-east-1", ImageID: "ami-1", ImageName: "web (new)", Snapshots: []string{"snap-1", "snap-2"},
		StartedAt: at, EndedAt: at.Add(10 * time.Second), Seconds: 10, Inputs: Recipe{Cookbooks: map[string]string{"base": "1.0.0"}},
		Steps: []StepTime{{Name: "launch", Started: at, Seconds: 4}, {Name: "clean up", Started: at.Add(9 * time.Second), Seconds: 1}}}
	bad := good
	bad.Role, bad.Result, bad.ImageID, bad.Error, bad.Next = "work-er", "failed", "", "converging: <exit> 1", "mend it"
	bad.Steps = []StepTime{{Name: "converge", Started: at, Seconds: 4, Error: "converging: <exit> 1"}}
	bad.ConvergeTail, bad.Console = []string{"FATAL: <no>"}, []string{"login:"}
	return []Report{good, bad}
}

func TestPropertiesAreShellAndJava(t *testing.T) {
	t.Parallel()
	one := string(Properties(someReports()[:1]))
	for _, want := range []string{"BAKE_AMI_ID=ami-1\n", "BAKE_AMI_NAME=web__new_\n", "BAKE_SNAPSHOTS=snap-1,snap-2\n", "BAKE_RESULT=done\n"} {
		if !strings.Contains(one, want) {
			t.Errorf("no line %q in\n%s", want, one)
		}
	}
	both := string(Properties(someReports()))
	for _, want := range []string{"BAKE_AMI_ID_WEB=ami-1\n", "BAKE_AMI_ID_WORK_ER=\n", "BAKE_RESULT_WORK_ER=failed\n"} {
		if !strings.Contains(both, want) {
			t.Errorf("no line %q in\n%s", want, both)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(both), "\n") {
		if key, _, _ := strings.Cut(line, "="); strings.ContainsAny(key, ". ") {
			t.Errorf("a shell cannot read %q", line)
		}
	}
}

func TestJUnitHasACaseForEachStep(t *testing.T) {
	t.Parallel()
	b, err := JUnit(someReports())
	if err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	if len(got.Suites) != 2 || got.Suites[0].Tests != 2 || got.Suites[0].Failures != 0 || got.Suites[1].Failures != 1 {
		t.Fatalf("suites: %s", b)
	}
	c := got.Suites[1].Cases[0]
	if c.Name != "converge" || c.Failure == nil || c.Failure.Message != "converging: <exit> 1" || !strings.Contains(c.Failure.Text, "mend it") {
		t.Errorf("the failed case is %+v", c)
	}
	early := Report{Role: "web", Error: "asking AWS: no"} // before any step
	if b, err = JUnit([]Report{early}); err != nil || !strings.Contains(string(b), `failures="1"`) {
		t.Errorf("an error of no step: %v\n%s", err, b)
	}
}

func TestJUnitHasACaseForEachCheckAndRegion(t *testing.T) {
	t.Parallel()
	r := someReports()[0]
	r.Proof = &Proof{Checks: []CheckResult{{Name: "port 80", Seconds: 0.5}, {Name: "file /x", Seconds: 1, Error: "not <there>"}}}
	r.Copies = []distribute.Copy{{Region: "eu-west-1", ImageID: "ami-2", Seconds: 3}, {Region: "us-west-2", Error: "no key"}}
	b, err := JUnit([]Report{r})
	if err != nil {
		t.Fatal(err)
	}
	const want = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="bake-ami web" tests="6" failures="2" time="10.000" timestamp="2026-05-01T12:00:00">
    <testcase name="launch" classname="bake-ami.web" time="4.000"></testcase>
    <testcase name="clean up" classname="bake-ami.web" time="1.000"></testcase>
    <testcase name="port 80" classname="bake-ami.web.check" time="0.500"></testcase>
    <testcase name="file /x" classname="bake-ami.web.check" time="1.000">
      <failure message="not &lt;there&gt;">not &lt;there&gt;</failure>
    </testcase>
    <testcase name="eu-west-1" classname="bake-ami.web.region" time="3.000"></testcase>
    <testcase name="us-west-2" classname="bake-ami.web.region" time="0.000">
      <failure message="no key">no key</failure>
    </testcase>
  </testsuite>
</testsuites>
`
	if string(b) != want {
		t.Errorf("got\n%s\nwant\n%s", b, want)
	}
}

func TestThePriceIsThatOfWhatRan(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	step := func(name string, from, to int, failed string) StepTime {
		return StepTime{Name: name, Started: at.Add(time.Duration(from) * time.Minute), Seconds: float64(to-from) * 60, Error: failed}
	}
	r := Report{Region: "us-east-1", ImageID: "ami-1", StartedAt: at, EndedAt: at.Add(60 * time.Minute),
		Inputs: Recipe{RootGB: 10, Disk: Disk{Type: "gp3"}},
		Steps:  []StepTime{step("launch", 1, 2, ""), step(awaitStep, 30, 31, ""), step("prove", 40, 46, "")},
		Copies: []distribute.Copy{{Region: "eu-west-1", ImageID: "ami-2"}, {Region: "us-west-2", Error: "x"}, {Region: "eu-central-1", ImageID: "ami-3", Existing: true}}}
	r.Launch.InstanceType, r.Launch.Market = "t3.small", MarketSpot
	r.estimate()
	var got []string
	for _, l := range r.Cost.Lines {
		got = append(got, l.What+": "+l.How)
	}
	want := []string{"builder t3.small: at most, bought on the spot market: 30m0s at 0.0208 an hour", "prover t3.small: 6m0s at 0.0208 an hour",
		"builder's volume: 10 GB of gp3 for 59m0s at 0.0800 a GB and month", "prover's volume: 10 GB of gp3 for 6m0s at 0.0800 a GB and month",
		"image in us-east-1: at most: 10 GB at 0.0500 a GB and month; empty blocks cost nothing", "image in eu-west-1: at most: 10 GB at 0.0500 a GB and month; empty blocks cost nothing"}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	r.Steps[1].Error, r.ImageID, r.Copies, r.Cost = "no", "", nil, nil
	if r.estimate(); len(r.Cost.Lines) != 4 || !strings.Contains(r.Cost.Lines[0].How, "59m0s") {
		t.Errorf("a builder that was not stopped runs to the end: %+v", r.Cost)
	}
	var refused Report
	if refused.estimate(); refused.Cost != nil {
		t.Errorf("nothing ran: %+v", refused.Cost)
	}
}

func TestTheScaleHasRoundNumbers(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{0: "", 0.5: "0.1 s 0.2 s 0.3 s 0.4 s", 12: "2 s 4 s 6 s 8 s 10 s", 61: "10 s 20 s 30 s 40 s 50 s", 400: "1 min 2 min 3 min 4 min 5 min 6 min", 3000: "10 min 20 min 30 min 40 min"} {
		at := time.Unix(0, 0)
		var got []string
		for _, k := range ticks(Report{StartedAt: at, EndedAt: at.Add(time.Duration(seconds * float64(time.Second)))}) {
			got = append(got, k.Text)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%v s: %q, want %q", seconds, text, want)
		}
	}
}

func TestThePageNeedsNothingElseAndEscapes(t *testing.T) {
	t.Parallel()
	reports := someReports()
	reports[0].Inventory = &inventory.Inventory{Facts: inventory.Facts{Packages: []inventory.Package{{Name: "<script>x</script>", Version: "1"}}}}
	d := inventory.Compare(inventory.Named{Label: "ami-0"}, inventory.Named{Label: "ami-1", Inventory: *reports[0].Inventory})
	reports[0].Changes, reports[1].ChangesNote = &d, "nobody <knows>"
	b, err := HTML(reports)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"ami-1", "launch", "FATAL: &lt;no&gt;", "login:", "base 1.0.0", "mend it", "left:90%", "&lt;script&gt;x", "nobody &lt;knows&gt;", "added"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"<script", "http://", "https://", "ZgotmplZ", "FATAL: <no>"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
}
