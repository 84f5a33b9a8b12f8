package simulate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"bakehouse/autoscale"
	"bakehouse/autoscale/scaling"
)

// DefaultAnswer is how a unit answers requests when nobody says.
func DefaultAnswer() scaling.Station {
	return scaling.Station{Service: 100 * time.Millisecond, Workers: 4}
}

// crowd is the requests that are waiting for an answer. They are spread evenly
// over the units in service, each of which is a station of its own: a load
// balancer does not know where the shortest line is.
type crowd struct {
	inside float64       // requests in all stations
	takes  time.Duration // that an answer takes, on average
	none   bool          // nobody asks, or nobody answers
}

// step moves the requests on by a step. What waited for a unit that is gone is
// asked of the others.
func (c *crowd) step(w *world) {
	n := float64(w.serving())
	if c.none = n == 0 || w.asked == 0 && c.inside < 1e-6; n == 0 {
		c.inside = 0 // refused at once
		return
	}
	each, takes := w.answer.Next(c.inside/n, w.demand/n, w.step)
	c.inside, c.takes = each*n, takes
}

// answerTime is the model of the response time of a load balancer's targets.
func (w *world) answerTime(statistic string) (source, error) {
	times, err := spreadOf(statistic)
	if err != nil {
		return nil, err
	}
	if w.account.answers == nil {
		w.account.answers = &Answers{times: 1}
	}
	return func(w *world) float64 {
		if w.crowd.none {
			return math.NaN()
		}
		return min(scaling.Patience.Seconds(), w.crowd.takes.Seconds()*times)
	}, nil
}

// spreadOf is by what a statistic of the time exceeds its average.
func spreadOf(statistic string) (float64, error) {
	if statistic == "" || statistic == "Average" {
		return 1, nil
	}
	share, err := strconv.ParseFloat(strings.TrimPrefix(statistic, "p"), 64)
	if err != nil || !strings.HasPrefix(statistic, "p") || share <= 0 || share >= 100 {
		return 0, fmt.Errorf("there is no model of statistic %s of TargetResponseTime", statistic)
	}
	return scaling.Spread(share / 100), nil
}

// unspread is the average time that goes with a limit, in seconds, of what the
// signal watches.
func (s *signal) unspread(limit float64) time.Duration {
	return time.Duration(limit / s.times * float64(time.Second))
}

// watches says that s looks at how long answers take.
func (s *signal) watches() bool { return s.metric == "TargetResponseTime" }

// heed prepares s for the metric of q, when it is watched alone.
func (s *signal) heed(q autoscale.Query) {
	s.statistic, s.times = orZero(q.Statistic), 1
	if times, err := spreadOf(s.statistic); err == nil {
		s.times = times
	}
}

// aim takes in the limit of an alarm on how long answers take, and says what
// stands behind the figures. The lowest limit over which a policy acts is what
// the summary compares with.
func (w *world) aim(g *group, key string, s *signal) []string {
	if !s.watches() {
		return nil
	}
	notes := []string{fmt.Sprintf("how long answers take is a model: a unit takes %s for a request and works on %d at once", w.answer.Service, w.answer.Workers)}
	least := time.Duration(float64(w.answer.Service) * s.times)
	limit := time.Duration(s.alarm.Threshold * float64(time.Second))
	floor := fmt.Sprintf("alarm %s of %s: answers never take less than %s, which is where nothing waits, ", key, g.name, seconds(least))
	if s.alarm.Comparison == "<" || s.alarm.Comparison == "<=" {
		if limit <= least {
			notes = append(notes, floor+"so that they are never under "+seconds(limit)+" and nothing scales in by it")
		}
		return notes
	}
	if a := w.account.answers; a.Target == 0 || limit < a.Target {
		a.Target, a.Statistic, a.times = limit, s.statistic, s.times
	}
	if limit <= least {
		notes = append(notes, floor+"so that no capacity brings them under "+seconds(limit)+" and the group grows to its max")
	}
	return notes
}

// Answers is how long requests took, where policies watch that.
type Answers struct {
	Target    time.Duration // the lowest limit over which a policy adds capacity; 0: none
	Statistic string        // that the limit is of
	Worst     time.Duration // of that statistic
	WorstAt   time.Duration
	Over      time.Duration // with that statistic over the limit

	times float64 // by which the statistic exceeds the average
	asked float64 // requests, weighed by Unit
	sum   float64 // of their seconds
}

// step takes in a step in which somebody asked.
func (a *Answers) step(w *world) {
	if w.crowd.none {
		return
	}
	takes := min(scaling.Patience, time.Duration(float64(w.crowd.takes)*a.times))
	if takes > a.Worst {
		a.Worst, a.WorstAt = takes, w.now
	}
	if a.Target > 0 && takes >= a.Target {
		a.Over += w.step
	}
	a.asked += w.demand
	a.sum += w.demand * w.crowd.takes.Seconds()
}

// Mean is the average over all requests.
func (a *Answers) Mean() time.Duration {
	if a.asked == 0 {
		return 0
	}
	return time.Duration(a.sum / a.asked * float64(time.Second))
}

// text is the answers in one line.
func (a *Answers) text() string {
	what := "an answer took " + seconds(a.Mean()) + " on average"
	if a.Statistic != "" && a.Statistic != "Average" {
		what += "; " + a.Statistic + " was"
	} else {
		what += ","
	}
	what += fmt.Sprintf(" at worst %s, at %s", seconds(a.Worst), Days(a.WorstAt))
	if a.Target > 0 {
		what += fmt.Sprintf(", and not under %s for %s in all", seconds(a.Target), Days(a.Over))
	}
	return what
}

// seconds writes a time with three digits that count.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'g', 3, 64) + " s"
}
