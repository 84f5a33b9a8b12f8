package gateway

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// probeTime is how long a target may take to answer a health check: the default
// of an Application Load Balancer.
const probeTime = 5 * time.Second

// target is an instance's place in a target group.
type target struct{ group, id, port string }

// draining are targets that were deregistered and may still have connections.
// moto forgets a target at once, and calls every registered one healthy.
type draining struct {
	mu    sync.Mutex
	until map[target]time.Time
}

// targetGroup is what health checks need of a group.
type targetGroup struct {
	port, path, matcher, protocol string
	used                          bool // by a load balancer
	delay                         time.Duration
}

// registerTargets ends the draining of what is registered again.
func (g *Gateway) registerTargets(ctx context.Context, c *call) (reply, error) {
	of, err := g.targetGroup(ctx, c, c.form.Get("TargetGroupArn"))
	if err != nil {
		return reply{}, err
	}
	return g.changeTargets(ctx, c, of, func(t target) { delete(g.draining.until, t) })
}

// deregisterTargets lets targets drain for the group's deregistration delay.
// One that is not registered is passed over, which moto refuses and AWS does not
// (https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DeregisterTargets.html).
func (g *Gateway) deregisterTargets(ctx context.Context, c *call) (reply, error) {
	arn := c.form.Get("TargetGroupArn")
	of, err := g.targetGroup(ctx, c, arn)
	if err != nil {
		return reply{}, err
	}
	registered, err := g.registered(ctx, c, arn)
	if err != nil {
		return reply{}, err
	}
	own := *c
	own.form = url.Values{"Action": {c.action}, "Version": c.form["Version"], "TargetGroupArn": {arn}}
	for _, t := range asked(c, arn, of.port) {
		if slices.Contains(registered, t) {
			key := fmt.Sprintf("Targets.member.%d", len(asked(&own, arn, of.port))+1)
			own.form.Set(key+".Id", t.id)
			own.form.Set(key+".Port", t.port)
		}
	}
	if !own.form.Has("Targets.member.1.Id") {
		return queryReply(c), nil
	}
	return g.changeTargets(ctx, &own, of, func(t target) { g.draining.until[t] = g.cfg.Now().Add(of.delay) })
}

func (g *Gateway) changeTargets(ctx context.Context, c *call, of targetGroup, note func(target)) (reply, error) {
	rep, err := g.forward(ctx, c)
	if err != nil || rep.status >= 300 {
		return rep, err
	}
	g.draining.mu.Lock()
	defer g.draining.mu.Unlock()
	if g.draining.until == nil {
		g.draining.until = map[target]time.Time{}
	}
	for _, t := range asked(c, c.form.Get("TargetGroupArn"), of.port) {
		note(t)
	}
	return rep, nil
}

// asked are the targets that a call names; a missing port is the group's.
func asked(c *call, arn, port string) (out []target) {
	for i := 1; ; i++ {
		key := "Targets.member." + strconv.Itoa(i)
		id := c.form.Get(key + ".Id")
		if id == "" {
			return out
		}
		t := target{arn, id, c.form.Get(key + ".Port")}
		if t.port == "" {
			t.port = port
		}
		out = append(out, t)
	}
}

// targetGroup asks moto for what a group is.
func (g *Gateway) targetGroup(ctx context.Context, c *call, arn string) (targetGroup, error) {
	doc, err := g.askBalancing(ctx, c, "DescribeTargetGroups", url.Values{"TargetGroupArns.member.1": {arn}})
	if err != nil {
		return targetGroup{}, err
	}
	list := members(doc.at("DescribeTargetGroupsResult", "TargetGroups"))
	if len(list) != 1 {
		return targetGroup{}, refuse("TargetGroupNotFound", "One or more target groups not found")
	}
	n := list[0]
	of := targetGroup{port: n.value("Port"), path: n.value("HealthCheckPath"), matcher: n.value("Matcher", "HttpCode"),
		protocol: n.value("HealthCheckProtocol"), used: len(members(n.at("LoadBalancerArns"))) > 0, delay: 300 * time.Second}
	doc, err = g.askBalancing(ctx, c, "DescribeTargetGroupAttributes", url.Values{"TargetGroupArn": {arn}})
	if err != nil {
		return of, err
	}
	for _, a := range members(doc.at("DescribeTargetGroupAttributesResult", "Attributes")) {
		if n, err := strconv.Atoi(a.value("Value")); err == nil && a.value("Key") == "deregistration_delay.timeout_seconds" {
			of.delay = time.Duration(n) * time.Second
		}
	}
	return of, nil
}

func (g *Gateway) askBalancing(ctx context.Context, c *call, action string, form url.Values) (*node, error) {
	own := *c
	own.action = action
	form.Set("Version", "2015-12-01")
	return g.askQuery(ctx, &own, form)
}

// members are a list's elements in the Query protocol.
func members(list *node) []*node {
	if list == nil {
		return nil
	}
	return list.kids
}

// registered are a group's targets, as moto keeps them.
func (g *Gateway) registered(ctx context.Context, c *call, arn string) (out []target, err error) {
	doc, err := g.askBalancing(ctx, c, "DescribeTargetHealth", url.Values{"TargetGroupArn": {arn}})
	if err != nil {
		return nil, err
	}
	for _, d := range members(doc.at("DescribeTargetHealthResult", "TargetHealthDescriptions")) {
		out = append(out, target{arn, d.value("Target", "Id"), d.value("Target", "Port")})
	}
	return out, nil
}

// health is a target's state as ELB names it.
type health struct{ state, reason, description string }

// describeTargetHealth probes each target at this moment: the lab's load
// balancer counts no thresholds.
func (g *Gateway) describeTargetHealth(ctx context.Context, c *call) (reply, error) {
	arn := c.form.Get("TargetGroupArn")
	of, err := g.targetGroup(ctx, c, arn)
	if err != nil {
		return reply{}, err
	}
	registered, err := g.registered(ctx, c, arn)
	if err != nil {
		return reply{}, err
	}
	states := map[target]health{}
	var order []target
	for _, t := range registered {
		states[t] = health{}
		order = append(order, t)
	}
	for _, t := range g.stillDraining(arn) {
		if _, again := states[t]; !again {
			states[t] = health{"draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"}
			order = append(order, t)
		}
	}
	if named := asked(c, arn, of.port); len(named) > 0 {
		order = named
	}
	var body strings.Builder
	for _, t := range order {
		h, known := states[t]
		switch {
		case !known:
			h = health{"unused", "Target.NotRegistered", "Target is not registered to the target group"}
		case h.state == "" && !of.used:
			h = health{"unused", "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"}
		case h.state == "":
			h = g.probe(ctx, t, of)
		}
		body.WriteString(t.describe(h))
	}
	return queryResult(c, "<TargetHealthDescriptions>"+body.String()+"</TargetHealthDescriptions>"), nil
}

// stillDraining forgets what has drained.
func (g *Gateway) stillDraining(arn string) (out []target) {
	g.draining.mu.Lock()
	defer g.draining.mu.Unlock()
	for t, until := range g.draining.until {
		switch {
		case !g.cfg.Now().Before(until):
			delete(g.draining.until, t)
		case t.group == arn:
			out = append(out, t)
		}
	}
	return out
}

func (t target) describe(h health) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<member><Target><Id>%s</Id><Port>%s</Port></Target><HealthCheckPort>%s</HealthCheckPort><TargetHealth><State>%s</State>", t.id, t.port, t.port, h.state)
	if h.reason != "" {
		b.WriteString("<Reason>" + h.reason + "</Reason><Description>")
		_ = xml.EscapeText(&b, []byte(h.description)) // a strings.Builder never fails
		b.WriteString("</Description>")
	}
	b.WriteString("</TargetHealth></member>")
	return b.String()
}

// probe asks the guest itself.
func (g *Gateway) probe(ctx context.Context, t target, of targetGroup) health {
	failed := func(format string, args ...any) health {
		return health{"unhealthy", "Target.FailedHealthChecks", fmt.Sprintf(format, args...)}
	}
	addr, err := g.addressOf(ctx, t.id)
	if err != nil {
		return failed("%v", err)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if of.protocol != "HTTP" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(addr, t.port))
		if err != nil {
			return failed("%v", err)
		}
		_ = conn.Close()
		return health{state: "healthy"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(addr, t.port)+of.path, nil)
	if err != nil {
		return failed("%v", err)
	}
	res, err := g.client.Do(req)
	if err != nil {
		return failed("Request timed out or was refused: %v", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<16)) // so that the connection can be used again
	_ = res.Body.Close()
	if !matches(of.matcher, res.StatusCode) {
		return health{"unhealthy", "Target.ResponseCodeMismatch", fmt.Sprintf("Health checks failed with these codes: [%d]", res.StatusCode)}
	}
	return health{state: "healthy"}
}

// matches reads a matcher such as 200, 200,202 or 200-299.
func matches(matcher string, code int) bool {
	if matcher == "" {
		matcher = "200"
	}
	for _, part := range strings.Split(matcher, ",") {
		low, high, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			high = low
		}
		from, ferr := strconv.Atoi(low)
		to, terr := strconv.Atoi(high)
		if ferr == nil && terr == nil && from <= code && code <= to {
			return true
		}
	}
	return false
}

// addressOf is an instance's private address.
func (g *Gateway) addressOf(ctx context.Context, id string) (string, error) {
	c := &call{service: "ec2", signing: "ec2", region: "us-east-1", header: http.Header{}}
	doc, err := g.ask(ctx, c, "DescribeInstances", url.Values{"InstanceId.1": {id}})
	if err != nil {
		return "", err
	}
	for _, r := range doc.items("reservationSet") {
		for _, n := range r.items("instancesSet") {
			if addr := n.value("privateIpAddress"); addr != "" {
				return addr, nil
			}
		}
	}
	return "", refuse("InvalidTarget", "instance %s has no address", id)
}

// queryResult is the success document of an action, with its result.
func queryResult(c *call, result string) reply {
	body := xml.Header + "<" + c.action + `Response xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><` + c.action + "Result>" + result + "</" + c.action +
		"Result><ResponseMetadata><RequestId>" + c.id + "</RequestId></ResponseMetadata></" + c.action + "Response>"
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}}, body: []byte(body)}
}
