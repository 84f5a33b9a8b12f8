package scaling

import (
	"math"
	"time"
)

// Station is one unit of capacity as a queue: requests come at random, and a
// number of workers take them in turn.
type Station struct {
	Service time.Duration // that a worker takes for a request, on average
	Workers int           // requests that are worked on at once
}

// Patience is how long a request waits before its client, or the load
// balancer, gives up: the default idle timeout of an application load balancer
// (docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-load-balancer-attributes.html).
const Patience = 60 * time.Second

// rate is how many requests a second all workers finish.
func (s Station) rate() float64 { return float64(s.Workers) / s.Service.Seconds() }

// Load is how many requests are in a station, worked on or waiting, when its
// workers are busy for a share of the time, below 1, for long. It is exact for
// one worker; for more it is the approximation of H. Sakasegawa, "An
// approximation formula Lq = αρ^β/(1-ρ)", Annals of the Institute of
// Statistical Mathematics 29 (1977), for a queue M/M/c.
func (s Station) Load(busy float64) float64 {
	return float64(s.Workers)*busy + math.Pow(busy, math.Sqrt(2*float64(s.Workers+1)))/(1-busy)
}

// Next moves a station on by a time in which requests come at a load, in
// shares of what its workers can do: inside is how many requests are in it, and
// the answers are how many are after it and how long one takes, on average.
// Requests that take longer than Patience leave.
//
// The stationary queue is followed through time by the pointwise stationary
// fluid flow approximation (W.-P. Wang, D. Tipper and S. Banerjee, "A simple
// approximation for modeling nonstationary queues", IEEE INFOCOM 1996): what
// leaves is what would leave a stationary queue with as many requests inside.
// So it holds beyond saturation, where a stationary queue has no size. The step
// is implicit and stable for any length. Time in the station follows from
// requests inside by Little's law.
func (s Station) Next(inside, load float64, step time.Duration) (after float64, takes time.Duration) {
	work := s.rate() * step.Seconds() // requests that busy workers finish within the step
	total := inside + load*work
	low, high := 0.0, 1.0
	for range 60 {
		if mid := (low + high) / 2; s.Load(mid)+work*mid < total {
			low = mid
		} else {
			high = mid
		}
	}
	if low == 0 {
		return 0, s.Service
	}
	after = s.Load(low)
	if most := Patience.Seconds() * s.rate() * low; after > most {
		after = most
	}
	return after, time.Duration(after / (s.rate() * low) * float64(time.Second))
}

// Takes is how long a request takes in a station that has been under a load
// below 1 for long.
func (s Station) Takes(load float64) time.Duration {
	if load <= 0 {
		return s.Service
	}
	return min(Patience, time.Duration(s.Load(load)/(s.rate()*load)*float64(time.Second)))
}

// LoadFor is the load under which a request takes so long; 0 when it takes
// longer under any.
func (s Station) LoadFor(takes time.Duration) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if mid := (low + high) / 2; s.Takes(mid) <= takes {
			low = mid
		} else {
			high = mid
		}
	}
	if s.Takes(low) > takes {
		return 0
	}
	return low
}

// Spread is by what to multiply the average time in a station for that which a
// share of the requests, such as 0.9, does not exceed: times are taken to be
// exponential, as they are for one worker who takes requests in their order
// (L. Kleinrock, "Queueing Systems", volume 1). With several workers, and far
// beyond saturation, it is on the high side.
func Spread(share float64) float64 { return -math.Log(1 - share) }
