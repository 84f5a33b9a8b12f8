package deploy

import (
	"context"
	"fmt"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Running lists the builds that hosts have on their disks and may start: those
// that the agent notes on the Chef node as the current and the last good one.
// A node that cannot be shown ends it; one without such notes counts for none.
func (l Lister) Running(ctx context.Context) ([]Reference, error) {
	names, err := l.Chef.NodeNames(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking what hosts run: %w", err)
	}
	var refs []Reference
	keys := map[string][]string{"current": {"bakehouse", "release"}, "last_good": {"bakehouse", "last_good"}}
	cover, err := l.Chef.NodeAttributes(ctx, names, keys, func(name string, v map[string]any) {
		for key, what := range map[string]string{"current": " runs it", "last_good": " goes back to it"} {
			if id, err := release.ParseID(text(v[key])); err == nil {
				refs = append(refs, Reference{id, name + what})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("asking what hosts run: %w", err)
	}
	if got := cover.Searched + cover.Fetched + cover.Gone; got != cover.Names {
		return nil, fault.Newf(fault.Chef, "try again", "asking what hosts run: the Chef server lists %d nodes and shows %d of them", cover.Names, got)
	}
	return refs, nil
}
