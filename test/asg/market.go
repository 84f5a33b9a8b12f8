package asg

import (
	"context"
	"math"
)

// Pool is a capacity pool of EC2: instances of a type in a zone, bought one way.
type Pool struct {
	Zone, Type string
	Spot       bool
}

// Offer is what a pool has: a price per hour, and how many instances it holds
// altogether, those that run included.
type Offer struct {
	Price    float64
	Capacity int
}

// endless is the capacity of a pool that nobody spoke of.
const endless = math.MaxInt32

func (c choice) pool() Pool { return Pool{c.at.zone, c.kind, c.spot} }

// Offer sets what a pool has from now on; a pool of which nothing was said is
// endless and free. Groups choose by it, and are refused by it, before any of
// Machines is asked.
func (s *Service) Offer(p Pool, o Offer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offers[p] = o
}

func (s *Service) offer(p Pool) Offer {
	if o, ok := s.offers[p]; ok {
		return o
	}
	return Offer{Capacity: endless}
}

// free is what of a pool is left.
func (s *Service) free(p Pool) int {
	n := s.offer(p).Capacity
	if n == endless {
		return n
	}
	for _, id := range s.inPool(p) {
		_ = id
		n--
	}
	return n
}

func (s *Service) inPool(p Pool) []string {
	var ids []string
	for _, g := range sorted(s.groups) {
		for _, m := range g.members {
			if m.at.zone == p.Zone && m.kind == p.Type && m.spot == p.Spot {
				ids = append(ids, m.id)
			}
		}
	}
	return ids
}

// Lose takes all capacity from a pool. The instances in it are returned for
// the caller to interrupt; made-up ones are ended at once.
func (s *Service) Lose(p Pool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.offer(p)
	o.Capacity = 0
	s.offers[p] = o
	ids := s.inPool(p)
	if s.madeUp {
		_ = s.machines.Terminate(context.Background(), ids) // made-up machines do not fail
	}
	return ids
}

// Recommend is EC2's recommendation to rebalance instances that are at risk.
// Groups with CapacityRebalance replace them; unknown ids mean nothing.
func (s *Service) Recommend(ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		if g, m, err := s.instance(id); err == nil && m.spot && g.str("CapacityRebalance") == "true" && m.state == stateInService {
			s.leave(m, "an instance was taken out of service in response to an EC2 instance rebalance recommendation")
		}
	}
}
