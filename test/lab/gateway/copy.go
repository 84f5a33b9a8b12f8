package gateway

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// copyImage copies an image of SourceRegion into the call's region, tagged in
// the call, pending until the hypervisor has copied the files. moto ignores
// tags, encryption and names. It needs a hypervisor that can copy; without
// one, the copy would have no files to boot from.
func (g *Gateway) copyImage(ctx context.Context, c *call) (reply, error) {
	copier, ok := g.cfg.Machines.(ImageCopier)
	if !ok {
		return reply{}, refuse("UnsupportedOperation", "The lab's hypervisor cannot copy images")
	}
	if c.form.Get("KmsKeyId") != "" && c.form.Get("Encrypted") != "true" {
		return reply{}, refuse("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	g.naming.Lock()
	defer g.naming.Unlock()
	if err := g.checkImageName(ctx, c); err != nil {
		return reply{}, err
	}
	entry, doomed, err := g.copyOf(ctx, c)
	if err != nil {
		return reply{}, err
	}
	form := cloneForm(c.form)
	setIndexed(form, "TagSpecification", nil)
	doc, rep, err := g.forwardTree(ctx, c, form)
	if doc == nil {
		return rep, err
	}
	id := doc.value("imageId")
	g.images.edit(id, func(im *image) { *im = entry })
	if err := g.tagCopy(ctx, c, id); err != nil {
		return reply{}, err
	}
	source := c.form.Get("SourceImageId")
	cancel := g.background(ctx, func(context.Context) { g.settleCopy(copier, source, id, doomed) })
	g.images.update(id, func(im *image) {
		if im.state == pending { // it may be over already
			im.cancel = cancel
		}
	})
	return withTree(c, rep, doc), nil
}

// copyOf is the entry of a copy: as its source, but for what EC2 does not
// copy. An encrypted source without a key for its copy gets the default one.
// doomed says why the copy will fail in the end: the call itself succeeds.
func (g *Gateway) copyOf(ctx context.Context, c *call) (im image, doomed, err error) {
	there := *c
	there.region = c.form.Get("SourceRegion")
	source := c.form.Get("SourceImageId")
	found, err := g.imagesNow(ctx, &there, url.Values{"ImageId.1": {source}})
	switch {
	case err != nil:
		return image{}, nil, err
	case len(found) == 0:
		return image{}, nil, refuse("InvalidAMIID.NotFound", "The image id '[%s]' does not exist in %s", source, there.region)
	case found[0].value("imageState") != "available":
		return image{}, nil, refuse("InvalidAMIID.Unavailable", "The image ID '%s' is %s", source, found[0].value("imageState"))
	}
	if err := refuseDryRun(c); err != nil {
		return image{}, nil, err
	}
	im, _ = g.images.get(source)
	im.state, im.reason, im.ready, im.cancel, im.description = pending, "", time.Time{}, nil, nil
	im.deprecated, im.protected, im.volume = "", false, ""
	im.bootMode, im.rootDevice = found[0].value("bootMode"), found[0].value("rootDeviceName")
	im.size = found[0].value("blockDeviceMapping", "item", "ebs", "volumeSize")
	if c.form.Get("Encrypted") != "true" && !im.encrypted {
		return im, nil, nil
	}
	key := c.form.Get("KmsKeyId")
	if key == "" {
		key = ebsKey
	}
	im.encrypted = true
	if im.kmsKey, doomed = g.keyARN(ctx, c, key); doomed != nil {
		im.kmsKey, doomed = key, fmt.Errorf("KMS key %s of the copy cannot be used: %w", key, doomed)
	}
	return im, doomed, nil
}

// settleCopy copies the files, or has the copy fail.
func (g *Gateway) settleCopy(copier ImageCopier, source, id string, err error) {
	if err == nil {
		err = copier.CopyImage(source, id)
	}
	wanted := g.images.update(id, func(im *image) {
		im.cancel = nil
		im.state = "available"
		if err != nil {
			im.state, im.reason = "failed", err.Error()
		}
	})
	if !wanted { // deregistered meanwhile
		g.cfg.Machines.RemoveImage(id)
	}
}

// tagCopy gives a copy and its snapshots the tags of the call.
func (g *Gateway) tagCopy(ctx context.Context, c *call, id string) error {
	form := cloneForm(c.form)
	if err := g.tagSnapshots(ctx, c, id, takeSnapshotTags(form)); err != nil {
		return err
	}
	var tags []url.Values
	for _, spec := range indexed(form, "TagSpecification") {
		if spec.Get("ResourceType") == "image" {
			tags = append(tags, indexed(spec, "Tag")...)
		}
	}
	if len(tags) == 0 {
		return nil
	}
	ask := url.Values{"ResourceId.1": {id}}
	setIndexed(ask, "Tag", tags)
	_, err := g.ask(ctx, c, "CreateTags", ask)
	return err
}
