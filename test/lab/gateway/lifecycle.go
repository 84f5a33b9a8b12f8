package gateway

import (
	"context"
	"encoding/xml"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Lifecycle is an instance of a group on its way to Target, with what its
// hooks were told: that much Auto Scaling itself does not keep.
type Lifecycle struct {
	Instance string   `json:"instance"`
	Group    string   `json:"group"`
	Target   string   `json:"target,omitempty"`  // as the instance's metadata says it
	Beats    int      `json:"beats,omitempty"`   // heartbeats of all its hooks
	Answers  []string `json:"answers,omitempty"` // HOOK RESULT, in their order
}

// lifecycles are the instances of groups that somebody spoke of.
type lifecycles struct {
	mu      sync.Mutex
	byID    map[string]*Lifecycle
	signals map[string]Signal // by stack, resource and unique id
}

// LifecycleTarget is the state that an instance is on its way to; "" when it
// is in no group.
func (g *Gateway) LifecycleTarget(instanceID string) string {
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	if l := g.lifecycles.byID[instanceID]; l != nil {
		return l.Target
	}
	return ""
}

// Move notes that a group sends an instance to target, which its metadata
// says from then on.
func (g *Gateway) Move(group, instanceID, target string) {
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	g.lifecycles.of(group, instanceID).Target = target
}

// of is the entry of an instance; the caller holds the lock.
func (l *lifecycles) of(group, id string) *Lifecycle {
	if l.byID[id] == nil {
		l.byID[id] = &Lifecycle{Instance: id, Group: group}
	}
	return l.byID[id]
}

// heard notes what a hook was told, once Auto Scaling has taken it.
func (g *Gateway) heard(c *call) {
	id := c.form.Get("InstanceId")
	if id == "" {
		return // told by a token, which no tool of ours does
	}
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	switch c.action {
	case "RecordLifecycleActionHeartbeat":
		g.lifecycles.of(c.form.Get("AutoScalingGroupName"), id).Beats++
	case "CompleteLifecycleAction":
		l := g.lifecycles.of(c.form.Get("AutoScalingGroupName"), id)
		l.Answers = append(l.Answers, c.form.Get("LifecycleHookName")+" "+c.form.Get("LifecycleActionResult"))
	}
}

// lifecycle answers GET /_lab/lifecycle.
func (g *Gateway) lifecycle(w http.ResponseWriter) {
	g.lifecycles.mu.Lock()
	defer g.lifecycles.mu.Unlock()
	answerJSON(w, http.StatusOK, map[string]any{"instances": g.lifecycles.byID, "signals": slices.Collect(maps.Values(g.lifecycles.signals))})
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
