//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

func TestAFixedPollSeesAChangeAtItsNextLook(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for after, want := range map[time.Duration]time.Duration{time.Second: 5 * time.Second, 5 * time.Second: 5 * time.Second, 5001 * time.Millisecond: 10 * time.Second} {
		if got := (change{at, at.Add(after)}).fixed().Sub(at); got != want {
			t.Errorf("a change after %s is seen after %s, want %s", after, got, want)
		}
	}
}

func TestLagTableSetsBothBesideEachOther(t *testing.T) {
	t.Parallel()
	var rounds []lagRound
	for _, d := range lagDelays() {
		rounds = append(rounds, lagRound{d, map[string]float64{answers: 0.5, cleaned: 1, imaged: 2}, map[string]float64{answers: 2, cleaned: 4, imaged: 4}})
	}
	got := lagTable(rounds)
	for _, want := range []string{"| the builder answers | 0.50 | 2.00 | 0.25 |", "| the image is available, 28.1 s after the call | 2.00 | 4.00 | 0.50 |"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
