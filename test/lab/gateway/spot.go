package gateway

import (
	"context"
	"maps"
	"slices"
	"strings"
)

// Interrupter is what a Machines may also offer: whether a spot instance is
// under an interruption notice, and what will become of it ("terminate",
// "stop" or "hibernate"). Without it no instance ever is.
type Interrupter interface {
	Interrupting(instanceID string) (action string, pending bool)
}

// describeSpotInstanceRequests answers for the instances that were launched on
// spot: moto keeps requests only of RequestSpotInstances, and of those no
// notice. State and status follow the instance, see "Spot request status
// codes" in the EC2 user guide; how a spot instance came to its end, its
// request does not tell here.
func (g *Gateway) describeSpotInstanceRequests(ctx context.Context, c *call) (reply, error) {
	if err := refuseDryRun(c); err != nil {
		return reply{}, err
	}
	fields := map[string][]string{"instance-id": {"instanceId"}, "spot-instance-request-id": {"spotInstanceRequestId"}, "state": {"state"}, "status-code": {"status", "code"}}
	form := cloneForm(c.form)
	filters := takeFilters(form, func(name string) bool { return fields[name] != nil })
	if other := indexed(form, "Filter"); len(other) > 0 {
		return reply{}, refuse("InvalidParameterValue", "The filter '%s' is invalid", other[0].Get("Name"))
	}
	asked := flat(form, "SpotInstanceRequestId")
	all, err := g.instances(ctx, c)
	if err != nil {
		return reply{}, err
	}
	set := &node{name: "spotInstanceRequestSet"}
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if all[id].value("instanceLifecycle") != "spot" || g.vanished(id) {
			continue
		}
		if r := g.spotRequest(id, all[id]); passes(r, filters, fields) && (len(asked) == 0 || slices.Contains(asked, r.value("spotInstanceRequestId"))) {
			set.kids = append(set.kids, r)
		}
	}
	var b strings.Builder
	set.write(&b)
	return ec2Reply(c, b.String()), nil
}

// spotRequest is the request behind an instance.
func (g *Gateway) spotRequest(id string, n *node) *node {
	state, status := "active", "fulfilled"
	if i, ok := g.cfg.Machines.(Interrupter); ok {
		if action, pending := i.Interrupting(id); pending {
			status = map[string]string{"terminate": "marked-for-termination", "stop": "marked-for-stop", "hibernate": "marked-for-stop"}[action]
		}
	}
	if now := n.value("instanceState", "name"); now == shuttingDown || now == terminated {
		state, status = "closed", "instance-terminated-by-user"
	}
	r := &node{name: "item"}
	r.set("sir-"+strings.TrimPrefix(id, "i-")[:min(8, len(id)-2)], "spotInstanceRequestId")
	r.set(state, "state")
	r.set(status, "status", "code")
	r.set(id, "instanceId")
	r.set("one-time", "type")
	return r
}
