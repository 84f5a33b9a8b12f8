package chefrepo

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// version is x.y.z; parts that are left out are 0.
type version [3]int

func parseVersion(s string) (version, error) {
	var v version
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return v, fmt.Errorf("%q is not x.y or x.y.z", s)
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return v, fmt.Errorf("%q is not x.y or x.y.z", s)
		}
		v[i] = n
	}
	return v, nil
}

// constraint is a predicate such as "~> 1.2".
type constraint func(version) bool

// parseConstraint reads Chef's version constraints
// (docs.chef.io/cookbook_versioning#constraints).
func parseConstraint(s string) (constraint, error) {
	m := regexp.MustCompile(`^\s*(=|!=|>=|<=|>|<|~>)?\s*([0-9.]+)\s*$`).FindStringSubmatch(s)
	if m == nil {
		return nil, fmt.Errorf("%q is not a version constraint such as %q", s, "~> 1.2")
	}
	want, err := parseVersion(m[2])
	if err != nil {
		return nil, err
	}
	order := func(v version) int { return slices.Compare(v[:], want[:]) }
	switch m[1] {
	case ">=":
		return func(v version) bool { return order(v) >= 0 }, nil
	case "<=":
		return func(v version) bool { return order(v) <= 0 }, nil
	case ">":
		return func(v version) bool { return order(v) > 0 }, nil
	case "<":
		return func(v version) bool { return order(v) < 0 }, nil
	case "!=":
		return func(v version) bool { return order(v) != 0 }, nil
	case "~>":
		fixed := max(1, strings.Count(m[2], ".")) // all parts but the last one given
		return func(v version) bool { return order(v) >= 0 && slices.Equal(v[:fixed], want[:fixed]) }, nil
	}
	return func(v version) bool { return order(v) == 0 }, nil
}

// fits says whether a cookbook's version meets a constraint ("" is any).
// Both were checked when they were read.
func fits(have, want string) bool {
	c, err := parseConstraint(orAny(want))
	if err != nil {
		return false
	}
	v, err := parseVersion(have)
	return err == nil && c(v)
}
