package simulate

import (
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// tracedMarket is a market from a file. What a row says holds until the next
// row of its pool; after the last one, it stays so.
type tracedMarket struct {
	rows  *rows
	close io.Closer
	start time.Time // time zero of the simulation; zero: that of the trace
	pools []Pool
	leads leads

	up      []bool
	seen    []bool
	told    []time.Duration // when it was seen last
	prices  []float64
	queue   queue
	read    time.Duration // up to here
	shift   time.Duration
	ended   bool
	started bool
}

// TraceMarket reads a CSV with the columns time, pool, price and available as
// it is needed. A pool is TYPE/ZONE or #N, the Nth of the group. The price is
// that of an hour, or a percentage of the on-demand price ("34%"), or empty for
// unknown; available is 1 or 0. notice is how long before a loss it is told;
// start is the date of time zero, for traces with dates.
func TraceMarket(name string, open Open, pools []Pool, told Told) (Market, error) {
	f, err := open()
	if err != nil {
		return nil, opening(err)
	}
	t, err := newRows(name, f, "time", "pool", "price", "available")
	if err != nil {
		return nil, err
	}
	m := &tracedMarket{rows: t, close: f, start: told.Start, pools: pools, leads: leads{told.Notice, told.Rebalance}}
	for range pools {
		m.up, m.seen, m.told, m.prices = append(m.up, true), append(m.seen, false), append(m.told, 0), append(m.prices, math.NaN())
	}
	return m, nil
}

// Told is what a trace of a market does not say itself.
type Told struct {
	Notice    time.Duration // how long before a loss it is told
	Rebalance time.Duration // how long before a loss AWS recommends to leave; 0: never
	Start     time.Time     // of the simulation; the zero time is that of the trace
}

// Until reads as far as notices for t need, and returns what has happened.
func (m *tracedMarket) Until(t time.Duration) ([]Event, error) {
	ahead := max(m.leads.notice, m.leads.rebalance)
	for !m.ended && m.read <= t+ahead {
		if err := m.row(); err != nil {
			return nil, err
		}
	}
	n := 0
	for n < len(m.queue) && m.queue[n].At <= t {
		n++
	}
	out := m.queue[:n:n]
	m.queue = m.queue[n:]
	return out, nil
}

// row takes in one row.
func (m *tracedMarket) row() error {
	at, row, err := m.rows.next()
	if errors.Is(err, io.EOF) {
		m.ended = true
		return m.close.Close()
	}
	if err != nil {
		return err
	}
	if !m.started && m.rows.dated && !m.start.IsZero() {
		m.shift = m.rows.zero.Sub(m.start)
	}
	m.started = true
	at += m.shift
	pool, err := m.pool(strings.TrimSpace(row[1]))
	if err != nil {
		return err
	}
	price, err := m.price(row)
	if err != nil {
		return err
	}
	up := strings.TrimSpace(row[3])
	if up != "0" && up != "1" {
		return m.rows.wrong(3, "available: expected 1 or 0, got %q", up)
	}
	m.read = at
	if pool >= 0 && m.seen[pool] && m.told[pool] == at {
		return m.rows.wrong(1, "pool %s has two rows at the time %s", row[1], row[0])
	}
	if pool >= 0 {
		m.seen[pool], m.told[pool] = true, at
		m.take(Event{At: max(at, 0), Pool: pool, Price: price}, up == "1")
	}
	return nil
}

// take queues what a row changes.
func (m *tracedMarket) take(e Event, up bool) {
	if was := m.prices[e.Pool]; was != e.Price && !(math.IsNaN(was) && math.IsNaN(e.Price)) {
		m.prices[e.Pool] = e.Price
		e.Kind = Priced
		m.queue.add(e)
	}
	switch {
	case up && !m.up[e.Pool]:
		e.Kind = Back
		m.queue.add(e)
	case !up && m.up[e.Pool]:
		e.Kind = Lost
		m.leads.plan(&m.queue, e, 0)
	}
	m.up[e.Pool] = up
}

// pool finds a pool by its name or number; -1 is one to leave out.
func (m *tracedMarket) pool(name string) (int, error) {
	if number, ok := strings.CutPrefix(name, "#"); ok {
		if n, err := strconv.Atoi(number); err == nil && n >= 1 {
			if n > len(m.pools) {
				return -1, nil // a trace may know more pools than the group has
			}
			return n - 1, nil
		}
	}
	for i, p := range m.pools {
		if p.Name() == name {
			return i, nil
		}
	}
	return 0, errPool(m.rows, name, m.pools)
}

// price reads the third column; shares of the on-demand price are negative.
func (m *tracedMarket) price(row []string) (float64, error) {
	text := strings.TrimSpace(row[2])
	if text == "" {
		return math.NaN(), nil
	}
	share, percent := strings.CutSuffix(text, "%")
	if !percent {
		return m.rows.number(row, 2)
	}
	v, err := strconv.ParseFloat(share, 64)
	if err != nil || v < 0 || v > 1000 {
		return 0, m.rows.wrong(2, "price: expected a price of an hour or a percentage such as 34%%, got %q", text)
	}
	return -v / 100, nil
}
