package asg

import (
	"compress/gzip"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"bakehouse/test/asg/watch"
)

// Call is one request that the service answered.
type Call struct {
	Service string // autoscaling, ec2, monitoring
	Action  string
	Code    string // of the error; "" when it was done
}

// Service is the handler. Its zero value is not ready: use New or With.
type Service struct {
	ticking sync.Mutex // held by a tick; before mu

	mu        sync.Mutex
	now       func() time.Time
	machines  Machines
	madeUp    bool // machines are
	parallel  int
	templates resolver
	notify    func(Change)
	health    func(context.Context, Balanced) ([]string, error)
	zones     []string
	subnets   map[string]string
	subnet    func(ctx context.Context, id string) string
	news      []Change
	telling   bool              // somebody tells the news
	past      map[string]*group // deleted ones, for their activities
	sent      []Notification
	offers    map[Pool]Offer
	lag       int
	frozen    map[string]*frost
	touched   map[string]bool // groups that calls changed since they were brought to now; "" is all
	forwarded time.Time
	moved     bool // since the last round began

	serial int
	calls  []Call
	faults map[string][]string // action to the codes of its next calls; "" passes

	groups    map[string]*group
	configs   map[string]*node
	policies  map[string]*node // by group and name, as the next two
	schedules map[string]*node
	hooks     map[string]*node
	notices   map[string]*node // by group, topic and event
	targets   []TargetGroup
	versions  map[string]*template // the service's own launch templates
	images    map[string]Image
	fires     map[string]time.Time // when schedules fire next
	watch     *watch.Store

	parameters map[string]parameter
}

// Image is what DescribeImages knows.
type Image struct {
	ID      string
	Created time.Time
	Tags    map[string]string
}

// New returns an empty service of its own with made-up machines. now is its clock.
func New(now func() time.Time) *Service { return With(Config{Now: now}) }

// With returns an empty service.
func With(c Config) *Service {
	s := &Service{now: c.Now, machines: c.Machines, parallel: c.Parallel, notify: c.Notify, health: c.Health, zones: c.Zones, subnets: c.Subnets, subnet: c.Subnet,
		offers: map[Pool]Offer{}, frozen: map[string]*frost{}, past: map[string]*group{}, touched: map[string]bool{}, faults: map[string][]string{}, groups: map[string]*group{},
		configs: map[string]*node{}, policies: map[string]*node{}, schedules: map[string]*node{}, fires: map[string]time.Time{}, hooks: map[string]*node{},
		notices: map[string]*node{}, versions: map[string]*template{}, images: map[string]Image{}, parameters: map[string]parameter{}}
	if s.now == nil {
		s.now = time.Now
	}
	s.watch = watch.New(s.now)
	if s.machines == nil {
		s.machines, s.madeUp = &madeUp{states: map[string]string{}}, true
	}
	s.templates = resolver{s: s, other: c.Templates, mu: &sync.Mutex{}, seen: map[TemplateRef]Template{}}
	return s
}

// AddImage makes an image known.
func (s *Service) AddImage(i Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images[i.ID] = i
}

// Fail makes the next calls of action end with these codes, one each; an
// empty code lets that call pass.
func (s *Service) Fail(action string, codes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[action] = append(s.faults[action], codes...)
}

// Calls returns all calls so far, oldest first.
func (s *Service) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Forget empties the list of calls.
func (s *Service) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = nil
}

// refusal is an error of AWS.
type refusal struct {
	code, message string
	status        int
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

func invalid(message string) error { return &refusal{"ValidationError", message, 400} }

// ServeHTTP answers one call. Calls take their turns.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer s.deliver()
	if r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forward()
		s.serveCloudWatch(w, r, body)
		return
	}
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.") {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.serveParameters(w, r, body)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	in := parseForm(form)
	service := "ec2"
	if form.Get("Version") == "2011-01-01" {
		service = "autoscaling"
	} else if form.Get("Version") == "2015-12-01" {
		service = "elasticloadbalancing"
	}
	action := form.Get("Action")
	s.prepare(r.Context(), action, in)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forward()
	out, err := s.answer(service, action, in)
	writeXML(w, service, action, out, err)
}

// read takes a call's body; the SDK compresses metric data.
func read(r *http.Request) ([]byte, error) {
	from := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		from = z
	}
	return io.ReadAll(io.LimitReader(from, 4<<20))
}

// operation answers one action.
type operation func(in *node) (*node, error)

func (s *Service) answer(service, action string, in *node) (*node, error) {
	err := s.fault(action)
	var out *node
	if err == nil {
		table := s.autoScaling()
		if service == "elasticloadbalancing" {
			table = s.balancing()
		} else if service == "ec2" && s.templates.other != nil {
			table = nil // somebody else's
		} else if service == "ec2" {
			table = s.ec2()
		}
		if op := table[action]; op != nil {
			s.freeze(action, in)
			s.touch(action, in)
			out, err = op(in)
		} else {
			err = &refusal{"InvalidAction", "there is no action " + action, 400}
		}
	}
	s.record(service, action, err)
	return out, err
}

// fault takes the next fault planned for action.
func (s *Service) fault(action string) error {
	codes := s.faults[action]
	if len(codes) == 0 {
		return nil
	}
	s.faults[action] = codes[1:]
	if codes[0] == "" {
		return nil
	}
	return &refusal{codes[0], "as the test asked", 400}
}

func (s *Service) record(service, action string, err error) {
	c := Call{Service: service, Action: action}
	if refused, ok := err.(*refusal); ok {
		c.Code = refused.code
	}
	s.calls = append(s.calls, c)
}

func (s *Service) next() int {
	s.serial++
	return s.serial
}

// sorted returns the values of m in the order of its keys.
func sorted[T any](m map[string]T) []T {
	var out []T
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

func key(parts ...string) string { return strings.Join(parts, "\x00") }
