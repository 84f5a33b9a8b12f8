package bake

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
)

// Properties renders what a CI job wants of bakes as KEY=VALUE lines that both
// a shell and Java's properties format read: names without dots, values
// without blanks that matter. With several roles, each name ends in the role's.
func Properties(reports []Report) []byte {
	var b strings.Builder
	for _, r := range reports {
		suffix := ""
		if len(reports) > 1 {
			suffix = "_" + propertyName(r.Role)
		}
		for _, p := range [][2]string{
			{"BAKE_AMI_ID", r.ImageID}, {"BAKE_AMI_NAME", r.ImageName}, {"BAKE_REGION", r.Region}, {"BAKE_SNAPSHOTS", strings.Join(r.Snapshots, ",")},
			{"BAKE_ID", r.BakeID}, {"BAKE_ROLE", r.Role}, {"BAKE_RESULT", r.Result}, {"BAKE_BASE_AMI_ID", r.Inputs.Base.ID},
			{"BAKE_INPUTS_DIGEST", r.Digest}, {"BAKE_SECONDS", fmt.Sprintf("%.0f", r.Seconds)},
		} {
			fmt.Fprintf(&b, "%s%s=%s\n", p[0], suffix, propertyValue(p[1]))
		}
	}
	return []byte(b.String())
}

func propertyName(s string) string {
	return strings.ToUpper(regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(s, "_"))
}

// propertyValue keeps to characters that mean the same to a shell and to
// Java; all our values do already, but for what a person may have named.
func propertyValue(s string) string {
	return regexp.MustCompile(`[^A-Za-z0-9_.,:/@+-]`).ReplaceAllString(s, "_")
}

// junitSuites is the format that Jenkins' junit step reads (its XSD is that
// of Ant's JUnit task).
type junitSuites struct {
	XMLName xml.Name     `xml:"testsuites"`
	Suites  []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name      string      `xml:"name,attr"`
	Tests     int         `xml:"tests,attr"`
	Failures  int         `xml:"failures,attr"`
	Time      string      `xml:"time,attr"`
	Timestamp string      `xml:"timestamp,attr"`
	Cases     []junitCase `xml:"testcase"`
	Out       string      `xml:"system-out,omitempty"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// JUnit renders bakes as test suites with a case for each step, each check of
// the proof and each region that was copied to. An error that is none of
// theirs is a case of its own.
func JUnit(reports []Report) ([]byte, error) {
	var all junitSuites
	for _, r := range reports {
		all.Suites = append(all.Suites, r.junit())
	}
	b, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering the JUnit report: %w", err)
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}

func (r Report) junit() junitSuite {
	class := "bake-ami." + r.Role
	s := junitSuite{Name: "bake-ami " + r.Role, Time: seconds(r.Seconds), Timestamp: r.StartedAt.Format("2006-01-02T15:04:05"),
		Out: strings.Join(r.ConvergeTail, "\n")}
	for _, step := range r.Steps {
		s.add(junitCase{Name: step.Name, Class: class, Time: seconds(step.Seconds)}, step.Error, r.Next)
	}
	if r.Proof != nil {
		for _, check := range r.Proof.Checks {
			s.add(junitCase{Name: check.Name, Class: class + ".check", Time: seconds(check.Seconds)}, check.Error, "")
		}
	}
	for _, c := range r.Copies {
		s.add(junitCase{Name: c.Region, Class: class + ".region", Time: seconds(c.Seconds)}, c.Error, "")
	}
	if r.Error != "" && s.Failures == 0 {
		s.add(junitCase{Name: "result", Class: class, Time: "0"}, r.Error, r.Next)
	}
	s.Tests = len(s.Cases)
	return s
}

// add adds a case, failed when there is an error.
func (s *junitSuite) add(c junitCase, failed, next string) {
	if failed != "" {
		c.Failure = &junitFailure{Message: failed, Text: strings.TrimSpace(failed + "\n" + next)}
		s.Failures++
	}
	s.Cases = append(s.Cases, c)
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
