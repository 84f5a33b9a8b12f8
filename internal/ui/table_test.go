package ui

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestATableAlignsAndShowsNoCodes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	rows := [][]string{{"NAME", "STATE", "WHY"}, {"web-1", "bad", "\x1b]0;owned\x07said\n\x1b[2Jtwo\tlines"}, {"database-1", "good", ""}, {"3 hosts"}}
	if err := Table(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := "NAME        STATE  WHY\nweb-1       bad    said two lines\ndatabase-1  good\n3 hosts\n"
	if out.String() != want {
		t.Errorf("printed\n%q, want\n%q", out.String(), want)
	}
	if err := Table(full{}, rows); err == nil || !strings.HasPrefix(err.Error(), "printing result: ") {
		t.Errorf("to a full disk: %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }
