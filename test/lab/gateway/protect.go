package gateway

import "context"

// enableProtection keeps an image from being deregistered; moto knows no such
// thing. A cooldown is not modelled: protection goes as soon as it is taken off.
func (g *Gateway) enableProtection(ctx context.Context, c *call) (reply, error) {
	return g.setProtection(ctx, c, true)
}

func (g *Gateway) disableProtection(ctx context.Context, c *call) (reply, error) {
	return g.setProtection(ctx, c, false)
}

func (g *Gateway) setProtection(ctx context.Context, c *call, on bool) (reply, error) {
	id := c.form.Get("ImageId")
	if err := g.imageExists(ctx, c, id); err != nil {
		return reply{}, err
	}
	g.images.edit(id, func(im *image) { im.protected = on })
	return ec2Reply(c, "<return>"+protection(on)+"</return>"), nil
}

// protection is how DescribeImages shows it.
func protection(on bool) string {
	if on {
		return "enabled-without-cooldown"
	}
	return "disabled"
}

// mayGo refuses to deregister a protected image.
func (g *Gateway) mayGo(id string) error {
	if im, _ := g.images.get(id); im.protected {
		return refuse("OperationNotPermitted", "The image '%s' is protected from deregistration", id)
	}
	return nil
}
