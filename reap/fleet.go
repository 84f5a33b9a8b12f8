package reap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"golang.org/x/sync/errgroup"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// Place is one region of one account.
type Place struct {
	Account string `json:"account"`
	Region  string `json:"region"`
}

// String reads as ACCOUNT/REGION.
func (p Place) String() string { return p.Account + "/" + p.Region }

// Instance is an EC2 instance as DescribeInstances shows it.
type Instance struct {
	ID       string
	Place    Place
	State    string // EC2's word
	Launched time.Time
	BakeID   string // tag bakehouse:bake-id of a bake's builder
}

// terminated is the one state after which an instance never comes back.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-lifecycle.html
const terminated = "terminated"

// alive says that the state is one of an instance that exists. Instances in
// standby or in a warm pool are running or stopped.
func (i Instance) alive() bool {
	switch i.State {
	case "pending", "running", "stopping", "stopped", "shutting-down":
		return true
	}
	return false
}

// Fleet is everything that EC2 showed in one run.
type Fleet struct {
	Places map[Place]bool // read in whole
	ByID   map[string]Instance
	byBake map[string][]string
	Pages  int // calls made
}

// newFleet makes an empty fleet.
func newFleet() *Fleet {
	return &Fleet{Places: map[Place]bool{}, ByID: map[string]Instance{}, byBake: map[string][]string{}}
}

// add notes an instance. Two answers about one instance that differ in what
// matters are an error: then the listing is not to be trusted.
func (f *Fleet) add(i Instance) error {
	old, twice := f.ByID[i.ID]
	if twice && (old.Place != i.Place || old.alive() != i.alive()) {
		return fault.Newf(fault.Check, "run again", "listing instances: EC2 shows %s twice, %s in %s and %s in %s", i.ID, old.State, old.Place, i.State, i.Place)
	}
	f.ByID[i.ID] = i
	if i.BakeID != "" && !twice {
		f.byBake[i.BakeID] = append(f.byBake[i.BakeID], i.ID)
	}
	return nil
}

// EC2 is the one call that the reaper makes of EC2; *ec2.Client has it.
type EC2 interface {
	DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error)
}

// Source is a place and the client that reads it. Account is what STS says of
// the client's credentials.
type Source struct {
	Place
	EC2 EC2
}

const (
	instancePage = 1000 // DescribeInstances' largest page
	maxPages     = 10_000
	atOnce       = 4 // places read in parallel
)

// readFleet lists all instances of all sources. One that fails, fails all.
func readFleet(ctx context.Context, sources []Source) (*Fleet, error) {
	f, mu := newFleet(), sync.Mutex{}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for _, s := range sources {
		g.Go(func() error {
			err := s.each(ctx, func(page []Instance) error {
				mu.Lock()
				defer mu.Unlock()
				f.Pages++
				for _, i := range page {
					if err := f.add(i); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("listing instances of %s: %w", s.Place, err)
			}
			mu.Lock()
			defer mu.Unlock()
			f.Places[s.Place] = true
			return nil
		})
	}
	return f, g.Wait()
}

// each reads page after page. No filter: all states have to be seen.
func (s Source) each(ctx context.Context, add func([]Instance) error) error {
	in := &ec2.DescribeInstancesInput{MaxResults: aws.Int32(instancePage)}
	for range maxPages {
		out, err := s.EC2.DescribeInstances(ctx, in)
		if err != nil {
			return refusedByEC2(err)
		}
		if err := add(s.page(out)); err != nil {
			return err
		}
		token := aws.ToString(out.NextToken)
		if token == "" {
			return nil
		}
		if token == aws.ToString(in.NextToken) {
			return fault.Newf(fault.AWS, "", "EC2 gives the same page again and again")
		}
		in = &ec2.DescribeInstancesInput{MaxResults: in.MaxResults, NextToken: &token}
	}
	return fault.Newf(fault.AWS, "", "EC2 gives more than %d pages", maxPages)
}

// page keeps what matters of one page. Instances of other owners in a shared
// VPC are not ours to judge.
func (s Source) page(out *ec2.DescribeInstancesOutput) []Instance {
	var all []Instance
	for _, r := range out.Reservations {
		if owner := aws.ToString(r.OwnerId); owner != "" && owner != s.Account {
			continue
		}
		for _, i := range r.Instances {
			in := Instance{ID: aws.ToString(i.InstanceId), Place: s.Place, Launched: aws.ToTime(i.LaunchTime)}
			if i.State != nil {
				in.State = string(i.State.Name)
			}
			for _, t := range i.Tags {
				if aws.ToString(t.Key) == "bakehouse:bake-id" {
					in.BakeID = aws.ToString(t.Value)
				}
			}
			all = append(all, in)
		}
	}
	return all
}

// refusedByEC2 gives an error of the listing its kind and next step.
func refusedByEC2(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case awserr.IsAuth(err):
		return fault.New(fault.AWS, "allow ec2:DescribeInstances (docs/iam/chef-reaper.json)", err)
	case awserr.Code(err) == "":
		return fault.New(fault.AWS, "check the network, the region and AWS_ENDPOINT_URL", err)
	}
	return fault.New(fault.AWS, "", err)
}
