package main

import (
	"fmt"
	"io"
	"strings"

	"bakehouse/autoscale"
)

// detailed is up to how many groups are shown with their recent activities.
const detailed = 3

// recent is how many activities are shown of a group.
const recent = 6

// showStatus prints a line for each group, and below it what to look at.
func showStatus(w io.Writer, p painter, all []autoscale.GroupStatus) error {
	if len(all) == 0 {
		return printed(fmt.Fprintln(w, "There are no groups."))
	}
	rows := [][]cell{{{"", ""}, {"GROUP", dim}, {"CAPACITY", dim}, {"INSTANCES", dim}, {"VERSION", dim}, {"NOW", dim}}}
	for _, s := range all {
		rows = append(rows, statusRow(s))
	}
	if err := tabulate(w, p, rows); err != nil {
		return err
	}
	var b strings.Builder
	for _, s := range all {
		details(&b, p, s, len(all) <= detailed)
	}
	return printed(io.WriteString(w, b.String()))
}

func statusRow(s autoscale.GroupStatus) []cell {
	mark := cell{"", ""}
	if !s.Well() {
		mark = cell{"!", red}
	}
	if !s.Exists {
		return []cell{mark, {s.Group, bold}, {"-", dim}, {"does not exist", red}}
	}
	capacity := cell{fmt.Sprintf("%d of %d (%d-%d)", s.InService, s.Desired, s.Min, s.Max), green}
	if s.InService < s.Desired {
		capacity.in = red
	}
	return []cell{mark, {s.Group, bold}, capacity, {states(s.Counts), ""}, versions(s), {now(s), yellow}}
}

// states sums counts up over versions.
func states(all []autoscale.Count) string {
	var order []string
	sums := map[string]int{}
	for _, c := range all {
		name := c.State
		if c.Health != "Healthy" && c.Health != "" {
			name += " " + c.Health
		}
		if sums[name] == 0 {
			order = append(order, name)
		}
		sums[name] += c.N
	}
	var out []string
	for _, name := range order {
		out = append(out, fmt.Sprintf("%d %s", sums[name], name))
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// versions says what new instances get and what runs on something else.
func versions(s autoscale.GroupStatus) cell {
	old := map[string]int{}
	var order []string
	for _, c := range s.Counts {
		if !c.Asked {
			if old[c.Version] == 0 {
				order = append(order, c.Version)
			}
			old[c.Version] += c.N
		}
	}
	out := s.Version
	for _, v := range order {
		name := v
		if name == "" {
			name = "none that AWS names"
		}
		out += fmt.Sprintf(", %d on %s", old[v], name)
	}
	if len(order) > 0 {
		return cell{out, yellow}
	}
	return cell{out, ""}
}

// now is what is going on.
func now(s autoscale.GroupStatus) string {
	var out []string
	if s.Deleting != "" {
		out = append(out, s.Deleting)
	}
	if r := s.Refresh; r != nil {
		out = append(out, fmt.Sprintf("refresh %s %d %%", r.Status, r.Percent))
	}
	if len(s.Suspended) > 0 {
		out = append(out, "suspended: "+strings.Join(s.Suspended, ", "))
	}
	if w := s.WarmPool; w != nil {
		out = append(out, fmt.Sprintf("warm pool %d", w.Size))
	}
	return strings.Join(out, "; ")
}

// details prints what is wrong with a group, and, when it is one of a few,
// what happened of late.
func details(b *strings.Builder, p painter, s autoscale.GroupStatus, activities bool) {
	activities = activities && len(s.Activities) > 0
	pool := s.WarmPool != nil && activities
	if s.Well() && !activities {
		return
	}
	fmt.Fprintf(b, "\n%s\n", p.in(bold, s.Group))
	for _, t := range s.Trouble {
		class := ""
		if t.Class != "" {
			class = string(t.Class) + ": "
		}
		fmt.Fprintf(b, "  %s %s%s\n", p.in(red, "!"), p.in(red, class), t.What)
		if t.Remedy != "" {
			fmt.Fprintf(b, "    %s\n", p.in(dim, t.Remedy))
		}
	}
	if r := s.Refresh; r != nil && activities {
		fmt.Fprintf(b, "  refresh %s: %s\n", r.ID, refreshLine(*r))
	}
	if pool {
		fmt.Fprintf(b, "  warm pool: %s (at least %d, %s)\n", states(s.WarmPool.Counts), s.WarmPool.Min, s.WarmPool.State)
	}
	if !activities {
		return
	}
	for _, a := range s.Activities[:min(recent, len(s.Activities))] {
		fmt.Fprintf(b, "  %s %s\n", a.Start.UTC().Format("15:04:05"), activityLine(p, a))
	}
	if more := len(s.Activities) - recent; more > 0 {
		fmt.Fprintf(b, "  %s\n", p.in(dim, fmt.Sprintf("and %d older; --output json lists them", more)))
	}
}

// refreshLine is how far a refresh is.
func refreshLine(r autoscale.RefreshStatus) string {
	text := fmt.Sprintf("%s, %d %%, %d to go", r.Status, r.Percent, r.ToGo)
	if r.Version != "" {
		text += ", version " + r.Version
	}
	if r.Reason != "" {
		text += ": " + oneLine(r.Reason)
	}
	return text
}

// activityLine is one activity: what, how it went, and why.
func activityLine(p painter, a autoscale.Activity) string {
	line := what(a) + ", "
	switch a.Status {
	case "Successful":
		return line + p.in(green, "done") + " (" + string(a.Why) + ")"
	case "Failed", "Cancelled":
		message := a.Message
		if message == "" {
			message = a.Description
		}
		return line + p.in(red, strings.ToLower(a.Status)) + " (" + string(a.Trouble) + "): " + oneLine(message)
	}
	return fmt.Sprintf("%s%s %d %% (%s)", line, p.in(cyan, a.Status), a.Progress, a.Why)
}

// what is an activity's description without the reason that AWS appends.
func what(a autoscale.Activity) string {
	text, _, _ := strings.Cut(oneLine(a.Description), " Status Reason:")
	return strings.TrimRight(text, ". ")
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
