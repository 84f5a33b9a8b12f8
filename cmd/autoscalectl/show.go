package main

import (
	"fmt"
	"io"
	"strings"

	"bakehouse/autoscale"
)

func changes(n int) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
}

// printPlan shows a plan group by group, with before, after and reason.
func printPlan(w io.Writer, p autoscale.Plan) error {
	var b strings.Builder
	group := ""
	for _, c := range p.Changes {
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(&b, "%s\n", group)
		}
		fmt.Fprintf(&b, "  %s %s: %s\n", c.Kind, c.Name, c.Reason)
		for _, f := range c.Fields {
			showField(&b, f)
		}
	}
	if p.Empty() {
		b.WriteString("Nothing to change: AWS matches the file.\n")
	} else {
		fmt.Fprintf(&b, "%s.\n", changes(len(p.Changes)))
	}
	return printed(io.WriteString(w, b.String()))
}

func showField(b *strings.Builder, f autoscale.Field) {
	if !strings.Contains(f.Before+f.After, "\n") {
		fmt.Fprintf(b, "      %s: %s -> %s\n", f.Path, orNone(f.Before), orNone(f.After))
		return
	}
	fmt.Fprintf(b, "      %s:\n", f.Path)
	for _, line := range textDiff(f.Before, f.After) {
		fmt.Fprintf(b, "        %s\n", line)
	}
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// textDiff lists the lines of both texts, marked - for gone, + for new and a
// blank for kept, by the longest common subsequence.
func textDiff(before, after string) []string {
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
	var out []string
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
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
