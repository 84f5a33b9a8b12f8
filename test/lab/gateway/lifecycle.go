package gateway

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Transitions of lifecycle hooks, as PutLifecycleHook takes them.
const (
	launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	terminating = "autoscaling:EC2_INSTANCE_TERMINATING"
)

const (
	groupTag         = "aws:autoscaling:groupName"
	targetInService  = "InService"
	defaultHeartbeat = time.Hour // of a hook that names none, as the API has it
)

// Lifecycle is an instance of a group on its way to Target. moto keeps hooks
// but never waits for one; what waits stands here. An action whose time runs
// out is over, and the lab leaves it at that.
type Lifecycle struct {
	Instance string    `json:"instance"`
	Group    string    `json:"group"`
	Target   string    `json:"target"`             // as the instance's metadata says it
	Hook     string    `json:"hook,omitempty"`     // that waits; "" when none does
	Until    time.Time `json:"until,omitzero"`     // when it waits no more
	Beats    int       `json:"beats,omitempty"`    // heartbeats of all its hooks
	Answers  []string  `json:"answers,omitempty"`  // HOOK RESULT, in their order
	Requests []string  `json:"requests,omitempty"` // targets that the lab was asked for
}

// lifecycles are the instances of groups that somebody spoke of.
type lifecycles struct {
	mu      sync.Mutex
	byID    map[string]*Lifecycle
	signals map[string]Signal // by stack, resource and unique id
}

// LifecycleTarget is the state that the lab was told an instance is on its way
// to; "" when it was told none.
func (g *Gateway) LifecycleTarget(instanceID string) string {
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	if l := g.lifecycles.byID[instanceID]; l != nil {
		return l.Target
	}
	return ""
}

// lifecycle answers GET and POST /_lab/lifecycle: what stands where, and an
// instance's way to another state, {"instance": ID, "state": STATE}.
func (g *Gateway) lifecycle(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		g.lifecycles.mu.Lock()
		defer g.lifecycles.mu.Unlock()
		answerJSON(w, http.StatusOK, map[string]any{"instances": g.lifecycles.byID, "signals": slices.Collect(maps.Values(g.lifecycles.signals))})
		return
	}
	var in struct{ Instance, State string }
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&in)
	if err == nil {
		err = g.move(r.Context(), in.Instance, in.State)
	}
	if err != nil {
		answerJSON(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// targets are the values of autoscaling/target-lifecycle-state.
func targets() []string {
	return []string{targetInService, "Terminated", "Detached", "Standby", "Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated", "Warmed:Terminated"}
}

// move sends an instance on its way to a state, and lets the group's hook wait for it.
func (g *Gateway) move(ctx context.Context, id, state string) error {
	if !slices.Contains(targets(), state) {
		return refuse("ValidationError", "no such state %q: one of %s", state, strings.Join(targets(), ", "))
	}
	l, err := g.member(ctx, id)
	if err != nil {
		return err
	}
	return g.open(ctx, l, state)
}

// member is the entry of an instance, made when it is in a group.
func (g *Gateway) member(ctx context.Context, id string) (*Lifecycle, error) {
	g.lifecycles.mu.Lock()
	l := g.lifecycles.byID[id]
	g.lifecycles.mu.Unlock()
	if l != nil {
		return l, nil
	}
	c := &call{service: "ec2", signing: "ec2", region: "us-east-1", header: http.Header{}}
	doc, err := g.ask(ctx, c, "DescribeInstances", url.Values{"InstanceId.1": {id}})
	if err != nil {
		return nil, err
	}
	var group string
	for _, r := range doc.items("reservationSet") {
		for _, n := range r.items("instancesSet") {
			for _, tag := range n.items("tagSet") {
				if tag.value("key") == groupTag {
					group = tag.value("value")
				}
			}
		}
	}
	if group == "" {
		return nil, refuse("ValidationError", "instance %s is in no Auto Scaling group", id)
	}
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	if l = g.lifecycles.byID[id]; l == nil {
		l = &Lifecycle{Instance: id, Group: group}
		g.lifecycles.byID[id] = l
	}
	return l, nil
}

// open begins the way to a state.
func (g *Gateway) open(ctx context.Context, l *Lifecycle, state string) error {
	hook, wait, err := g.hookFor(ctx, l.Group, transition(state))
	if err != nil {
		return err
	}
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	l.Target, l.Hook = state, hook
	l.Requests = append(l.Requests, state)
	if hook != "" {
		l.Until = g.cfg.Now().Add(wait)
	}
	return nil
}

// transition is what a hook must be for to wait on the way to state.
func transition(state string) string {
	switch {
	case strings.HasSuffix(state, "Terminated"):
		return terminating
	case state == targetInService || strings.HasPrefix(state, "Warmed:"):
		return launching
	}
	return ""
}

// hookFor finds a group's hook for a transition, "" without one.
func (g *Gateway) hookFor(ctx context.Context, group, transition string) (name string, wait time.Duration, err error) {
	c := &call{service: "autoscaling", signing: "autoscaling", action: "DescribeLifecycleHooks", protocol: protoQuery, region: "us-east-1", header: http.Header{}}
	doc, err := g.askQuery(ctx, c, url.Values{"Version": {"2011-01-01"}, "AutoScalingGroupName": {group}})
	if err != nil {
		return "", 0, err
	}
	list := doc.at("DescribeLifecycleHooksResult", "LifecycleHooks")
	if list == nil {
		return "", 0, nil
	}
	for _, h := range list.kids {
		if h.value("LifecycleTransition") == transition {
			wait = defaultHeartbeat
			if n, err := strconv.Atoi(h.value("HeartbeatTimeout")); err == nil && n > 0 {
				wait = time.Duration(n) * time.Second
			}
			return h.value("LifecycleHookName"), wait, nil
		}
	}
	return "", 0, nil
}

// askQuery is ask for services that speak the query protocol.
func (g *Gateway) askQuery(ctx context.Context, c *call, form url.Values) (*node, error) {
	form.Set("Action", c.action)
	rep, err := g.forwardForm(ctx, c, form)
	if err != nil {
		return nil, err
	}
	doc, err := parseXML(rep.body)
	if err != nil {
		return nil, err
	}
	if rep.status >= 400 {
		return nil, &apiError{Code: doc.value("Error", "Code"), Message: doc.value("Error", "Message"), Status: rep.status}
	}
	return doc, nil
}

// waiting returns the entry that an action's call is about. An instance that
// nobody spoke of yet was launched into its group and is on its way into service.
func (g *Gateway) waiting(ctx context.Context, c *call) (*Lifecycle, error) {
	id := c.form.Get("InstanceId")
	l, err := g.member(ctx, id)
	if err != nil {
		return nil, err
	}
	g.lifecycles.mu.Lock()
	fresh := l.Target == ""
	g.lifecycles.mu.Unlock()
	if fresh {
		if err := g.open(ctx, l, targetInService); err != nil {
			return nil, err
		}
	}
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	if l.Hook == "" || l.Hook != c.form.Get("LifecycleHookName") || l.Group != c.form.Get("AutoScalingGroupName") || g.cfg.Now().After(l.Until) {
		return nil, refuse("ValidationError", "No active Lifecycle Action found with instance ID %s", id)
	}
	return l, nil
}

func (g *Gateway) recordHeartbeat(ctx context.Context, c *call) (reply, error) {
	l, err := g.waiting(ctx, c)
	if err != nil {
		return reply{}, err
	}
	_, wait, err := g.hookFor(ctx, l.Group, transition(l.Target))
	if err != nil {
		return reply{}, err
	}
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	l.Beats++
	l.Until = g.cfg.Now().Add(wait)
	return queryReply(c), nil
}

func (g *Gateway) completeAction(ctx context.Context, c *call) (reply, error) {
	result := c.form.Get("LifecycleActionResult")
	if result != "CONTINUE" && result != "ABANDON" {
		return reply{}, refuse("ValidationError", "LifecycleActionResult is %q, want CONTINUE or ABANDON", result)
	}
	l, err := g.waiting(ctx, c)
	if err != nil {
		return reply{}, err
	}
	g.lifecycles.mu.Lock()
	l.Answers = append(l.Answers, l.Hook+" "+result)
	l.Hook = ""
	ends := transition(l.Target) == terminating || result == "ABANDON"
	g.lifecycles.mu.Unlock()
	if ends { // the group's own doing, which no tool asked for
		own := &call{id: c.id, service: "ec2", signing: "ec2", action: "TerminateInstances", protocol: protoEC2, region: c.region, header: http.Header{},
			form: url.Values{"Action": {"TerminateInstances"}, "Version": {"2016-11-15"}, "InstanceId.1": {l.Instance}}}
		g.background(ctx, func(ctx context.Context) { _, _ = g.terminateInstances(ctx, own) })
	}
	return queryReply(c), nil
}

// Signal is one SignalResource.
type Signal struct {
	Stack    string `json:"stack"`
	Resource string `json:"resource"`
	ID       string `json:"id"`
	Status   string `json:"status"`
}

// signalResource keeps a signal; moto has stacks but takes no signals. The
// first one of an id stands, and a stack takes signals in any state.
func (g *Gateway) signalResource(ctx context.Context, c *call) (reply, error) {
	s := Signal{c.form.Get("StackName"), c.form.Get("LogicalResourceId"), c.form.Get("UniqueId"), c.form.Get("Status")}
	if s.ID == "" || s.Status != "SUCCESS" && s.Status != "FAILURE" {
		return reply{}, refuse("ValidationError", "a signal needs a UniqueId and a Status, SUCCESS or FAILURE: %+v", s)
	}
	own := *c
	own.action = "DescribeStackResource"
	if _, err := g.askQuery(ctx, &own, url.Values{"Version": {"2010-05-15"}, "StackName": {s.Stack}, "LogicalResourceId": {s.Resource}}); err != nil {
		return reply{}, err
	}
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	key := strings.Join([]string{s.Stack, s.Resource, s.ID}, "\x00")
	if _, known := g.lifecycles.signals[key]; !known {
		g.lifecycles.signals[key] = s
	}
	return queryReply(c), nil
}

// queryReply is the success document of an action that returns nothing.
func queryReply(c *call) reply {
	body := xml.Header + "<" + c.action + "Response><" + c.action + "Result/><ResponseMetadata><RequestId>" + c.id + "</RequestId></ResponseMetadata></" + c.action + "Response>"
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}}, body: []byte(body)}
}
