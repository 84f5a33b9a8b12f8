package asg

import (
	"context"
	"time"
)

// Config is what a service stands on. Its zero value is a service of its own:
// made-up instances, its own launch templates and images, the clock of the wall.
type Config struct {
	Now       func() time.Time  // nil means time.Now
	Machines  Machines          // nil: instances are made up
	Templates Templates         // nil: the service answers EC2's calls on launch templates and images itself
	Zones     []string          // that exist; with none, every name is a zone
	Subnets   map[string]string // the zones of subnets that exist; nil makes every id one
	// Subnet is the zone of a subnet that is not among Subnets, which may have been
	// made since; "": there is none. nil asks nobody.
	Subnet   func(ctx context.Context, id string) string
	Parallel int // calls to Machines at a time; 0 means one, which keeps the order of launches
	// Notify hears every change of an instance's lifecycle, in order, with no
	// lock held; it may call the service, but not Tick.
	Notify func(Change)
	// Health is what load balancers think of a group's instances; it is asked
	// for groups with an ELB health check and names those it finds ill.
	Health func(ctx context.Context, g Balanced) (ill []string, err error)
}

// Balanced is a group whose load balancers are asked for its instances' health.
type Balanced struct {
	Group        string
	TargetGroups []string // their ARNs
	Instances    []string // in service
}

// Machines launches and ends the instances of groups. Its methods are called
// with no lock held, from Config.Parallel goroutines at once.
type Machines interface {
	// Launch starts one instance. The AWS code of its error becomes the cause in
	// the activity's message.
	Launch(ctx context.Context, in Launch) (id string, err error)
	// Terminate ends instances; one that is gone is no error.
	Terminate(ctx context.Context, ids []string) error
	// Stop and Start move the instances of warm pools.
	Stop(ctx context.Context, ids []string) error
	Start(ctx context.Context, ids []string) error
	// States names the EC2 state of instances; one that is absent is gone.
	States(ctx context.Context, ids []string) (map[string]string, error)
}

// Launch is one instance to be. A group with a launch configuration names no
// template but Configuration.
type Launch struct {
	Group         string
	TemplateID    string
	TemplateName  string
	Version       string // a number
	Configuration string // the name of a launch configuration
	Image         string // of the launch configuration; templates bring their own
	Type          string // "" leaves it to the template
	Zone          string
	Subnet        string // "" leaves it to the zone
	Token         string // makes a repeated call harmless
	Spot          bool
	Tags          map[string]string // aws:autoscaling:groupName and the tags that propagate
}

// Templates finds launch templates that live elsewhere. It is called with no
// lock held.
type Templates interface {
	// Resolve finds a template by id or name, and the number behind a version.
	// Its error is what a caller reads in a ValidationError.
	Resolve(ctx context.Context, ref TemplateRef) (Template, error)
}

// TemplateRef names a launch template as callers do: one of ID and Name, and a
// version that is a number, $Latest, $Default or "" (the default).
type TemplateRef struct{ ID, Name, Version string }

// Template is one version of a launch template.
type Template struct {
	ID, Name string
	Version  string // a number
	Type     string // of instance; "" when the template leaves it open
	Image    string
}

// Change is a step in an instance's lifecycle.
type Change struct {
	Group    string
	Instance string
	State    string // as DescribeAutoScalingInstances says it
	// Target is what instance metadata shows at autoscaling/target-lifecycle-state:
	// Detached, InService, Standby, Terminated, Warmed:Hibernated, Warmed:Running,
	// Warmed:Stopped or Warmed:Terminated.
	Target string
	Hook   string // the first hook that waits; "" when none does
	Token  string // its action's token
	Until  time.Time
}
