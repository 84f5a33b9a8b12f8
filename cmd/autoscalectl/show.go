package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"bakehouse/autoscale"
)

func changes(n int) string { return many(n, "change") }

func many(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// sign says at a glance what a change does: + something new, - something that
// goes, ~ all else.
func sign(c autoscale.Change) string {
	for _, taking := range []string{"delete", "detach", "disable"} {
		if strings.HasPrefix(string(c.Kind), taking) {
			return "-"
		}
	}
	for _, giving := range []string{"create", "put", "attach", "enable"} {
		if strings.HasPrefix(string(c.Kind), giving) && (giving == "create" || fresh(c.Fields)) {
			return "+"
		}
	}
	return "~"
}

// fresh says that nothing was there before.
func fresh(fields []autoscale.Field) bool {
	for _, f := range fields {
		if f.Before != "" {
			return false
		}
	}
	return true
}

func signColor(sign string) color { return map[string]color{"+": green, "-": red, "~": yellow}[sign] }

// tallyOf counts a plan's changes by sign, and its groups.
func tallyOf(p autoscale.Plan) (signs map[string]int, groups int) {
	signs = map[string]int{}
	seen := map[string]bool{}
	for _, c := range p.Changes {
		signs[sign(c)]++
		seen[c.Region+" "+c.Written()] = true
	}
	return signs, len(seen)
}

// total is a plan in one line: 4 changes in 1 group: 3 new, 1 changed.
func total(p autoscale.Plan) string {
	signs, groups := tallyOf(p)
	var parts []string
	for _, s := range []struct{ sign, word string }{{"+", "new"}, {"~", "changed"}, {"-", "gone"}} {
		if n := signs[s.sign]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s.word))
		}
	}
	return fmt.Sprintf("%s in %s: %s", changes(len(p.Changes)), many(groups, "group"), strings.Join(parts, ", "))
}

// printPlan shows the plan of a file.
func printPlan(w io.Writer, p painter, plan autoscale.Plan) error { return showPlan(w, p, plan, "") }

// showPlan shows a plan group by group, with before, after and reason;
// nothing is what to say of an empty one.
func showPlan(w io.Writer, p painter, plan autoscale.Plan, nothing string) error {
	var b strings.Builder
	group, regions := "", regionsOf(plan)
	for _, c := range plan.Changes {
		if title := heading(c, regions); title != group {
			group = title
			fmt.Fprintf(&b, "%s\n", p.in(bold, group))
		}
		s := sign(c)
		fmt.Fprintf(&b, "  %s %s: %s\n", p.in(signColor(s), s+" "+string(c.Kind)), c.Name, p.in(dim, c.Reason))
		for _, f := range c.Fields {
			if c.Kind == autoscale.StartRefresh && f.Before == "" {
				showField(&b, p, "+", f) // a setting, not a change
				continue
			}
			showField(&b, p, s, f)
		}
	}
	if plan.Empty() {
		fmt.Fprintln(&b, cmp.Or(nothing, "Nothing to change: AWS matches the file."))
	} else {
		fmt.Fprintf(&b, "%s.\n", p.in(bold, total(plan)))
	}
	notes(&b, p, plan)
	return printed(io.WriteString(w, b.String()))
}

// showField shows a field: its value where something is new or goes, both
// values where it changes, the lines that differ where it is a text.
func showField(b *strings.Builder, p painter, s string, f autoscale.Field) {
	if f.Note != "" {
		defer fmt.Fprintf(b, "        %s\n", p.in(dim, f.Note))
	}
	if len(f.Path)+len(f.Before)+len(f.After) > widest {
		f.Before, f.After = oneEach(f.Before), oneEach(f.After)
	}
	if !strings.Contains(f.Before+f.After, "\n") {
		if s != "~" && (f.Before == "" || f.After == "") {
			fmt.Fprintf(b, "      %s: %s\n", f.Path, p.in(signColor(s), f.Before+f.After))
			return
		}
		fmt.Fprintf(b, "      %s: %s -> %s\n", f.Path, p.in(red, orNone(f.Before)), p.in(green, orNone(f.After)))
		return
	}
	fmt.Fprintf(b, "      %s:\n", f.Path)
	for _, l := range folded(textDiff(f.Before, f.After)) {
		line := strings.TrimRight(l.mark+" "+l.text, " ")
		fmt.Fprintf(b, "        %s\n", p.in(map[string]color{"+": green, "-": red, "…": dim}[l.mark], line))
	}
}

// widest is how long a field may be to stand in one line: with its margin, on
// a terminal of 80 columns.
const widest = 70

// oneEach gives each section of a list a line of its own.
func oneEach(list string) string { return strings.ReplaceAll(list, "}, {", "}\n{") }

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
