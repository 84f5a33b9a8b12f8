package deploy

import (
	"encoding/xml"
	"fmt"
	"io"
)

// junitSuite and its cases follow the format that CI servers read: a case for
// each host, its wave as the class.
type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Time    string        `xml:"time,attr"` // seconds
	Failure *junitMessage `xml:"failure"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}

// JUnit writes r as a JUnit report: a host that failed is a failure, even where
// the rollback restored it; one that was never touched is skipped.
func (r *Rollout) JUnit(w io.Writer) error {
	s := junitSuite{Name: fmt.Sprintf("rollout %s of %s on %s", r.Build.Short(), r.App, r.Channel)}
	for _, wave := range r.Waves {
		for _, h := range wave.Hosts {
			c := junitCase{Class: wave.Name, Name: h.Instance + " " + h.Addr, Time: fmt.Sprintf("%.3f", h.Took.Seconds())}
			switch {
			case h.Problem != "":
				s.Failures++
				c.Failure = &junitMessage{string(h.State) + ": " + h.Problem}
			case h.State != Deployed && h.State != Replaced:
				s.Skipped++
				c.Skipped = &junitMessage{string(h.State)}
			}
			s.Cases = append(s.Cases, c)
		}
	}
	s.Tests = len(s.Cases)
	b, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("rendering JUnit report: %w", err)
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", xml.Header, b); err != nil {
		return fmt.Errorf("writing JUnit report: %w", err)
	}
	return nil
}
