package autoscale

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// Kind is what a change does.
type Kind string

// The kinds, in the order in which they are carried out within a group:
// what others lean on comes first, what new instances have to find before the
// group's own sizes, and nothing is taken away before its replacement stands.
const (
	CreateTemplate Kind = "create launch template"
	CreateVersion  Kind = "create launch template version"
	CreateGroup    Kind = "create group"
	PutHook        Kind = "put hook"
	PutNotice      Kind = "put notification"
	PutTags        Kind = "put tags"
	Suspend        Kind = "suspend"
	UpdateGroup    Kind = "update group"
	PutWarmPool    Kind = "put warm pool"
	Attach         Kind = "attach"
	EnableMetrics  Kind = "enable metrics"
	PutPolicy      Kind = "put policy"
	PutAlarm       Kind = "put alarm"
	PutSchedule    Kind = "put schedule"
	Resume         Kind = "resume"
	DeleteAlarm    Kind = "delete alarm"
	DeletePolicy   Kind = "delete policy"
	DeleteSchedule Kind = "delete schedule"
	DeleteHook     Kind = "delete hook"
	DeleteNotice   Kind = "delete notification"
	Detach         Kind = "detach"
	DeleteWarmPool Kind = "delete warm pool"
	DisableMetrics Kind = "disable metrics"
	DeleteTags     Kind = "delete tags"
	DeleteGroup    Kind = "delete group"
)

func order(k Kind) int {
	return slices.Index([]Kind{CreateTemplate, CreateVersion, CreateGroup, PutHook, PutNotice, PutTags, Suspend, UpdateGroup, PutWarmPool, Attach, EnableMetrics,
		PutPolicy, PutAlarm, PutSchedule, Resume, DeleteAlarm, DeletePolicy, DeleteSchedule, DeleteHook, DeleteNotice, Detach, DeleteWarmPool, DisableMetrics, DeleteTags, DeleteGroup}, k)
}

// Change is one step of a plan.
type Change struct {
	Region string  `json:"region"`
	Group  string  `json:"group"`
	Kind   Kind    `json:"kind"`
	Name   string  `json:"name"` // of what is changed, as AWS calls it
	Fields []Field `json:"fields,omitempty"`
	Reason string  `json:"reason"`
	PartOf string  `json:"part_of,omitempty"` // the written group, where AWS has several groups for it

	do func(context.Context, *run) error
}

// Plan is what makes AWS match a file.
type Plan struct {
	Changes  []Change  `json:"changes"`
	Warnings []Warning `json:"warnings,omitempty"`
	Promises []Promise `json:"promises,omitempty"` // of groups that use spot
}

// Empty says that there is nothing to do.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Written is the group that the file has, of which Group may be one half.
func (c Change) Written() string { return cmp.Or(c.PartOf, c.Group) }

// half orders the halves of a written group: the on-demand one comes first,
// so that it stands before a group that was all on demand moves to spot.
func (c Change) half() int {
	if c.Group == c.Written() {
		return 1
	}
	return 0
}

// sort puts changes in order: group after group, one half of a written group
// after the other, and within one as the kinds stand.
func (p *Plan) sort() {
	slices.SortStableFunc(p.Changes, func(a, b Change) int {
		return cmp.Or(strings.Compare(a.Written(), b.Written()), a.half()-b.half(), strings.Compare(a.Group, b.Group), order(a.Kind)-order(b.Kind))
	})
}
