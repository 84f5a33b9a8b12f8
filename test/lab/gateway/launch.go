package gateway

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// launches remembers RunInstances by client token.
type launches struct {
	mu      sync.Mutex // held for a whole launch: the same token twice at once must launch once
	byToken map[string]launch
}

type launch struct {
	form  url.Values
	reply reply
}

// runInstances launches once per client token, in the default subnet when
// none is named, with a root disk and metadata options that fit the image.
func (g *Gateway) runInstances(ctx context.Context, c *call) (reply, error) {
	rep, fresh, err := g.launchOnce(ctx, c)
	if err != nil || rep.status != http.StatusOK {
		return rep, err
	}
	if fresh {
		g.cfg.Machines.Nudge() // outside the lock: it may take as long as a look at EC2
	}
	return g.launched(c, rep)
}

// launchOnce returns moto's reply to the launch, or to the earlier one with
// the same token; fresh says which.
func (g *Gateway) launchOnce(ctx context.Context, c *call) (rep reply, fresh bool, err error) {
	g.launches.mu.Lock()
	defer g.launches.mu.Unlock()
	token := c.form.Get("ClientToken")
	if done, ok := g.launches.byToken[token]; ok && token != "" {
		if !sameParameters(done.form, c.form) {
			return reply{}, false, refuse("IdempotentParameterMismatch",
				"The token %s was used before with other parameters", token)
		}
		return done.reply, false, nil
	}
	form := cloneForm(c.form)
	if err := g.completeLaunch(ctx, c, form); err != nil {
		return reply{}, false, err
	}
	rep, err = g.forwardForm(ctx, c, form)
	if err == nil && rep.status == http.StatusOK && token != "" {
		g.launches.byToken[token] = launch{c.form, rep}
	}
	return rep, true, err
}

// launched writes today's truth into moto's reply to a launch.
func (g *Gateway) launched(c *call, rep reply) (reply, error) {
	doc, err := parseXML(rep.body)
	if err != nil {
		return reply{}, err
	}
	for _, n := range doc.items("instancesSet") {
		n.set(running, "instanceState", "name") // moto's word; its reply says pending
		g.rewriteInstance(n)
	}
	rep.header = rep.header.Clone() // several calls may get this one answer
	return withTree(c, rep, doc), nil
}

// completeLaunch fills in what EC2 defaults and moto does not.
func (g *Gateway) completeLaunch(ctx context.Context, c *call, form url.Values) error {
	if err := g.mergeTemplate(ctx, c, form); err != nil {
		return err
	}
	if form.Get("MaxCount") != "" {
		form.Set("MinCount", form.Get("MaxCount")) // moto launches MinCount; the lab has capacity
	}
	im, err := g.launchImage(ctx, c, form.Get("ImageId"))
	if err != nil {
		return err
	}
	if im.value("imdsSupport") == "v2.0" && form.Get("MetadataOptions.HttpTokens") == "" {
		form.Set("MetadataOptions.HttpTokens", "required")
		if form.Get("MetadataOptions.HttpPutResponseHopLimit") == "" {
			form.Set("MetadataOptions.HttpPutResponseHopLimit", "2")
		}
	}
	completeDisks(form, im)
	return g.completeNetwork(ctx, c, form)
}

// launchImage is the image's element, or EC2's refusal to launch from it.
func (g *Gateway) launchImage(ctx context.Context, c *call, id string) (*node, error) {
	if id == "" {
		return nil, refuse("MissingParameter", "The request must contain the parameter ImageId")
	}
	found, err := g.imagesNow(ctx, c, url.Values{"ImageId.1": {id}})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, refuse("InvalidAMIID.Unavailable", "The image ID '%s' is no longer available", id)
	}
	if state := found[0].value("imageState"); state != "available" {
		return nil, refuse("InvalidAMIID.Unavailable", "The image ID '%s' is not available: it is %s", id, state)
	}
	return found[0], nil
}

// completeDisks gives the launch the image's root device; moto always makes
// /dev/sda1 of 8 GiB, and needs a size.
func completeDisks(form url.Values, im *node) {
	disks := indexed(form, "BlockDeviceMapping")
	root := im.value("rootDeviceName")
	i := slices.IndexFunc(disks, func(d url.Values) bool { return d.Get("DeviceName") == root })
	if i < 0 {
		disks = append(disks, url.Values{"DeviceName": {root}})
		i = len(disks) - 1
	}
	ebs := im.at("blockDeviceMapping", "item", "ebs")
	for key, v := range map[string]string{
		"Ebs.VolumeSize": ebs.value("volumeSize"), "Ebs.VolumeType": ebs.value("volumeType"), "Ebs.DeleteOnTermination": "true",
	} {
		if disks[i].Get(key) == "" && v != "" {
			disks[i].Set(key, v)
		}
	}
	setIndexed(form, "BlockDeviceMapping", disks)
}

// completeNetwork puts the launch into a subnet and keeps moto from making up
// a public address. The primary interface is described in full, because only
// there can moto be told so.
func (g *Gateway) completeNetwork(ctx context.Context, c *call, form url.Values) error {
	nics := indexed(form, "NetworkInterface")
	i := slices.IndexFunc(nics, func(n url.Values) bool { return n.Get("DeviceIndex") == "0" || n.Get("DeviceIndex") == "" })
	if i < 0 {
		nics = append(nics, url.Values{})
		i = len(nics) - 1
	}
	nic := nics[i]
	nic.Set("DeviceIndex", "0")
	nic.Set("AssociatePublicIpAddress", "false")
	// The interface goes when the machine has gone (releaseInterfaces), not at
	// once: moto would hand its address to the next launch.
	nic.Del("DeleteOnTermination")
	for _, key := range []string{"SubnetId", "PrivateIpAddress"} {
		if v := form.Get(key); v != "" {
			nic.Set(key, v)
		}
		form.Del(key) // an empty SubnetId, as older SDKs send it, would be taken for one
	}
	if nic.Get("NetworkInterfaceId") == "" && nic.Get("SubnetId") == "" {
		subnet, err := g.defaultSubnet(ctx, c, form.Get("Placement.AvailabilityZone"))
		if err != nil {
			return err
		}
		nic.Set("SubnetId", subnet)
	}
	setIndexed(form, "NetworkInterface", nics)
	return g.completeGroups(ctx, c, form, nic)
}

// completeGroups gives the instance the groups of its first interface, or the
// VPC's default group: moto would leave it without any.
func (g *Gateway) completeGroups(ctx context.Context, c *call, form, nic url.Values) error {
	if len(flat(form, "SecurityGroupId"))+len(flat(form, "SecurityGroup")) > 0 {
		return nil
	}
	for key, v := range nic {
		if strings.HasPrefix(key, "SecurityGroupId.") {
			form[key] = v
		}
	}
	if len(flat(form, "SecurityGroupId")) > 0 || nic.Get("NetworkInterfaceId") != "" {
		return nil
	}
	subnet, err := g.ask(ctx, c, "DescribeSubnets", url.Values{"SubnetId.1": {nic.Get("SubnetId")}})
	if err != nil {
		return err
	}
	groups, err := g.ask(ctx, c, "DescribeSecurityGroups", url.Values{
		"Filter.1.Name": {"group-name"}, "Filter.1.Value.1": {"default"},
		"Filter.2.Name": {"vpc-id"}, "Filter.2.Value.1": {subnet.value("subnetSet", "item", "vpcId")},
	})
	if err != nil {
		return err
	}
	if id := groups.value("securityGroupInfo", "item", "groupId"); id != "" {
		form.Set("SecurityGroupId.1", id)
	}
	return nil
}

// defaultSubnet is the default VPC's subnet in zone, or in the first zone.
func (g *Gateway) defaultSubnet(ctx context.Context, c *call, zone string) (string, error) {
	form := url.Values{"Filter.1.Name": {"default-for-az"}, "Filter.1.Value.1": {"true"}}
	if zone != "" {
		form.Set("Filter.2.Name", "availability-zone")
		form.Set("Filter.2.Value.1", zone)
	}
	doc, err := g.ask(ctx, c, "DescribeSubnets", form)
	if err != nil {
		return "", err
	}
	subnets := doc.items("subnetSet")
	if len(subnets) == 0 {
		return "", refuse("MissingInput", "No subnets found for the default VPC in zone %q. Please specify a subnet.", zone)
	}
	first := slices.MinFunc(subnets, func(a, b *node) int {
		return strings.Compare(a.value("availabilityZone"), b.value("availabilityZone"))
	})
	return first.value("subnetId"), nil
}

// mergeTemplate copies from the launch template what the call leaves open;
// moto copies only part of it.
func (g *Gateway) mergeTemplate(ctx context.Context, c *call, form url.Values) error {
	ask := url.Values{}
	for _, key := range []string{"LaunchTemplateId", "LaunchTemplateName"} {
		if v := form.Get("LaunchTemplate." + key); v != "" {
			ask.Set(key, v)
		}
	}
	if len(ask) == 0 {
		return nil
	}
	version := form.Get("LaunchTemplate.Version")
	if version == "" {
		version = "$Default"
	}
	ask.Set("LaunchTemplateVersion.1", version)
	doc, err := g.ask(ctx, c, "DescribeLaunchTemplateVersions", ask)
	if err != nil {
		return err
	}
	data := doc.at("launchTemplateVersionSet", "item", "launchTemplateData")
	for param, path := range templateFields() {
		if v := data.value(path...); form.Get(param) == "" && v != "" {
			form.Set(param, v)
		}
	}
	for param, list := range map[string]string{"SecurityGroupId": "securityGroupIdSet", "SecurityGroup": "securityGroupSet"} {
		if len(flat(form, param)) > 0 {
			continue
		}
		for i, item := range data.items(list) {
			form.Set(param+"."+strconv.Itoa(i+1), item.text)
		}
	}
	return nil
}

func templateFields() map[string][]string {
	fields := map[string][]string{
		"ImageId":                           {"imageId"},
		"InstanceType":                      {"instanceType"},
		"IamInstanceProfile.Name":           {"iamInstanceProfile", "name"},
		"IamInstanceProfile.Arn":            {"iamInstanceProfile", "arn"},
		"Monitoring.Enabled":                {"monitoring", "enabled"},
		"EbsOptimized":                      {"ebsOptimized"},
		"InstanceInitiatedShutdownBehavior": {"instanceInitiatedShutdownBehavior"},
		"InstanceMarketOptions.MarketType":  {"instanceMarketOptions", "marketType"},
		"SubnetId":                          {"networkInterfaceSet", "item", "subnetId"},
	}
	for param, field := range metadataOptions() {
		fields["MetadataOptions."+param] = []string{"metadataOptions", field}
	}
	return fields
}
