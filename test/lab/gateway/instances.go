package gateway

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// instanceFields are the filters of DescribeInstances that the gateway
// applies itself: they read what it rewrites, or moto lacks them.
func instanceFields() map[string][]string {
	return map[string][]string{
		"instance-state-name":          {"instanceState", "name"},
		"instance-state-code":          {"instanceState", "code"},
		"client-token":                 {"clientToken"},
		"root-device-type":             {"rootDeviceType"},
		"root-device-name":             {"rootDeviceName"},
		"instance-lifecycle":           {"instanceLifecycle"},
		"iam-instance-profile.arn":     {"iamInstanceProfile", "arn"},
		"metadata-options.http-tokens": {"metadataOptions", "httpTokens"},
		"virtualization-type":          {"virtualizationType"},
		"hypervisor":                   {"hypervisor"},
		"vpc-id":                       {"vpcId"},
		"subnet-id":                    {"subnetId"},
		"private-ip-address":           {"privateIpAddress"},
	}
}

func (g *Gateway) describeInstances(ctx context.Context, c *call) (reply, error) {
	if err := g.refuseVanished(flat(c.form, "InstanceId")); err != nil {
		return reply{}, err
	}
	fields := instanceFields()
	form := cloneForm(c.form)
	filters := takeFilters(form, func(name string) bool { return fields[name] != nil })
	doc, rep, err := g.forwardWhole(ctx, c, form)
	if doc == nil {
		return rep, err
	}
	set := doc.at("reservationSet")
	for _, r := range set.items() {
		r.at("instancesSet").keep(func(n *node) bool {
			g.rewriteInstance(n)
			return !g.vanished(n.value("instanceId")) && passes(n, filters, fields)
		})
	}
	set.keep(func(r *node) bool { return len(r.items("instancesSet")) > 0 })
	return withTree(c, rep, doc), nil
}

// forwardWhole forwards a DescribeInstances. EC2 pages only for who asks for
// pages, moto at every 100 instances: without MaxResults the pages are joined.
func (g *Gateway) forwardWhole(ctx context.Context, c *call, form url.Values) (*node, reply, error) {
	doc, rep, err := g.forwardTree(ctx, c, form)
	if form.Get("MaxResults") != "" || form.Get("NextToken") != "" {
		return doc, rep, err
	}
	for doc != nil && doc.value("nextToken") != "" {
		form.Set("NextToken", doc.value("nextToken"))
		page, rep, err := g.forwardTree(ctx, c, form)
		if page == nil {
			return nil, rep, err
		}
		set := doc.at("reservationSet")
		set.kids = append(set.kids, page.items("reservationSet")...)
		doc.set(page.value("nextToken"), "nextToken")
	}
	if doc != nil {
		doc.drop("nextToken")
	}
	return doc, rep, err
}

// rewriteInstance makes an instance element say what EC2 would say.
func (g *Gateway) rewriteInstance(n *node) {
	g.writeState(n)
	scrubPublicAddresses(n)
	n.set("", "dnsName") // no public name
	if n.value("clientToken") == "ABCDE" {
		n.drop("clientToken") // moto's filler for a launch without one
	}
	for _, eni := range n.items("networkInterfaceSet") {
		ownByInstance(eni)
	}
	if n.value("instanceState", "name") == terminated {
		// EC2 takes address, interfaces and disks from a terminated instance.
		n.drop("privateIpAddress", "subnetId", "vpcId", "networkInterfaceSet", "blockDeviceMapping", "groupSet")
		n.set("", "privateDnsName")
	}
}

func (g *Gateway) describeInstanceStatus(ctx context.Context, c *call) (reply, error) {
	if err := g.refuseVanished(flat(c.form, "InstanceId")); err != nil {
		return reply{}, err
	}
	fields := map[string][]string{
		"instance-state-name":    {"instanceState", "name"},
		"instance-state-code":    {"instanceState", "code"},
		"instance-status.status": {"instanceStatus", "status"},
		"system-status.status":   {"systemStatus", "status"},
		"availability-zone":      {"availabilityZone"},
	}
	form := cloneForm(c.form)
	filters := takeFilters(form, func(name string) bool { return fields[name] != nil })
	all := form.Get("IncludeAllInstances") == "true"
	form.Set("IncludeAllInstances", "true")
	doc, rep, err := g.forwardTree(ctx, c, form)
	if doc == nil {
		return rep, err
	}
	doc.at("instanceStatusSet").keep(func(n *node) bool {
		g.writeState(n)
		state := n.value("instanceState", "name")
		for _, check := range []string{"instanceStatus", "systemStatus"} {
			if state != running {
				n.set("", check)
				n.set("not-applicable", check, "status")
			}
		}
		shown := state == running || (all && !g.vanished(n.value("instanceId")))
		return shown && passes(n, filters, fields)
	})
	return withTree(c, rep, doc), nil
}

func (g *Gateway) startInstances(ctx context.Context, c *call) (reply, error) {
	ids := flat(c.form, "InstanceId")
	rep, err := g.changeState(ctx, c, ids, pending, running, stopped)
	if err == nil && rep.status < 300 {
		g.markStarting(ids, true)
		g.cfg.Machines.Nudge()
	}
	return rep, err
}

func (g *Gateway) stopInstances(ctx context.Context, c *call) (reply, error) {
	ids := flat(c.form, "InstanceId")
	rep, err := g.changeState(ctx, c, ids, running, stopping, stopped)
	if err == nil && rep.status < 300 {
		g.markStarting(ids, false)
		g.cfg.Machines.Nudge()
	}
	return rep, err
}

func (g *Gateway) terminateInstances(ctx context.Context, c *call) (reply, error) {
	rep, err := g.changeState(ctx, c, flat(c.form, "InstanceId"))
	if err == nil && rep.status < 300 {
		g.cfg.Machines.Nudge()
	}
	return rep, err
}

// changeState forwards a call that moves instances, if every one of them is
// in a state that EC2 takes it from (none given: any), and writes true states
// into the reply.
func (g *Gateway) changeState(ctx context.Context, c *call, ids []string, from ...string) (reply, error) {
	before, err := g.checkStates(ctx, c, ids, from...)
	if err != nil {
		return reply{}, err
	}
	doc, rep, err := g.forwardTree(ctx, c, c.form)
	if doc == nil {
		return rep, err
	}
	after := map[string]string{"StartInstances": running, "StopInstances": stopped, "TerminateInstances": terminated}
	for _, n := range doc.items("instancesSet") {
		id := n.value("instanceId")
		was := before[id].value("instanceState", "name")
		setState(n.make("previousState"), was)
		now := g.stateOf(id, after[c.action])
		if c.action == "StartInstances" && was != running {
			now = pending
		}
		setState(n.make("currentState"), now)
	}
	return withTree(c, rep, doc), nil
}

// checkStates returns the instances as they are, or EC2's refusal.
func (g *Gateway) checkStates(ctx context.Context, c *call, ids []string, from ...string) (map[string]*node, error) {
	if len(ids) == 0 {
		return nil, refuse("MissingParameter", "The request must contain the parameter InstanceId")
	}
	if err := g.refuseVanished(ids); err != nil {
		return nil, err
	}
	now, err := g.instances(ctx, c, ids...)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		state := now[id].value("instanceState", "name")
		if len(from) > 0 && !slices.Contains(from, state) {
			return nil, refuse("IncorrectInstanceState",
				"The instance '%s' is not in a state from which %s can be done: it is %s", id, c.action, state)
		}
	}
	return now, nil
}

func (g *Gateway) rebootInstances(ctx context.Context, c *call) (reply, error) {
	ids := flat(c.form, "InstanceId")
	if _, err := g.checkStates(ctx, c, ids, running); err != nil {
		return reply{}, err
	}
	rep, err := g.forwardForm(ctx, c, c.form)
	if r, ok := g.cfg.Machines.(Rebooter); ok && err == nil && rep.status < 300 {
		for _, id := range ids {
			r.Reboot(id)
		}
	}
	return rep, err
}

func (g *Gateway) getConsoleOutput(ctx context.Context, c *call) (reply, error) {
	id := c.form.Get("InstanceId")
	if _, err := g.checkStates(ctx, c, []string{id}); err != nil {
		return reply{}, err
	}
	if err := refuseDryRun(c); err != nil {
		return reply{}, err
	}
	out := g.cfg.Machines.Console(id)
	if over := len(out) - 64<<10; over > 0 { // EC2 keeps the last 64 KiB
		out = out[over:]
	}
	return ec2Reply(c, "<instanceId>"+id+"</instanceId><timestamp>"+g.cfg.Now().UTC().Format(time.RFC3339)+
		"</timestamp><output>"+base64.StdEncoding.EncodeToString(out)+"</output>"), nil
}

// modifyMetadataOptions keeps what the call does not name: moto resets it.
func (g *Gateway) modifyMetadataOptions(ctx context.Context, c *call) (reply, error) {
	id := c.form.Get("InstanceId")
	now, err := g.checkStates(ctx, c, []string{id}, pending, running, stopping, stopped)
	if err != nil {
		return reply{}, err
	}
	options := now[id].at("metadataOptions")
	form := cloneForm(c.form)
	for param, field := range metadataOptions() {
		if v := options.value(field); form.Get(param) == "" && v != "" {
			form.Set(param, v)
		}
	}
	rep, err := g.forwardForm(ctx, c, form)
	if err == nil && rep.status == http.StatusOK {
		g.cfg.Machines.Nudge()
	}
	return rep, err
}

func metadataOptions() map[string]string {
	return map[string]string{
		"HttpTokens":              "httpTokens",
		"HttpPutResponseHopLimit": "httpPutResponseHopLimit",
		"HttpEndpoint":            "httpEndpoint",
		"HttpProtocolIpv6":        "httpProtocolIpv6",
		"InstanceMetadataTags":    "instanceMetadataTags",
	}
}

// sameParameters compares two forms but for the client token.
func sameParameters(a, b url.Values) bool {
	a, b = cloneForm(a), cloneForm(b)
	a.Del("ClientToken")
	b.Del("ClientToken")
	return a.Encode() == b.Encode()
}
