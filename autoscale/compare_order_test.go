package autoscale

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestNumbersInAListStandInTheirOrder(t *testing.T) {
	t.Parallel()
	got := []string{"{adjustment:10 from:7}", "b", "{adjustment:9 from:6 to:7}", "{adjustment:2 from:10}", "a010", "a10", "a9", ""}
	slices.SortFunc(got, natural)
	if want := []string{"", "a9", "a10", "a010", "b", "{adjustment:2 from:10}", "{adjustment:9 from:6 to:7}", "{adjustment:10 from:7}"}; !slices.Equal(got, want) {
		t.Errorf("the order is %q", got)
	}
}

// Lists are compared by their text, so that only equal texts may be equal, and
// every order of a list must come out as one.
func TestTheOrderIsWhole(t *testing.T) {
	t.Parallel()
	word := rapid.StringMatching(`[ab0-2]{0,5}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		if (natural(a, b) == 0) != (a == b) || (natural(a, b) < 0) != (natural(b, a) > 0) {
			t.Fatalf("%q and %q: %d and %d", a, b, natural(a, b), natural(b, a))
		}
		if natural(a, b) < 0 && natural(b, c) < 0 && natural(a, c) >= 0 {
			t.Fatalf("%q < %q < %q, but not the first and the last", a, b, c)
		}
	})
}
