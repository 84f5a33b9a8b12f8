package bake

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"
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

func TestThePageNeedsNothingElseAndEscapes(t *testing.T) {
	t.Parallel()
	b, err := HTML(someReports())
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, want := range []string{"ami-1", "launch", "FATAL: &lt;no&gt;", "login:", "base 1.0.0", "mend it", "left:90%"} {
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
