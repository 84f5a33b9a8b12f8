package gateway

import (
	"fmt"
	"net/http"
	"path"
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

	Seen int `json:"seen"` // matching calls so far
	Hits int `json:"hits"` // calls hit so far
}

// validate names what is wrong with a rule.
func (r Rule) validate() error {
	for _, text := range []string{r.Latency, r.ReplyLatency} {
		if d, err := time.ParseDuration(text); text != "" && (err != nil || d < 0) {
			return fmt.Errorf("checking fault: latency %q is no duration", text)
		}
	}
	for _, p := range []string{r.Service, r.Action, r.Caller} {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("checking fault: pattern %q: %w", p, err)
		}
	}
	switch {
	case r.Code == "" && r.Latency == "" && r.ReplyLatency == "" && !r.LostReply:
		return fmt.Errorf("checking fault: none of code, latency, reply_latency, lost_reply is set")
	case r.Code == "" && r.Status != 0:
		return fmt.Errorf("checking fault: status needs a code")
	case r.Nth < 0 || r.Times < -1:
		return fmt.Errorf("checking fault: nth or times is negative")
	case r.Status != 0 && (r.Status < 400 || r.Status > 599):
		return fmt.Errorf("checking fault: status %d is no error", r.Status)
	}
	return nil
}

func (r Rule) latency() time.Duration {
	d, _ := time.ParseDuration(r.Latency) // checked when the rule was set
	return d
}

func (r Rule) replyLatency() time.Duration {
	d, _ := time.ParseDuration(r.ReplyLatency) // checked when the rule was set
	return d
}

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
}

func (f *faults) add(r Rule) Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.next++
	r.ID, r.Seen, r.Hits = f.next, 0, 0
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
// whose turn it is.
func (f *faults) match(c *call) (Rule, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hit *Rule
	for _, r := range f.rules {
		if !r.selects(c) {
			continue
		}
		r.Seen++
		if hit == nil && r.due() {
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
	first, times := max(r.Nth, 1), r.Times
	if times == 0 {
		times = 1
	}
	return r.Seen >= first && (times < 0 || r.Seen < first+times)
}
