package reap

import (
	"regexp"
	"time"

	"bakehouse/internal/fault"
)

// Defaults of a Policy.
const (
	DefaultMinAge       = 10 * time.Minute
	DefaultGrace        = time.Hour
	DefaultMaxDeletions = 100
	DefaultMaxPercent   = 30
	DefaultMinLive      = 1
)

// Policy says what may be reaped, and how much of it at once.
type Policy struct {
	MinAge time.Duration // nothing that was launched or checked in more recently is touched
	Grace  time.Duration // how long an instance must be absent before that counts; at least MinAge

	MaxDeletions int // more than that in one run: nothing is deleted
	MaxPercent   int // of our nodes; plans of up to SmallPlan deletions are free of it
	MinLive      int // fewer live nodes than that: nothing is deleted

	Ohai        bool           // believe ec2.instance_id of ohai where a node has no marker
	NamePattern *regexp.Regexp // its first group is the instance id; nil: names say nothing
	NodePrefix  string         // what the agent puts before the instance id
	Self        string         // client that the reaper signs as; never touched
}

// SmallPlan is how many deletions a plan may hold before MaxPercent counts:
// one of two nodes is half of a small fleet, and no catastrophe.
const SmallPlan = 3

// Check returns a fault.Usage that names what cannot be right.
func (p Policy) Check() error {
	switch {
	case p.MinAge <= 0:
		return fault.Newf(fault.Usage, "", "checking the reaper's policy: min_age %v is not positive", p.MinAge)
	case p.Grace < p.MinAge:
		return fault.Newf(fault.Usage, "raise reaper.grace or lower reaper.min_age", "checking the reaper's policy: grace %v is shorter than min_age %v", p.Grace, p.MinAge)
	case p.MaxDeletions < 1:
		return fault.Newf(fault.Usage, "", "checking the reaper's policy: max_deletions %d is less than 1", p.MaxDeletions)
	case p.MaxPercent < 1 || p.MaxPercent > 100:
		return fault.Newf(fault.Usage, "", "checking the reaper's policy: max_percent %d is not from 1 to 100", p.MaxPercent)
	case p.MinLive < 0:
		return fault.Newf(fault.Usage, "", "checking the reaper's policy: min_live %d is negative", p.MinLive)
	case p.NamePattern != nil && p.NamePattern.NumSubexp() != 1:
		return fault.Newf(fault.Usage, "write for example ^web-(i-[0-9a-f]+)$", "checking the reaper's policy: name_pattern %s has %d groups, want 1: the instance id", p.NamePattern, p.NamePattern.NumSubexp())
	}
	return nil
}
