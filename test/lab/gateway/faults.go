package gateway

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"sync"
	"time"
)

// Rule is a fault, as POST /_lab/faults takes it. Empty selectors match
// everything; service, action and caller may hold * and ?.
type Rule struct {
	ID      int    `json:"id"` // given by the gateway
	Service string `json:"service,omitempty"`
	Action  string `json:"action,omitempty"`
	Caller  string `json:"caller,omitempty"`
	// Params selects by parameters of the call's form, by their full name
	// (InstanceMarketOptions.MarketType); values may hold * and ?. A parameter
	// that the call does not have is empty.
	Params map[string]string `json:"params,omitempty"`
	// Nth is the first matching call that the fault hits, counted from 1
	// since the rule was set; 0 means 1.
	Nth int `json:"nth,omitempty"`
	// Times is how many matching calls in a row it hits; 0 means 1, -1 means
	// until the rule is deleted.
	Times   int    `json:"times,omitempty"`
	Code    string `json:"code,omitempty"`    // AWS error code to answer with; the call has no effect
	Message string `json:"message,omitempty"` // goes with Code
	Status  int    `json:"status,omitempty"`  // HTTP status of Code; 0 means 400
	Latency string `json:"latency,omitempty"` // wait before anything else, as time.ParseDuration reads it
	// ReplyLatency lets the call take effect at once and holds its reply back,
	// as time.ParseDuration reads it: time to kill the caller in between.
	ReplyLatency string `json:"reply_latency,omitempty"`
	// LostReply lets the call take effect and then cuts the connection.
	LostReply bool `json:"lost_reply,omitempty"`
	// Every makes it hit each so many-th matching call only, from Nth on;
	// 0 means 1. Times then bounds how many it hits.
	Every int `json:"every,omitempty"`
	// UnknownFor keeps new ids of EC2 unknown for a while, as
	// time.ParseDuration reads it: calls that name one are refused as for an
	// id that never was, and describes leave it out. Every call that the rule
	// hits is answered so, also one that another rule hits.
	UnknownFor string `json:"unknown_for,omitempty"`
	// PendingFor keeps the images that a call makes pending for at least so
	// long, as time.ParseDuration reads it.
	PendingFor string `json:"pending_for,omitempty"`

	Seen int `json:"seen"` // matching calls so far
	Hits int `json:"hits"` // calls hit so far
	Held int `json:"held"` // calls so far that have taken effect and whose reply was then held back
}

// validate names what is wrong with a rule.
func (r Rule) validate() error {
	for _, text := range []string{r.Latency, r.ReplyLatency, r.UnknownFor, r.PendingFor} {
		if d, err := time.ParseDuration(text); text != "" && (err != nil || d < 0) {
			return fmt.Errorf("checking fault: %q is no duration", text)
		}
	}
	for _, p := range slices.Concat([]string{r.Service, r.Action, r.Caller}, slices.Collect(maps.Values(r.Params))) {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("checking fault: pattern %q: %w", p, err)
		}
	}
	switch {
	case r.strikes() && r.slows():
		return fmt.Errorf("checking fault: unknown_for and pending_for need a rule of their own")
	case !r.strikes() && !r.slows():
		return fmt.Errorf("checking fault: none of code, latency, reply_latency, lost_reply, unknown_for, pending_for is set")
	case r.Code == "" && r.Status != 0:
		return fmt.Errorf("checking fault: status needs a code")
	case r.Nth < 0 || r.Times < -1 || r.Every < 0:
		return fmt.Errorf("checking fault: nth, times or every is negative")
	case r.Status != 0 && (r.Status < 400 || r.Status > 599):
		return fmt.Errorf("checking fault: status %d is no error", r.Status)
	}
	return nil
}

// strikes says that the rule does something to the call it hits.
func (r Rule) strikes() bool {
	return r.Code != "" || r.Latency != "" || r.ReplyLatency != "" || r.LostReply
}

// slows says that the rule has EC2 take its time: what it makes is known, or
// ready, only later.
func (r Rule) slows() bool { return r.UnknownFor != "" || r.PendingFor != "" }

// span reads a duration that was checked when the rule was set.
func span(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

func (r Rule) latency() time.Duration { return span(r.Latency) }

func (r Rule) replyLatency() time.Duration { return span(r.ReplyLatency) }

func (r Rule) failure() *apiError {
	e := &apiError{Code: r.Code, Message: r.Message, Status: r.Status}
	if e.Message == "" {
		e.Message = "a fault set in the lab"
	}
	if e.Status == 0 {
		e.Status = http.StatusBadRequest
	}
	return e
}

func (r Rule) selects(c *call) bool {
	for name, pattern := range r.Params {
		if ok, err := path.Match(pattern, c.form.Get(name)); err != nil || !ok {
			return false
		}
	}
	return like(r.Service, c.service) && like(r.Action, c.action) &&
		(like(r.Caller, c.caller) || like(r.Caller, c.accessKey))
}

func like(pattern, v string) bool {
	ok, err := path.Match(pattern, v)
	return pattern == "" || (err == nil && ok)
}

// faults are the rules in force, in the order in which they were set.
type faults struct {
	mu    sync.Mutex
	next  int
	rules []*Rule
	fresh fresh
}

func (f *faults) add(r Rule) Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	r.ID, r.Seen, r.Hits, r.Held = f.next, 0, 0, 0
	f.rules = append(f.rules, &r)
	return r
}

// clear drops the rule with the id, or all when id is 0.
func (f *faults) clear(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var left []*Rule
	for _, r := range f.rules {
		if id != 0 && r.ID != id {
			left = append(left, r)
		}
	}
	f.rules = left
}

// hold counts a call of the rule with the id whose reply is held back now.
func (f *faults) hold(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if r.ID == id {
			r.Held++
		}
	}
}

func (f *faults) list() []Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Rule{}
	for _, r := range f.rules {
		out = append(out, *r)
	}
	return out
}

// match counts c for every rule that selects it and returns the first rule
// that strikes and whose turn it is. How slow the call's answer is to be is
// noted in the call.
func (f *faults) match(c *call) (Rule, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit *Rule
	for _, r := range f.rules {
		if !r.selects(c) {
			continue
		}
		r.Seen++
		switch {
		case !r.due():
		case r.slows():
			r.Hits++
			c.unknownFor, c.pendingFor = max(c.unknownFor, span(r.UnknownFor)), max(c.pendingFor, span(r.PendingFor))
		case hit == nil:
			hit = r
		}
	}
	if hit == nil {
		return Rule{}, false
	}
	hit.Hits++
	return *hit, true
}

// due reports whether the call just counted is one the rule hits.
func (r *Rule) due() bool {
	first, times, every := max(r.Nth, 1), r.Times, max(r.Every, 1)
	if times == 0 {
		times = 1
	}
	since := r.Seen - first
	return since >= 0 && since%every == 0 && (times < 0 || since/every < times)
}
