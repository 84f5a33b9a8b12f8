package gateway

import (
	"context"
	"net/url"
	"sync"
	"time"
)

// image is what the gateway knows of an image beyond moto. Images that it did
// not make have an entry only once something was said about them.
type image struct {
	state       string // pending, available, failed; "" leaves moto's word
	reason      string // of a failure
	rootDevice  string
	size        string // of the root volume, GiB
	volume      string // that the snapshot was taken of
	imds        string // "" or v2.0
	deprecated  string // RFC 3339; "" never
	protected   bool   // from being deregistered
	encrypted   bool
	kmsKey      string // ARN, of an encrypted one
	bootMode    string // of a copy: its source's; "" leaves moto's word
	description *string
	ready       time.Time          // before that it is pending; zero: at once
	cancel      context.CancelFunc // of the snapshot under way
}

// images are the image entries by id.
type images struct {
	mu   sync.Mutex
	byID map[string]*image
}

// edit runs fn on the image's entry, made when missing.
func (s *images) edit(id string, fn func(*image)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[id] == nil {
		s.byID[id] = &image{}
	}
	fn(s.byID[id])
}

// update runs fn on the image's entry and reports whether there is one.
func (s *images) update(id string, fn func(*image)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[id] == nil {
		return false
	}
	fn(s.byID[id])
	return true
}

// get returns a copy of the image's entry; ok is false without one.
func (s *images) get(id string) (image, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	im, ok := s.byID[id]
	if !ok {
		return image{}, false
	}
	return *im, true
}

// remove forgets the image and cancels its snapshot if it is under way.
func (s *images) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if im := s.byID[id]; im != nil && im.cancel != nil {
		im.cancel()
	}
	delete(s.byID, id)
}

// imageFields are the filters of DescribeImages that the gateway applies
// itself.
func imageFields() map[string][]string {
	disk := []string{"blockDeviceMapping", "item"}
	return map[string][]string{
		"state":                            {"imageState"},
		"description":                      {"description"},
		"root-device-type":                 {"rootDeviceType"},
		"root-device-name":                 {"rootDeviceName"},
		"image-type":                       {"imageType"},
		"hypervisor":                       {"hypervisor"},
		"ena-support":                      {"enaSupport"},
		"creation-date":                    {"creationDate"},
		"imds-support":                     {"imdsSupport"},
		"block-device-mapping.snapshot-id": append(disk, "ebs", "snapshotId"),
		"block-device-mapping.volume-size": append(disk, "ebs", "volumeSize"),
		"block-device-mapping.volume-type": append(disk, "ebs", "volumeType"),
		"block-device-mapping.device-name": append(disk, "deviceName"),
	}
}

func (g *Gateway) describeImages(ctx context.Context, c *call) (reply, error) {
	fields := imageFields()
	form := cloneForm(c.form)
	filters := takeFilters(form, func(name string) bool { return fields[name] != nil })
	doc, rep, err := g.forwardTree(ctx, c, form)
	if doc == nil {
		return rep, err
	}
	doc.at("imagesSet").keep(func(n *node) bool {
		g.rewriteImage(n)
		return passes(n, filters, fields)
	})
	return withTree(c, rep, doc), nil
}

// imagesNow are the images that a DescribeImages with form finds, as the
// gateway would show them.
func (g *Gateway) imagesNow(ctx context.Context, c *call, form url.Values) ([]*node, error) {
	doc, err := g.ask(ctx, c, "DescribeImages", form)
	if err != nil {
		return nil, err
	}
	found := doc.items("imagesSet")
	for _, n := range found {
		g.rewriteImage(n)
	}
	return found, nil
}

// rewriteImage makes an image element say what EC2 would say.
func (g *Gateway) rewriteImage(n *node) {
	n.set("ebs", "rootDeviceType") // moto: standard for every image made from an instance
	n.set("true", "enaSupport")
	disk := n.make("blockDeviceMapping", "item")
	ebs := disk.make("ebs")
	ebs.set("true", "deleteOnTermination")
	ebs.set("gp3", "volumeType")
	ebs.set("false", "encrypted")
	im, ok := g.images.get(n.value("imageId"))
	if !ok {
		return
	}
	if im.state != "" {
		n.set(im.state, "imageState")
	}
	if g.cfg.Now().Before(im.ready) && im.state != "failed" {
		n.set(pending, "imageState")
	}
	if im.reason != "" {
		n.set("Server.InternalError", "stateReason", "code")
		n.set(im.reason, "stateReason", "message")
	}
	if im.rootDevice != "" {
		n.set(im.rootDevice, "rootDeviceName")
		disk.set(im.rootDevice, "deviceName")
	}
	if im.size != "" {
		ebs.set(im.size, "volumeSize")
	}
	if im.encrypted {
		ebs.set("true", "encrypted")
	}
	if im.bootMode != "" {
		n.set(im.bootMode, "bootMode")
	}
	if im.imds != "" {
		n.set(im.imds, "imdsSupport")
	}
	n.set(protection(im.protected), "deregistrationProtection")
	if im.deprecated != "" {
		n.set(im.deprecated, "deprecationTime")
	}
	if im.description != nil {
		n.set(*im.description, "description")
	}
}

// modifyImageAttribute keeps description and imdsSupport, which moto drops,
// and forwards launch permissions.
func (g *Gateway) modifyImageAttribute(ctx context.Context, c *call) (reply, error) {
	id := c.form.Get("ImageId")
	if err := g.imageExists(ctx, c, id); err != nil {
		return reply{}, err
	}
	description, says := attributeValue(c.form, "Description", "description")
	imds, hardens := attributeValue(c.form, "ImdsSupport", "imdsSupport")
	if hardens && imds != "v2.0" {
		return reply{}, refuse("InvalidParameterValue", "Value (%s) for parameter imdsSupport is invalid: only v2.0 is", imds)
	}
	if !says && !hardens {
		return g.forwardForm(ctx, c, c.form)
	}
	g.images.edit(id, func(im *image) {
		if says {
			im.description = &description
		}
		if hardens {
			im.imds = imds
		}
	})
	return ec2Reply(c, "<return>true</return>"), nil
}

// attributeValue reads NAME.Value, or Value when Attribute is short.
func attributeValue(form url.Values, name, short string) (string, bool) {
	if form.Has(name + ".Value") {
		return form.Get(name + ".Value"), true
	}
	return form.Get("Value"), form.Get("Attribute") == short
}

func (g *Gateway) describeImageAttribute(ctx context.Context, c *call) (reply, error) {
	id := c.form.Get("ImageId")
	found, err := g.imagesNow(ctx, c, url.Values{"ImageId.1": {id}})
	if err != nil {
		return reply{}, err
	}
	attribute := c.form.Get("Attribute")
	if len(found) == 0 || (attribute != "imdsSupport" && attribute != "description") {
		return g.forwardForm(ctx, c, c.form)
	}
	value := escape(found[0].value(attribute))
	return ec2Reply(c, "<imageId>"+id+"</imageId><"+attribute+"><value>"+value+"</value></"+attribute+">"), nil
}

// imageExists refuses an unknown image, and a dry run on a known one.
func (g *Gateway) imageExists(ctx context.Context, c *call, id string) error {
	found, err := g.imagesNow(ctx, c, url.Values{"ImageId.1": {id}})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return refuse("InvalidAMIID.Unavailable", "The image ID '%s' is no longer available", id)
	}
	return refuseDryRun(c)
}

func (g *Gateway) enableImageDeprecation(ctx context.Context, c *call) (reply, error) {
	at, err := time.Parse(time.RFC3339, c.form.Get("DeprecateAt"))
	if err != nil || !at.After(g.cfg.Now()) {
		return reply{}, refuse("InvalidParameterValue", "DeprecateAt %q is not a time in the future", c.form.Get("DeprecateAt"))
	}
	return g.setDeprecation(ctx, c, at.UTC().Truncate(time.Minute).Format("2006-01-02T15:04:05.000Z"))
}

func (g *Gateway) disableImageDeprecation(ctx context.Context, c *call) (reply, error) {
	return g.setDeprecation(ctx, c, "")
}

func (g *Gateway) setDeprecation(ctx context.Context, c *call, at string) (reply, error) {
	id := c.form.Get("ImageId")
	if err := g.imageExists(ctx, c, id); err != nil {
		return reply{}, err
	}
	g.images.edit(id, func(im *image) { im.deprecated = at })
	return ec2Reply(c, "<return>true</return>"), nil
}
