//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"testing"

	"bakehouse/test/story"
)

// bakeKind is a sort of bake that the suite strikes.
type bakeKind string

// The kinds. What they share is struck in the plain one.
const (
	plain      bakeKind = ""      // nothing but the image
	everything bakeKind = "all"   // with copy, share and publication
	proven     bakeKind = "proof" // as a bake is by default: an image of the same inputs would do, and the new one is proven
)

// tool is the call of bake-ami.
func (k bakeKind) tool(role string, args ...string) story.Tool {
	tool := s.world.BakeTool(role, args...)
	if k == proven {
		tool = without(without(tool, "--rebake"), "--no-prove")
		tool.Args = append(tool.Args, "--prove-instance-profile", "web")
	}
	return tool
}

// part is a part of the whole suite, by the word that picks it.
type part struct {
	name  string
	kind  bakeKind
	calls func(t *testing.T, plainCalls []callOf) []callOf
}

// parts are all of them: the calls of a plain bake, those that a bake with
// everything makes more often, those that only look among them, and those that
// a default bake makes beyond a plain one's.
func parts() []part {
	beside := func(t *testing.T, has []callOf, looks int) []callOf {
		return slices.DeleteFunc(added(has, record(t, everything)), func(c callOf) bool { return c.looks() != looks })
	}
	return []part{
		{"plain", plain, func(_ *testing.T, has []callOf) []callOf { return has }},
		{"added", everything, func(t *testing.T, has []callOf) []callOf { return beside(t, has, 0) }},
		{"looks", everything, func(t *testing.T, has []callOf) []callOf { return beside(t, has, 1) }},
		{"proof", proven, func(t *testing.T, has []callOf) []callOf { return beyond(has, record(t, proven)) }},
	}
}

// whole is every call of every part with every fault. BAKEHOUSE_FAULTS_OF picks
// a part, BAKEHOUSE_FAULTS_SHARD=I/N the Ith of N slices of its calls, and
// BAKEHOUSE_FAULTS_AT=REGEXP calls by name.
func whole(t *testing.T) (runs []struck) {
	of, shard := os.Getenv("BAKEHOUSE_FAULTS_OF"), os.Getenv("BAKEHOUSE_FAULTS_SHARD")
	at, err := regexp.Compile(os.Getenv("BAKEHOUSE_FAULTS_AT"))
	if err != nil {
		t.Fatal(err)
	}
	has, known := record(t, plain), false
	for _, p := range parts() {
		if of != "" && of != p.name {
			continue
		}
		known = true
		calls, err := slice(p.calls(t, has), shard)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range calls {
			for _, fault := range faultKinds() {
				if at.MatchString(c.String()) {
					runs = append(runs, struck{kind: p.kind, fault: fault, call: c})
				}
			}
		}
	}
	if !known {
		t.Fatalf("the suite has no part %q", of)
	}
	return runs
}

// slice returns the Ith of N even slices for "I/N", and all for "".
func slice(calls []callOf, shard string) ([]callOf, error) {
	i, n := 1, 1
	if shard != "" {
		if _, err := fmt.Sscanf(shard, "%d/%d", &i, &n); err != nil || i < 1 || i > n {
			return nil, fmt.Errorf("%q is no slice: write 2/5", shard)
		}
	}
	return calls[len(calls)*(i-1)/n : len(calls)*i/n], nil
}

// beyond are the calls of full that plain does not make so often: of an action
// that both call, the later ones.
func beyond(plainCalls, full []callOf) (out []callOf) {
	for _, c := range full {
		if !slices.Contains(plainCalls, c) {
			out = append(out, c)
		}
	}
	return out
}

// provenCodes are the exit codes of refusals at a bake that proves its image,
// where they differ from a plain bake's.
func provenCodes() map[string][]int {
	return map[string][]int{
		"chef:DELETE clients/INSTANCE": {7}, // part of the clean-up: the image is proven
		"chef:DELETE nodes/INSTANCE":   {7},
	}
}
