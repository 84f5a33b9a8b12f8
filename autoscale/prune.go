package autoscale

import (
	"context"
	"strings"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"

	"bakehouse/internal/fault"
)

// PruneOptions bound what a prune may take away.
type PruneOptions struct {
	MaxShare float64 // of the owner's groups, 0 to 1; more is refused
	Lift     bool    // lift what blocks a deletion, instead of listing it
}

// Leftover is a group that no file describes.
type Leftover struct {
	Group string `json:"group"`
	Owner string `json:"owner"` // "" for one that nobody marked
}

// Prune plans the deletion of the groups that carry s.Owner's mark and are not
// in s. Groups that are not ours are listed, never planned. A file without an
// owner, or a plan over MaxShare of the owner's groups, is refused: that is
// more likely a wrong file than a wish.
func Prune(ctx context.Context, w World, s Spec, opt PruneOptions) (Plan, []Leftover, error) {
	if s.Owner == "" {
		return Plan{}, nil, fault.Newf(fault.Usage, "add owner: NAME to the file (version 2) and apply it, which marks its groups", "pruning: the file names no owner, so no group is known to be its own")
	}
	names, foreign, total, err := strangers(ctx, w, Expand(s))
	if err != nil {
		return Plan{}, nil, err
	}
	if share := float64(len(names)) / float64(max(total, 1)); share > opt.MaxShare {
		return Plan{}, foreign, fault.Newf(fault.Check, "look at the list; if it is right, raise --max-share",
			"pruning: %d of %d groups of owner %s would go (%s), over the limit of %.0f%%", len(names), total, s.Owner, strings.Join(names, ", "), 100*opt.MaxShare)
	}
	if len(names) == 0 {
		return Plan{}, foreign, nil
	}
	p, blockers, err := doom(ctx, w, s.Region, names, "the file does not describe it, and it carries the mark of owner "+s.Owner, opt.Lift)
	if err != nil {
		return Plan{}, foreign, err
	}
	return p, foreign, blocked("pruning", blockers)
}

// strangers lists the groups that s does not describe: ours, and those that
// are not; total counts the groups with the owner's mark.
func strangers(ctx context.Context, w World, s Spec) (ours []string, foreign []Leftover, total int, err error) {
	for pages := as.NewDescribeAutoScalingGroupsPaginator(w.Groups, &as.DescribeAutoScalingGroupsInput{MaxRecords: ptr(int32(pageSize))}); pages.HasMorePages(); {
		out, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, 0, refused("reading groups", err)
		}
		for _, g := range out.AutoScalingGroups {
			live, name := liveOf(g), val(g.AutoScalingGroupName)
			if live.Status != "" {
				continue // AWS is deleting it already
			}
			if live.Owner == s.Owner {
				total++
			}
			switch _, described := s.Groups[name]; {
			case described:
			case live.Owner != s.Owner:
				foreign = append(foreign, Leftover{name, live.Owner})
			default:
				ours = append(ours, name)
			}
		}
	}
	return ours, foreign, total, nil
}
