package autoscale

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"bakehouse/internal/fault"
)

// RefreshSettings are a file's part of RefreshOptions. They are of no group in
// AWS, so a plan does not compare them.
type RefreshSettings struct {
	MinHealthy   *int     `yaml:"min_healthy" aws:"MinHealthyPercentage" doc:"percent of the group kept in service, 0 to 100"`
	MaxHealthy   *int     `yaml:"max_healthy" aws:"MaxHealthyPercentage" doc:"percent that the group may grow to, 100 to 200"`
	Warmup       *int     `yaml:"warmup" aws:"InstanceWarmup" doc:"seconds in service after which a new instance counts"`
	BakeTime     *int     `yaml:"bake_time" aws:"BakeTime" doc:"seconds to watch at the end"`
	Checkpoints  []int    `yaml:"checkpoints" aws:"CheckpointPercentages" doc:"percentages to pause at"`
	Delay        *int     `yaml:"checkpoint_delay" aws:"CheckpointDelay" doc:"seconds at each checkpoint; 3600 when absent"`
	SkipMatching *bool    `yaml:"skip_matching" aws:"SkipMatching" doc:"leave instances that match; true when absent"`
	Rollback     *bool    `yaml:"auto_rollback" aws:"AutoRollback" doc:"roll back when it fails or an alarm fires"`
	Alarms       []string `yaml:"alarms" aws:"AlarmSpecification.Alarms" doc:"names of CloudWatch alarms that end it"`
	Standby      *string  `yaml:"standby" aws:"StandbyInstances" doc:"what to do about instances in standby"`
	Protected    *string  `yaml:"protected" aws:"ScaleInProtectedInstances" doc:"what to do about instances protected from scale-in"`
}

// Under is o with what it leaves open taken from s; nil is no settings.
func (o RefreshOptions) Under(s *RefreshSettings) RefreshOptions {
	if s == nil {
		return o
	}
	o.MinHealthy, o.MaxHealthy = firstSet(o.MinHealthy, s.MinHealthy), firstSet(o.MaxHealthy, s.MaxHealthy)
	o.Warmup, o.BakeTime = firstSet(o.Warmup, s.Warmup), firstSet(o.BakeTime, s.BakeTime)
	if len(o.Checkpoints) == 0 {
		o.Checkpoints, o.Delay = s.Checkpoints, firstSet(o.Delay, s.Delay)
	}
	o.ReplaceAll = o.ReplaceAll || s.SkipMatching != nil && !*s.SkipMatching
	o.Rollback = o.Rollback || val(s.Rollback)
	if len(o.Alarms) == 0 {
		o.Alarms = s.Alarms
	}
	o.Standby, o.Protected = cmp.Or(o.Standby, val(s.Standby)), cmp.Or(o.Protected, val(s.Protected))
	return o
}

func firstSet(p, q *int) *int {
	if p != nil {
		return p
	}
	return q
}

// Check refuses what StartInstanceRefresh would refuse, in the words of the
// options (RefreshPreferences in the API reference).
func (o RefreshOptions) Check() error {
	for name, v := range map[string]string{"version": o.Version, "from": o.From} {
		if n, err := strconv.Atoi(v); v != "" && (err != nil || n < 1) {
			return fault.Newf(fault.Usage, "", "--%s %s: want the number of a launch template version", name, v)
		}
	}
	if key, err := o.wrong(); err != nil {
		return fault.Newf(fault.Usage, "", "--%s: %w", strings.ReplaceAll(key, "_", "-"), err)
	}
	return nil
}

// wrong is the first setting that cannot be, by its key in a file.
func (o RefreshOptions) wrong() (key string, err error) {
	for _, r := range []struct {
		key       string
		p         *int
		low, high int
	}{
		{"min_healthy", o.MinHealthy, 0, 100}, {"max_healthy", o.MaxHealthy, 100, 200}, {"warmup", o.Warmup, 0, 21600}, {"bake_time", o.BakeTime, 0, 172800},
		{"checkpoint_delay", o.Delay, 0, 172800},
	} {
		if r.p != nil && (*r.p < r.low || *r.p > r.high) {
			return r.key, fmt.Errorf("%d: want %d to %d", *r.p, r.low, r.high)
		}
	}
	switch {
	case o.MaxHealthy != nil && o.MinHealthy == nil:
		return "max_healthy", errors.New("give the least that stays healthy as well")
	case o.MaxHealthy != nil && *o.MaxHealthy-*o.MinHealthy > 100:
		return "max_healthy", fmt.Errorf("%d is more than 100 over the least, %d", *o.MaxHealthy, *o.MinHealthy)
	case o.Delay != nil && len(o.Checkpoints) == 0:
		return "checkpoint_delay", errors.New("there are no checkpoints to wait at")
	}
	for i, c := range o.Checkpoints {
		if c < 1 || c > 100 || i > 0 && c <= o.Checkpoints[i-1] {
			return "checkpoints", fmt.Errorf("%v: want percentages from 1 to 100, each above the one before", o.Checkpoints)
		}
	}
	if !slices.Contains([]string{"", "Wait", "Ignore", "Terminate"}, o.Standby) {
		return "standby", fmt.Errorf("%s: want Wait, Ignore or Terminate", o.Standby)
	}
	if !slices.Contains([]string{"", "Wait", "Ignore", "Refresh"}, o.Protected) {
		return "protected", fmt.Errorf("%s: want Wait, Ignore or Refresh", o.Protected)
	}
	return "", nil
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
