package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

// Kind says what happens to a spot pool.
type Kind int

// The kinds, in the order in which they are told at one time.
const (
	Back      Kind = iota // the pool has capacity again
	Priced                // its price is another
	Rebalance             // AWS recommends to leave it
	Notice                // its instances have been told that they will be interrupted
	Lost                  // its instances are gone, and it gives no more
)

// Event is one thing that happens to one pool.
type Event struct {
	At    time.Duration
	Pool  int
	Kind  Kind
	Price float64 // of Priced: an hour of an instance; NaN: unknown

	life int // of the pool, in which a planned loss counts
}

// Market is what happens to the spot pools. It is the same for every mode.
type Market interface {
	// Until returns the events up to and with t, each once, in order.
	Until(t time.Duration) ([]Event, error)
}

// Pool is one pool of spot capacity: an instance type in a zone.
type Pool struct {
	Type   string
	Zone   string
	Weight int // units of capacity that one instance is
}

// Name is TYPE/ZONE.
func (p Pool) Name() string { return p.Type + "/" + p.Zone }

// queue holds events in order of time, then kind, then pool.
type queue []Event

func (q *queue) add(e Event) {
	i, _ := slices.BinarySearchFunc(*q, e, func(a, b Event) int {
		if a.At != b.At {
			return compareTime(a.At, b.At)
		}
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return a.Pool - b.Pool
	})
	*q = slices.Insert(*q, i, e)
}

func compareTime(a, b time.Duration) int {
	if a < b {
		return -1
	}
	return 1
}

// leads are how long before a loss it is told.
type leads struct{ notice, rebalance time.Duration }

// plan queues a loss and what comes before it, none of it before from.
func (l leads) plan(q *queue, loss Event, from time.Duration) {
	if l.rebalance > 0 {
		q.add(Event{At: max(loss.At-l.rebalance, from), Pool: loss.Pool, Kind: Rebalance, life: loss.life})
	}
	if l.notice > 0 {
		q.add(Event{At: max(loss.At-l.notice, from), Pool: loss.Pool, Kind: Notice, life: loss.life})
	}
	q.add(loss)
}

// model draws losses: each pool on its own with exponential times between
// them, and shocks that take several pools at once.
type model struct {
	leads    leads
	between  time.Duration // mean, of one pool
	recovery time.Duration
	together int
	every    time.Duration // mean between shocks; 0: none
	price    float64       // share of the on-demand price; NaN: unknown

	pools   []*rand.Rand
	shocks  *rand.Rand
	life    []int
	down    []time.Duration // until when
	queue   queue
	shockAt time.Duration
}

// IsModel says that text is a written market, and no file.
func IsModel(text string) bool { return text == "model" || strings.HasPrefix(text, "model:") }

// ParseMarket reads a written market for a number of pools, such as
// "model:mtbf=24h,recovery=30m,together=2,every=3d,price=0.35". A loss is told
// two minutes ahead, as EC2 does
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html).
func ParseMarket(text string, pools int, seed uint64) (Market, error) {
	_, rest, _ := strings.Cut(text, ":")
	o := parseOptions(text, rest)
	m := &model{between: o.duration("mtbf", 24*time.Hour, time.Minute), recovery: o.duration("recovery", 30*time.Minute, time.Second),
		together: o.count("together", 0, 0), every: o.duration("every", 0, time.Minute), price: o.number("price", math.NaN(), 0),
		leads: leads{o.duration("notice", 2*time.Minute, 0), o.duration("rebalance", 0, 0)}}
	if m.together > pools {
		o.fail("together=%d: the group has %d pools", m.together, pools)
	}
	if (m.together > 0) != (m.every > 0) {
		o.fail("together and every go with each other: together=2,every=3d")
	}
	if err := o.done(); err != nil {
		return nil, err
	}
	// Each pool and the shocks have streams of their own, so that one more
	// pool leaves the losses of the others as they were.
	m.shocks = rand.New(rand.NewPCG(seed, 0))
	m.life, m.down = make([]int, pools), make([]time.Duration, pools)
	for p := range pools {
		m.pools = append(m.pools, rand.New(rand.NewPCG(seed, uint64(p)+1)))
		if !math.IsNaN(m.price) {
			m.queue.add(Event{Pool: p, Kind: Priced, Price: -m.price})
		}
		m.own(p, 0)
	}
	m.shock(0)
	return m, nil
}

// drawn is an exponential time with a mean.
func drawn(r *rand.Rand, mean time.Duration) time.Duration {
	return time.Duration(r.ExpFloat64() * float64(mean))
}

// own plans the next loss of pool p alone.
func (m *model) own(p int, from time.Duration) {
	m.leads.plan(&m.queue, Event{At: from + drawn(m.pools[p], m.between), Pool: p, Kind: Lost, life: m.life[p]}, from)
}

// shock plans the next loss of several pools at once.
func (m *model) shock(from time.Duration) {
	if m.every == 0 {
		return
	}
	m.shockAt = from + drawn(m.shocks, m.every)
	for _, p := range m.shocks.Perm(len(m.pools))[:m.together] {
		m.leads.plan(&m.queue, Event{At: m.shockAt, Pool: p, Kind: Lost, life: -1}, from)
	}
}

// Until plays the model up to t.
func (m *model) Until(t time.Duration) ([]Event, error) {
	var out []Event
	for len(m.queue) > 0 && m.queue[0].At <= t {
		e := m.queue[0]
		m.queue = m.queue[1:]
		if m.happens(e) {
			out = append(out, e)
		}
		if m.every > 0 && e.At == m.shockAt && e.Kind == Lost && e.life == -1 && !m.pending() {
			m.shock(e.At)
		}
	}
	return out, nil
}

// pending says that losses of the present shock are still to be told.
func (m *model) pending() bool {
	return slices.ContainsFunc(m.queue, func(e Event) bool { return e.life == -1 })
}

// happens keeps the model's state, and drops what no longer applies: the
// planned loss of a pool that a shock has taken in the meantime.
func (m *model) happens(e Event) bool {
	down := e.At < m.down[e.Pool]
	switch e.Kind {
	case Priced:
		return true
	case Back:
		if down || e.life != m.life[e.Pool] {
			return false
		}
		m.own(e.Pool, e.At)
		return true
	case Lost:
		if e.life != -1 && (e.life != m.life[e.Pool] || down) {
			return false
		}
		m.life[e.Pool]++
		m.down[e.Pool] = e.At + m.recovery
		m.queue.add(Event{At: m.down[e.Pool], Pool: e.Pool, Kind: Back, life: m.life[e.Pool]})
		return !down
	}
	return !down && (e.life == -1 || e.life == m.life[e.Pool])
}

// noMarket has pools that nothing happens to.
type noMarket struct{}

// Until has nothing to tell.
func (noMarket) Until(time.Duration) ([]Event, error) { return nil, nil }

// errPool says that a trace names a pool that the group has not.
func errPool(t *rows, name string, pools []Pool) error {
	var names []string
	for _, p := range pools {
		names = append(names, p.Name())
	}
	err := t.wrong(1, "the group has no pool %q; it has %s", name, strings.Join(names, ", "))
	return fault.New(fault.Usage, "name pools TYPE/ZONE as the file has them, or #1, #2, … in that order", err)
}
