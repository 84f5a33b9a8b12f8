package main

import (
	"fmt"
	"strings"
)

// diffLine is one line of a text diff. Its mark is - for gone, + for new, …
// for lines left out, and a blank for kept.
type diffLine struct{ mark, text string }

// textDiff lists the lines of both texts by the longest common subsequence.
// User data has at most 16 KiB, so a table of all pairs is small.
func textDiff(before, after string) []diffLine {
	a, b := lines(before), lines(after)
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []diffLine
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, diffLine{" ", a[i]})
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, diffLine{"-", a[i]})
			i++
		default:
			out = append(out, diffLine{"+", b[j]})
			j++
		}
	}
	return out
}

func lines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// around is how many kept lines stay on either side of a change.
const around = 3

// folded leaves out kept lines that are far from any change.
func folded(all []diffLine) []diffLine {
	near := make([]bool, len(all))
	for i, l := range all {
		if l.mark == " " {
			continue
		}
		for k := max(0, i-around); k <= min(len(all)-1, i+around); k++ {
			near[k] = true
		}
	}
	var out []diffLine
	for i := 0; i < len(all); i++ {
		if near[i] {
			out = append(out, all[i])
			continue
		}
		from := i
		for i+1 < len(all) && !near[i+1] {
			i++
		}
		if n := i - from + 1; n > 1 {
			out = append(out, diffLine{"…", fmt.Sprintf("%d lines the same", n)})
		} else {
			out = append(out, all[i])
		}
	}
	return out
}
