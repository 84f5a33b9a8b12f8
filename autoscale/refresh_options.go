package autoscale

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/fault"
)

// Check refuses what StartInstanceRefresh would refuse, in the words of the
// options (RefreshPreferences in the API reference).
func (o RefreshOptions) Check() error {
	for name, v := range map[string]string{"version": o.Version, "from": o.From} {
		if n, err := strconv.Atoi(v); v != "" && (err != nil || n < 1) {
			return bad(name, "%s: want the number of a launch template version", v)
		}
	}
	for _, r := range []struct {
		name      string
		p         *int
		low, high int
	}{
		{"min-healthy", o.MinHealthy, 0, 100}, {"max-healthy", o.MaxHealthy, 100, 200}, {"warmup", o.Warmup, 0, 21600}, {"bake-time", o.BakeTime, 0, 172800},
		{"checkpoint-delay", o.Delay, 0, 172800},
	} {
		if r.p != nil && (*r.p < r.low || *r.p > r.high) {
			return bad(r.name, "%d: want %d to %d", *r.p, r.low, r.high)
		}
	}
	switch {
	case o.MaxHealthy != nil && o.MinHealthy == nil:
		return bad("max-healthy", "give min-healthy as well")
	case o.MaxHealthy != nil && *o.MaxHealthy-*o.MinHealthy > 100:
		return bad("max-healthy", "%d is more than 100 over min-healthy %d", *o.MaxHealthy, *o.MinHealthy)
	case o.Delay != nil && len(o.Checkpoints) == 0:
		return bad("checkpoint-delay", "there are no checkpoints to wait at")
	}
	for i, c := range o.Checkpoints {
		if c < 1 || c > 100 || i > 0 && c <= o.Checkpoints[i-1] {
			return bad("checkpoints", "%v: want percentages from 1 to 100, each above the one before", o.Checkpoints)
		}
	}
	if !slices.Contains([]string{"", "Wait", "Ignore", "Terminate"}, o.Standby) {
		return bad("standby", "%s: want Wait, Ignore or Terminate", o.Standby)
	}
	if !slices.Contains([]string{"", "Wait", "Ignore", "Refresh"}, o.Protected) {
		return bad("protected", "%s: want Wait, Ignore or Refresh", o.Protected)
	}
	return nil
}

func bad(option, format string, args ...any) error {
	return fault.Newf(fault.Usage, "", "--%s: %w", option, fmt.Errorf(format, args...))
}

// checkpoints end with 100, or the refresh would stop at the last of them.
func (o RefreshOptions) checkpoints() []int32 {
	var out []int32
	for _, c := range o.Checkpoints {
		out = append(out, int32(c))
	}
	if n := len(out); n > 0 && out[n-1] != 100 {
		out = append(out, 100)
	}
	return out
}

func (o RefreshOptions) preferences() *astypes.RefreshPreferences {
	p := &astypes.RefreshPreferences{MinHealthyPercentage: num32(o.MinHealthy), MaxHealthyPercentage: num32(o.MaxHealthy), InstanceWarmup: num32(o.Warmup), BakeTime: num32(o.BakeTime),
		CheckpointPercentages: o.checkpoints(), CheckpointDelay: num32(o.Delay), SkipMatching: ptr(!o.ReplaceAll), AutoRollback: ptr(o.Rollback),
		StandbyInstances: astypes.StandbyInstances(o.Standby), ScaleInProtectedInstances: astypes.ScaleInProtectedInstances(o.Protected)}
	if len(o.Alarms) > 0 {
		p.AlarmSpecification = &astypes.AlarmSpecification{Alarms: o.Alarms}
	}
	return p
}

// fields show the settings that were given.
func (o RefreshOptions) fields() []Field {
	var out []Field
	show := func(name, value string) {
		if value != "" {
			out = append(out, Field{Path: name, After: value})
		}
	}
	number := func(name string, p *int, unit string) {
		if p != nil {
			show(name, strconv.Itoa(*p)+unit)
		}
	}
	number("min_healthy", o.MinHealthy, " %")
	number("max_healthy", o.MaxHealthy, " %")
	number("warmup", o.Warmup, " s")
	number("bake_time", o.BakeTime, " s")
	if c := o.checkpoints(); len(c) > 0 {
		show("checkpoints", strings.Trim(fmt.Sprint(c), "[]")+" %")
		wait := 3600 // Auto Scaling's own
		if o.Delay != nil {
			wait = *o.Delay
		}
		show("checkpoint_delay", strconv.Itoa(wait)+" s")
	}
	if o.Rollback {
		show("auto_rollback", "true")
	}
	show("alarms", strings.Join(o.Alarms, ", "))
	show("standby", o.Standby)
	show("protected", o.Protected)
	return out
}
