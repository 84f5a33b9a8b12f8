package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

func TestFollowReadsItsSpread(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"": 10 * time.Minute, "--spread=0": 0, "--spread=90s": 90 * time.Second} {
		if opts, _, err := parse("follow", strings.Fields(text)); err != nil || opts.spread != want {
			t.Errorf("%q: %s, %v, want %s", text, opts.spread, err, want)
		}
	}
	for _, args := range [][]string{{"follow", "--spread", "soon"}, {"deploy", "--spread", "1m"}, {"follow", "web"}} {
		if err := dispatch(context.Background(), args, io.Discard, io.Discard); fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v", args, err)
		}
	}
}
