// Package scaling gives the lab's Auto Scaling groups hands: a service of
// test/asg for each region, whose instances are machines of the lab's own EC2,
// whose targets are registered with its load balancers, and whose clock ticks.
// What it does to EC2 goes through the front door, as a caller of its own.
package scaling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"bakehouse/test/asg"
)

// every is the pause between two ticks.
const every = 500 * time.Millisecond

// Config is what groups stand on.
type Config struct {
	AWS aws.Config // the front door, with an access key of groups alone; each region gets its own
	// State is the true EC2 state of a machine; known is false before it was
	// looked at.
	State func(instanceID string) (state string, known bool)
	// Move hears where a group sends an instance, as its metadata shall say it.
	Move func(group, instanceID, target string)
	Log  io.Writer        // what went wrong, a line each
	Now  func() time.Time // nil means time.Now
}

// Scaling is Auto Scaling in all regions.
type Scaling struct {
	cfg     Config
	mu      sync.Mutex
	regions map[string]*region
}

// region is one region's service with its machines and targets.
type region struct {
	service  *asg.Service
	machines *machines
	targets  *targets
}

// New returns Auto Scaling without groups. It asks nobody yet.
func New(cfg Config) *Scaling {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Scaling{cfg: cfg, regions: map[string]*region{}}
}

// Region is the service of a region, made when it is first asked for.
func (s *Scaling) Region(name string) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.regions[name]
	if r == nil {
		r = s.open(name)
		s.regions[name] = r
	}
	return r.service
}

func (s *Scaling) open(name string) *region {
	cfg := s.cfg.AWS.Copy()
	cfg.Region = name
	r := &region{}
	inside := cfg.Copy()
	inside.HTTPClient = handed{func() http.Handler { return r.service }}
	groups := autoscaling.NewFromConfig(inside)
	r.machines = &machines{ec2: ec2.NewFromConfig(cfg), groups: groups, state: s.cfg.State, known: map[string]bool{}, starting: map[string]bool{}}
	r.targets = &targets{groups: groups, lb: elb.NewFromConfig(cfg), now: s.cfg.Now, registered: map[target]bool{}, ill: map[target]sick{}}
	zones, subnets := r.machines.places()
	r.service = asg.With(asg.Config{Now: s.cfg.Now, Zones: zones, Subnets: subnets, Subnet: r.machines.subnet, Parallel: 4, Machines: r.machines, Templates: r.machines, Health: r.targets.health,
		Notify: func(c asg.Change) { s.cfg.Move(c.Group, c.Instance, c.Target) }})
	return r
}

// Run lets time pass for all groups until ctx ends.
func (s *Scaling) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.tick(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintf(s.cfg.Log, "%s %v\n", time.Now().UTC().Format(time.RFC3339), err)
		}
	}
}

// tick brings all groups to now, and then their targets.
func (s *Scaling) tick(ctx context.Context) error {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.regions))
	s.mu.Unlock()
	var failed error
	for _, r := range all {
		failed = errors.Join(failed, r.service.Tick(ctx), r.targets.settle(ctx))
	}
	return failed
}
