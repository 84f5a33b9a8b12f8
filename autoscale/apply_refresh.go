package autoscale

import (
	"context"
	"fmt"

	"bakehouse/internal/fault"
)

// refreshing explains that c is refused because of an instance refresh: which
// one and how far it is, what stays as it is, and what the reader can do. A
// caller that may not read refreshes is told the rest.
func (r *run) refreshing(ctx context.Context, c Change) error {
	which, wait := "an instance refresh is under way", "wait for it"
	if last, err := lastRefresh(ctx, r.w, r.group); err == nil && last != nil && !last.Over() {
		which = fmt.Sprintf("instance refresh %s%s is under way (%s, %d %%)", last.ID, toVersion(last.Version), last.Status, last.Percent)
		for _, f := range c.Fields {
			if f.Path == "launch.version" && f.After == last.Version {
				wait += ", as it brings the version that the file asks for,"
			}
		}
	}
	var kept []string
	for _, f := range c.Fields {
		kept = append(kept, f.Path)
	}
	if more := len(kept) - 3; more > 0 {
		kept = append(kept[:3], count(more, "other field", "other fields"))
	}
	return fault.Newf(fault.Check,
		fmt.Sprintf("look with autoscalectl status %[1]s or watch %[1]s; %s or end it with autoscalectl refresh --cancel %[1]s; then run this again", r.group, wait),
		"%s: %s %s: %s, and AWS does not change how the group launches until it ends; unchanged: %s", r.group, c.Kind, c.Name, which, listed(kept))
}
