package scaling

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// erlang is the exact number of requests in a queue M/M/c.
func erlang(workers int, busy float64) float64 {
	offered := float64(workers) * busy
	term, sum := 1.0, 0.0
	for k := range workers {
		sum += term
		term *= offered / float64(k+1)
	}
	waits := term / (1 - busy) / (sum + term/(1-busy))
	return offered + waits*busy/(1-busy)
}

func TestAStationIsTheQueueOfTheBooks(t *testing.T) {
	t.Parallel()
	for _, workers := range []int{1, 2, 4, 16} {
		s := Station{100 * time.Millisecond, workers}
		for _, busy := range []float64{0.1, 0.5, 0.8, 0.95, 0.99} {
			want, got, off := erlang(workers, busy), s.Load(busy), 0.03
			if workers == 1 {
				off = 1e-9
			}
			if math.Abs(got-want) > off*want {
				t.Errorf("%d workers, %v busy: %v requests inside, exactly it is %v", workers, busy, got, want)
			}
		}
	}
	one := Station{100 * time.Millisecond, 1}
	if got := one.Takes(0.75).Round(time.Millisecond); got != 400*time.Millisecond {
		t.Errorf("one worker, 3/4 busy: %s; service / (1 - busy) is 400ms", got)
	}
	if got := Spread(0.9); math.Abs(got-math.Ln10) > 1e-9 {
		t.Errorf("nine tenths of exponential times lie below %v of their mean", got)
	}
}

func station(t *rapid.T) Station {
	return Station{time.Duration(rapid.IntRange(1, 2000).Draw(t, "service")) * time.Millisecond, rapid.IntRange(1, 32).Draw(t, "workers")}
}

func TestAStationSettlesWhereItsLoadSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, load := station(t), rapid.Float64Range(0.01, 0.9).Draw(t, "load")
		step := time.Duration(rapid.IntRange(1, 60).Draw(t, "step")) * time.Second
		inside, takes := rapid.Float64Range(0, 500).Draw(t, "inside"), time.Duration(0)
		for range 5000 {
			inside, takes = s.Next(inside, load, step)
		}
		if want := s.Load(load); math.Abs(inside-want) > 1e-3*want || math.Abs(takes.Seconds()-s.Takes(load).Seconds()) > 1e-3*takes.Seconds() {
			t.Fatalf("%+v at %v settles at %v requests that take %s, not %v and %s", s, load, inside, takes, want, s.Takes(load))
		}
		if takes < s.Service {
			t.Fatalf("a request takes %s, less than the %s of its service", takes, s.Service)
		}
	})
}

func TestMoreLoadTakesLongerAndNeverBeyondPatience(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, inside := station(t), rapid.Float64Range(0, 1000).Draw(t, "inside")
		load, more := rapid.Float64Range(0, 3).Draw(t, "load"), rapid.Float64Range(0, 3).Draw(t, "more")
		a, short := s.Next(inside, load, 10*time.Second)
		b, long := s.Next(inside, load+more, 10*time.Second)
		if a > b+1e-6 || short > long+time.Millisecond || long > Patience+time.Millisecond || a < 0 {
			t.Fatalf("%+v with %v inside: at %v %v remain (%s), at %v %v (%s)", s, inside, load, a, short, load+more, b, long)
		}
	})
}

func TestASaturatedStationGathersWhatItCannotServe(t *testing.T) {
	t.Parallel()
	s := Station{100 * time.Millisecond, 4} // 40 a second
	inside, takes := s.Load(0.5), time.Duration(0)
	for range 10 {
		inside, takes = s.Next(inside, 1.5, time.Second) // 20 a second too many
	}
	if inside < 190 || inside > 215 || takes < 4*time.Second || takes > 6*time.Second {
		t.Errorf("after ten seconds at half as much again %v requests are inside and take %s", inside, takes)
	}
	for range 30 {
		inside, takes = s.Next(inside, 0.5, time.Second)
	}
	if takes > 150*time.Millisecond {
		t.Errorf("half a minute later a request takes %s", takes)
	}
}

func TestTheLoadForATimeIsTheInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := station(t)
		load := rapid.Float64Range(0.3, 0.95).Draw(t, "load")
		takes := s.Takes(load)
		if takes >= Patience || takes < s.Service+s.Service/1000 {
			return
		}
		if got := s.LoadFor(takes); math.Abs(s.Takes(got).Seconds()-takes.Seconds()) > 1e-6*takes.Seconds() {
			t.Fatalf("%+v: %s are taken at %v, not at %v", s, takes, load, got)
		}
		if s.LoadFor(s.Service-time.Microsecond) != 0 {
			t.Fatalf("%+v: there is a load at which a request takes less than its service", s)
		}
	})
}
