//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestThePeersTableTellsOverheadAndRatios(t *testing.T) {
	t.Parallel()
	if s := convergeTime("x\nChef Infra Client finished, 3/5 resources updated in 12.5 seconds\n"); s != 12.5 {
		t.Errorf("the converge took %v s, want 12.5", s)
	}
	ours := []peerRound{{wall: 20, converge: 10, machine: 6, ec2: 8, calls: 10, rss: 30 << 10}}
	packer := []peerRound{{wall: 40, converge: 10, machine: 6, ec2: 20, calls: 20, rss: 300 << 10}}
	tuned := []peerRound{{wall: 24, converge: 10, machine: 6, ec2: 25, calls: 25, rss: 300 << 10}}
	table := peerTable([]contender{{name: "bake-ami"}, {name: "Packer"}, {name: "Packer, tuned"}}, [][]peerRound{ours, packer, tuned})
	for _, want := range []string{"overhead, s | 4.0 | 24.0 | 8.0 | 0.17 | 0.50 |", "all AWS API calls | 10 | 20 | 25 | 0.50 | 0.40 |", "| EC2 API calls | 8 | 20 | 25 | 0.40 | 0.32 |", "MiB | 30 | 300 | 300 | 0.10 | 0.10 |"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q:\n%s", want, table)
		}
	}
}
