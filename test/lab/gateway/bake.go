package gateway

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
)

// createImage makes the image in moto at once and has the hypervisor copy the
// machine; the image is pending until that is done.
func (g *Gateway) createImage(ctx context.Context, c *call) (reply, error) {
	id := c.form.Get("InstanceId")
	now, err := g.checkStates(ctx, c, []string{id}, pending, running, stopping, stopped)
	if err != nil {
		return reply{}, err
	}
	g.naming.Lock()
	defer g.naming.Unlock()
	if err := g.checkImageName(ctx, c); err != nil {
		return reply{}, err
	}
	entry, err := g.imageOf(ctx, c, now[id])
	if err != nil {
		return reply{}, err
	}
	form := cloneForm(c.form)
	tags := takeSnapshotTags(form)
	setIndexed(form, "BlockDeviceMapping", nil)
	doc, rep, err := g.forwardTree(ctx, c, form)
	if doc == nil {
		return rep, err
	}
	imageID := doc.value("imageId")
	g.images.edit(imageID, func(im *image) { *im = entry })
	noReboot := c.form.Get("NoReboot") == "true"
	cancel := g.background(ctx, func(ctx context.Context) { g.snapshot(ctx, id, imageID, noReboot) })
	g.images.update(imageID, func(im *image) { im.cancel = cancel })
	if err := g.tagSnapshots(ctx, c, imageID, tags); err != nil {
		return reply{}, err
	}
	return withTree(c, rep, doc), nil
}

// snapshot copies the machine and settles the image's state.
func (g *Gateway) snapshot(ctx context.Context, instanceID, imageID string, noReboot bool) {
	err := g.cfg.Machines.Snapshot(ctx, instanceID, imageID, noReboot)
	wanted := g.images.update(imageID, func(im *image) {
		im.cancel = nil
		im.state = "available"
		if err != nil {
			im.state, im.reason = "failed", err.Error()
		}
	})
	if !wanted { // deregistered meanwhile
		g.cfg.Machines.RemoveImage(imageID)
	}
}

// imageOf describes the image that instance n becomes: its root device, its
// volume's size unless the call gives another, its IMDS support.
func (g *Gateway) imageOf(ctx context.Context, c *call, n *node) (image, error) {
	im := image{state: "pending", rootDevice: n.value("rootDeviceName")}
	for _, disk := range n.items("blockDeviceMapping") {
		if disk.value("deviceName") == im.rootDevice {
			im.volume = disk.value("ebs", "volumeId")
		}
	}
	if im.volume != "" {
		doc, err := g.ask(ctx, c, "DescribeVolumes", url.Values{"VolumeId.1": {im.volume}})
		if err != nil {
			return image{}, err
		}
		im.size = doc.value("volumeSet", "item", "size")
		im.encrypted, im.kmsKey = doc.value("volumeSet", "item", "encrypted") == "true", doc.value("volumeSet", "item", "kmsKeyId")
	}
	for _, disk := range indexed(c.form, "BlockDeviceMapping") {
		if size := disk.Get("Ebs.VolumeSize"); disk.Get("DeviceName") == im.rootDevice && size != "" {
			im.size = size
		}
	}
	if source, ok := g.images.get(n.value("imageId")); ok {
		im.imds = source.imds
	}
	return im, nil
}

// checkImageName refuses a name that EC2 would refuse; moto takes any, twice.
func (g *Gateway) checkImageName(ctx context.Context, c *call) error {
	name := c.form.Get("Name")
	// The character set is that of CreateImage's Name parameter.
	if !regexp.MustCompile(`^[A-Za-z0-9()\[\] ./'@_-]{3,128}$`).MatchString(name) {
		return refuse("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long, "+
			"and may contain letters, numbers, and ( ) [ ] space . / - ' @ _")
	}
	doc, err := g.ask(ctx, c, "DescribeImages", url.Values{"Owner.1": {"self"}})
	if err != nil {
		return err
	}
	for _, n := range doc.items("imagesSet") {
		if n.value("name") == name {
			return refuse("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, n.value("imageId"))
		}
	}
	return nil
}

// takeSnapshotTags removes the snapshot's tags from a CreateImage form: moto
// answers them with a 500.
func takeSnapshotTags(form url.Values) []url.Values {
	var left, tags []url.Values
	for _, spec := range indexed(form, "TagSpecification") {
		if spec.Get("ResourceType") == "snapshot" {
			tags = append(tags, indexed(spec, "Tag")...)
		} else {
			left = append(left, spec)
		}
	}
	setIndexed(form, "TagSpecification", left)
	return tags
}

func (g *Gateway) tagSnapshots(ctx context.Context, c *call, imageID string, tags []url.Values) error {
	if len(tags) == 0 {
		return nil
	}
	snapshots, err := g.snapshotsOf(ctx, c, imageID)
	if err != nil {
		return err
	}
	form := url.Values{}
	for i, id := range snapshots {
		form.Set("ResourceId."+strconv.Itoa(i+1), id)
	}
	setIndexed(form, "Tag", tags)
	_, err = g.ask(ctx, c, "CreateTags", form)
	return err
}

func (g *Gateway) snapshotsOf(ctx context.Context, c *call, imageID string) ([]string, error) {
	doc, err := g.ask(ctx, c, "DescribeImages", url.Values{"ImageId.1": {imageID}})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, disk := range doc.items("imagesSet", "item", "blockDeviceMapping") {
		if id := disk.value("ebs", "snapshotId"); id != "" {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// deregisterImage also deletes the snapshots when it is told to, and frees
// the hypervisor's copy.
func (g *Gateway) deregisterImage(ctx context.Context, c *call) (reply, error) {
	id := c.form.Get("ImageId")
	if err := g.mayGo(id); err != nil {
		return reply{}, err
	}
	snapshots, err := g.snapshotsOf(ctx, c, id)
	if err != nil {
		return reply{}, err
	}
	doc, rep, err := g.forwardTree(ctx, c, c.form)
	if doc == nil {
		return rep, err
	}
	g.images.remove(id)
	g.cfg.Machines.RemoveImage(id)
	inner := "<return>true</return>"
	if c.form.Get("DeleteAssociatedSnapshots") == "true" {
		inner += "<deleteSnapshotResultSet>"
		for _, snapshot := range snapshots {
			code := "success"
			if _, err := g.ask(ctx, c, "DeleteSnapshot", url.Values{"SnapshotId": {snapshot}}); err != nil {
				code = "client-error"
			}
			inner += fmt.Sprintf("<item><snapshotId>%s</snapshotId><returnCode>%s</returnCode></item>", snapshot, code)
		}
		inner += "</deleteSnapshotResultSet>"
	}
	return ec2Reply(c, inner), nil
}

func (g *Gateway) registerImage(ctx context.Context, c *call) (reply, error) {
	g.naming.Lock()
	defer g.naming.Unlock()
	if err := g.checkImageName(ctx, c); err != nil {
		return reply{}, err
	}
	return g.forwardForm(ctx, c, c.form)
}

// describeSnapshots applies owners, which moto ignores (the base image's
// snapshot would count as one's own), and shows a snapshot as pending as long
// as its image is.
func (g *Gateway) describeSnapshots(ctx context.Context, c *call) (reply, error) {
	if err := refuseDryRun(c); err != nil {
		return reply{}, err
	}
	fields := map[string][]string{"status": {"status"}, "volume-size": {"volumeSize"}, "progress": {"progress"}}
	form := cloneForm(c.form)
	filters := takeFilters(form, func(name string) bool { return fields[name] != nil })
	doc, rep, err := g.forwardTree(ctx, c, form)
	if doc == nil {
		return rep, err
	}
	own, err := g.imagesNow(ctx, c, url.Values{"Owner.1": {"self"}})
	if err != nil {
		return reply{}, err
	}
	bySnapshot := map[string]*node{}
	for _, im := range own {
		bySnapshot[im.value("blockDeviceMapping", "item", "ebs", "snapshotId")] = im
	}
	owners, err := g.ownerIDs(ctx, c)
	if err != nil {
		return reply{}, err
	}
	doc.at("snapshotSet").keep(func(n *node) bool {
		g.rewriteSnapshot(n, bySnapshot[n.value("snapshotId")])
		return (len(owners) == 0 || owners[n.value("ownerId")]) && passes(n, filters, fields)
	})
	return withTree(c, rep, doc), nil
}

func (g *Gateway) rewriteSnapshot(n, im *node) {
	if im == nil {
		return
	}
	n.set(im.value("blockDeviceMapping", "item", "ebs", "volumeSize"), "volumeSize")
	if entry, ok := g.images.get(im.value("imageId")); ok {
		if entry.volume != "" {
			n.set(entry.volume, "volumeId")
		}
		if entry.encrypted {
			n.set("true", "encrypted")
			n.set(entry.kmsKey, "kmsKeyId")
		}
	}
	switch im.value("imageState") {
	case "pending":
		n.set("pending", "status")
		n.set("0%", "progress")
	case "failed":
		n.set("error", "status")
	}
}

// ownerIDs are the accounts that the call asks for; empty means all.
func (g *Gateway) ownerIDs(ctx context.Context, c *call) (map[string]bool, error) {
	out := map[string]bool{}
	for _, owner := range flat(c.form, "Owner") {
		if owner == "self" {
			doc, err := g.ask(ctx, c, "DescribeSubnets", url.Values{})
			if err != nil {
				return nil, err
			}
			owner = doc.value("subnetSet", "item", "ownerId")
		}
		out[owner] = true
	}
	return out, nil
}
