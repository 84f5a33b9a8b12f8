package gateway

import (
	"context"
	"net/url"
)

// ownByInstance marks an instance's first interface as EC2 does: it goes with
// the instance.
func ownByInstance(eni *node) {
	if a := eni.at("attachment"); a.value("deviceIndex") == "0" {
		a.set("true", "deleteOnTermination")
	}
}

// releaseInterfaces deletes the interfaces of instances that are truly gone;
// moto leaves them in use for ever. It does so when somebody looks, which is
// early enough.
func (g *Gateway) releaseInterfaces(ctx context.Context, c *call) error {
	doc, err := g.ask(ctx, c, "DescribeNetworkInterfaces", url.Values{})
	if err != nil {
		return err
	}
	now, err := g.instances(ctx, c)
	if err != nil {
		return err
	}
	for _, eni := range doc.items("networkInterfaceSet") {
		owner := now[eni.value("attachment", "instanceId")]
		if owner == nil || owner.value("instanceState", "name") != terminated {
			continue
		}
		form := url.Values{"NetworkInterfaceId": {eni.value("networkInterfaceId")}}
		if _, err := g.ask(ctx, c, "DeleteNetworkInterface", form); err != nil && asAPIError(err).Code != "InvalidNetworkInterfaceID.NotFound" {
			return err
		}
	}
	return nil
}

func (g *Gateway) describeNetworkInterfaces(ctx context.Context, c *call) (reply, error) {
	if err := g.releaseInterfaces(ctx, c); err != nil {
		return reply{}, err
	}
	doc, rep, err := g.forwardTree(ctx, c, c.form)
	if doc == nil {
		return rep, err
	}
	for _, eni := range doc.items("networkInterfaceSet") {
		ownByInstance(eni)
	}
	scrubPublicAddresses(doc)
	return withTree(c, rep, doc), nil
}

// afterRelease forwards calls that interfaces of dead instances would block.
func (g *Gateway) afterRelease(ctx context.Context, c *call) (reply, error) {
	if err := g.releaseInterfaces(ctx, c); err != nil {
		return reply{}, err
	}
	return g.forwardScrubbed(ctx, c)
}

// deleteSecurityGroup refuses while an interface or another group's rule
// refers to the group, as EC2 does.
func (g *Gateway) deleteSecurityGroup(ctx context.Context, c *call) (reply, error) {
	if err := g.releaseInterfaces(ctx, c); err != nil {
		return reply{}, err
	}
	doc, err := g.ask(ctx, c, "DescribeSecurityGroups", url.Values{})
	if err != nil {
		return reply{}, err
	}
	id, name := c.form.Get("GroupId"), c.form.Get("GroupName")
	for _, group := range doc.items("securityGroupInfo") {
		if id == "" && group.value("groupName") == name {
			id = group.value("groupId")
		}
	}
	enis, err := g.ask(ctx, c, "DescribeNetworkInterfaces", url.Values{})
	if err != nil {
		return reply{}, err
	}
	if refersTo(enis.items("networkInterfaceSet"), id) || refersTo(othersThan(doc.items("securityGroupInfo"), id), id) {
		return reply{}, refuse("DependencyViolation", "resource %s has a dependent object", id)
	}
	return g.forwardForm(ctx, c, c.form)
}

func othersThan(groups []*node, id string) []*node {
	var out []*node
	for _, group := range groups {
		if group.value("groupId") != id {
			out = append(out, group)
		}
	}
	return out
}

// refersTo reports whether any groupId below the items is id.
func refersTo(items []*node, id string) bool {
	found := false
	for _, item := range items {
		item.walk(func(n *node) { found = found || (n.name == "groupId" && n.text == id) })
	}
	return found
}

// allocateAddress is refused: moto's elastic addresses are real-world ones.
func (g *Gateway) allocateAddress(context.Context, *call) (reply, error) {
	return reply{}, refuse("AddressLimitExceeded", "The lab has no public addresses: guests are reached by their private ones")
}
