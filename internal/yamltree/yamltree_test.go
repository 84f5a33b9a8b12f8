package yamltree

import (
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestWhatCannotBeReadIsToldInOneLineWithItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a: [1\nb: 2": "f:", "a:\n\tb: 1": "f:2:1: found character TAB (indent with spaces)", "a: 1\n---\nb: 2": "f:3:2: a second YAML document"} {
		_, err := Parse("f", []byte(text))
		if fault.KindOf(err) != fault.Usage || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestNodesAreNamedAndScalarsReadAsWritten(t *testing.T) {
	t.Parallel()
	top, err := Parse("f", []byte("a: 007\nb: |\n  x\nc: [1]\nd: {e: 1}\ng: &h yes\ni: !!str 1\nj: null\n"))
	if err != nil {
		t.Fatal(err)
	}
	pairs, ok := Pairs(top)
	if !ok || len(pairs) != 7 {
		t.Fatalf("%d pairs", len(pairs))
	}
	var got []string
	for _, p := range pairs {
		text, plain := Scalar(p.Value)
		if _, section := Pairs(p.Value); section || !plain {
			text = Kind(p.Value)
		}
		got = append(got, text)
	}
	if want := "007,x\n,list,section,YAML anchor or alias (write the value out),YAML tag,single value"; strings.Join(got, ",") != want {
		t.Errorf("read as %q", got)
	}
	if empty, err := Parse("f", []byte("# nothing\n")); empty != nil || err != nil {
		t.Errorf("a file of comments is %v, %v", empty, err)
	}
}
