package waves

import (
	"fmt"
	"time"
)

// Seen is when S3 took each result, by instance and state.
type Seen map[string]map[State]time.Time

// Add notes a result; the first one of its kind counts.
func (s Seen) Add(instance string, state State, at time.Time) {
	if s[instance] == nil {
		s[instance] = map[State]time.Time{}
	}
	if was, there := s[instance][state]; !there || at.Before(was) {
		s[instance][state] = at
	}
}

// Stand is where a host stands.
type Stand string

// Where a host may stand.
const (
	Waiting  Stand = "waiting" // its turn has not come
	Turn     Stand = "turn"    // it may claim now
	UnderWay Stand = "under way"
	Passed   Stand = "passed"
	Fell     Stand = "fell" // failed, or did not answer
)

// Standing is a host's place at one moment.
type Standing struct {
	Stand Stand
	// At is when it settled (Passed, Fell), or when silence will have settled it
	// (Turn, UnderWay).
	At time.Time
	// Silent says why a host fell that said nothing; empty: it said why itself.
	Silent string
}

// Verdict is what a rollout has come to.
type Verdict struct {
	Wave  int       // that is open or opens next; the number of waves: all are over
	Opens time.Time // when it opens, opened, or would open if there were one
	Hosts map[string]Standing
	Over  bool   // every host settled, and no rule was broken
	Stop  string // why nobody may begin any more; empty: it goes on
	Fell  []string
}

// Of is where a host stands; one that Judge did not get to is Waiting.
func (v Verdict) Of(instance string) Standing {
	if st, ok := v.Hosts[instance]; ok {
		return st
	}
	return Standing{Stand: Waiting}
}

// Judge says what may happen at now in the rollout that S3 has known since
// since. It looks at nothing but its arguments. What it says of a host that has
// settled never changes with time or with more results, so that looks of different
// hosts at different moments cannot contradict each other.
//
// Hosts of a wave go in AtOnce lanes: the host at place i follows the one at
// i-AtOnce once that one has settled. So no more than AtOnce are ever under way,
// without anybody counting.
func Judge(p Plan, r Roster, since time.Time, seen Seen, now time.Time) Verdict {
	v := Verdict{Hosts: map[string]Standing{}}
	opens := since
	for i, w := range r.Waves {
		if v.Wave, v.Opens = i, opens; now.Before(opens) {
			return v.late(p, since, now)
		}
		settled, fell, first := true, 0, ""
		ended := opens
		for place, host := range w.Hosts {
			st := p.stand(w, place, opens, seen, now, v.Hosts)
			v.Hosts[host] = st
			switch st.Stand {
			case Fell:
				if fell++; first == "" {
					first = host
				}
				v.Fell = append(v.Fell, host)
			case Passed:
			default:
				settled = false
				continue
			}
			if st.At.After(ended) {
				ended = st.At
			}
		}
		if v.Stop = p.broken(w, fell, first, v); v.Stop != "" {
			return v.halt()
		}
		if !settled {
			return v.late(p, since, now)
		}
		opens = ended.Add(p.Pause)
	}
	v.Wave, v.Opens, v.Over = len(r.Waves), opens, true
	return v
}

// Reading is what one has read of a rollout, wave by wave.
type Reading struct {
	Plan    Plan
	Roster  Roster
	Since   time.Time // when S3 took the plan
	Seen    Seen
	Now     time.Time // S3's clock at the last list
	settled int       // waves that need no list any more
}

// Judge reads the results of the waves that matter now, and decides as Judge
// does: a wave that nobody may be in yet is not read, one that has settled only
// once. list adds the results of a wave to Seen and returns S3's time.
func (o *Reading) Judge(list func(wave int) (time.Time, error)) (v Verdict, err error) {
	v = Judge(o.Plan, o.upTo(o.settled), o.Since, o.Seen, o.Now)
	for i := o.settled; i < len(o.Roster.Waves); i++ {
		if o.Now, err = list(i); err != nil {
			return Verdict{}, err
		}
		// Of later waves nothing is known yet, which must not pass for silence.
		if v = Judge(o.Plan, o.upTo(i+1), o.Since, o.Seen, o.Now); !v.Over {
			return v, nil
		}
		o.settled = i + 1
		if next := i + 1; next < len(o.Roster.Waves) && o.Now.Before(v.Opens) {
			v.Over = false
			return v.late(o.Plan, o.Since, o.Now), nil
		}
	}
	return v, nil
}

// upTo is the roster's first n waves.
func (o *Reading) upTo(n int) Roster { return Roster{o.Roster.Waves[:n]} }

// broken says which rule the failures break, or "".
func (p Plan) broken(w Wave, fell int, first string, v Verdict) string {
	switch {
	case w.Strict && fell > 0:
		return "the " + w.Name + " failed: " + v.say(first)
	case len(v.Fell) > p.MaxUnhealthy:
		return fmt.Sprintf("%d of %d hosts failed, %d are borne with: first %s", len(v.Fell), p.Hosts, p.MaxUnhealthy, v.say(v.Fell[0]))
	}
	return ""
}

func (v Verdict) say(host string) string {
	if why := v.Hosts[host].Silent; why != "" {
		return host + ": " + why
	}
	return host
}

// late stops what did not end within the plan's limit.
func (v Verdict) late(p Plan, since, now time.Time) Verdict {
	if now.Before(since.Add(p.Limit)) {
		return v
	}
	v.Stop = fmt.Sprintf("it is not over within %s", p.Limit)
	return v.halt()
}

// halt takes the turn from those that have not claimed.
func (v Verdict) halt() Verdict {
	for host, st := range v.Hosts {
		if st.Stand == Turn {
			v.Hosts[host] = Standing{Stand: Waiting}
		}
	}
	return v
}

// stand is where the host at a place of an open wave stands.
func (p Plan) stand(w Wave, place int, opens time.Time, seen Seen, now time.Time, before map[string]Standing) Standing {
	ready := opens
	if place >= p.AtOnce {
		ahead := before[w.Hosts[place-p.AtOnce]]
		if ahead.Stand != Passed && ahead.Stand != Fell {
			return Standing{Stand: Waiting}
		}
		ready = ahead.At
	}
	said := seen[w.Hosts[place]]
	claimed, began := said[Claimed]
	end, state := ending(said)
	if !began && state != "" {
		claimed, began = end, true // its claim was lost, its result was not
	}
	lapse := ready.Add(p.ClaimWithin)
	if !began || claimed.After(lapse) {
		switch {
		case now.Before(lapse.Add(-Settle)):
			return Standing{Stand: Turn, At: lapse}
		case now.Before(lapse):
			return Standing{Stand: Waiting, At: lapse} // too late to begin, too early to call it silence
		}
		return Standing{Fell, lapse, fmt.Sprintf("it did not take its turn within %s: does boot-agent follow run there?", p.ClaimWithin)}
	}
	lapse = claimed.Add(p.HostTime + Grace)
	switch {
	case state == "" || end.After(lapse):
		if now.Before(lapse) {
			return Standing{Stand: UnderWay, At: lapse}
		}
		return Standing{Fell, lapse, fmt.Sprintf("it took its turn and gave no result within %s", p.HostTime+Grace)}
	case state == Done:
		return Standing{Stand: Passed, At: end}
	}
	return Standing{Stand: Fell, At: end}
}

// ending is the first of a host's final results.
func ending(said map[State]time.Time) (at time.Time, state State) {
	for _, s := range []State{Failed, Done} { // of two in the same second, the bad one
		if when, ok := said[s]; ok && (state == "" || when.Before(at)) {
			at, state = when, s
		}
	}
	return at, state
}

// Worst is how long a rollout may take at most: each host uses all its time.
func Worst(p Plan, r Roster) time.Duration {
	var sum time.Duration
	for _, w := range r.Waves {
		turns := (len(w.Hosts) + p.AtOnce - 1) / p.AtOnce
		sum += p.Pause + time.Duration(turns)*(p.ClaimWithin+p.HostTime+Grace)
	}
	return sum + time.Minute
}
