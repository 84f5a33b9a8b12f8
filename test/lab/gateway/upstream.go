package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// authorization is a credential scope for moto, which finds service, region
// and account in it and checks no signature.
func (c *call) authorization() string {
	key := c.accessKey
	if key == "" {
		key = "LAB"
	}
	return fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/20260101/%s/%s/aws4_request, SignedHeaders=host, Signature=0",
		key, c.region, c.signing)
}

// forward sends c to moto as it is and returns the answer, with an action
// that moto lacks turned into an error no SDK retries.
func (g *Gateway) forward(ctx context.Context, c *call) (reply, error) {
	switch c.protocol {
	case protoJSON, protoCBOR:
		return g.forwardJSON(ctx, c)
	default:
		return g.forwardForm(ctx, c, c.form)
	}
}

// forwardForm sends form in place of c's own.
func (g *Gateway) forwardForm(ctx context.Context, c *call, form url.Values) (reply, error) {
	return g.send(ctx, c, "application/x-www-form-urlencoded; charset=utf-8", "", []byte(form.Encode()))
}

func (g *Gateway) send(ctx context.Context, c *call, contentType, target string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.cfg.Upstream.String(), bytes.NewReader(body))
	if err != nil {
		return reply{}, upstreamFailed(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", c.authorization())
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	if agent := c.header.Get("User-Agent"); agent != "" {
		req.Header.Set("User-Agent", agent)
	}
	res, err := g.client.Do(req)
	if err != nil {
		return reply{}, upstreamFailed(err)
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		return reply{}, upstreamFailed(err)
	}
	rep := reply{status: res.StatusCode, header: res.Header, body: out}
	return rep, lacking(c, rep)
}

// lacking is the error for a reply that is no answer of an API at all: moto
// says "not implemented" and "crashed" with the same HTML page, which SDKs
// would retry.
func lacking(c *call, rep reply) error {
	isHTML := strings.HasPrefix(rep.header.Get("Content-Type"), "text/html")
	if !isHTML || (rep.status < 500 && rep.status != http.StatusNotFound) {
		return nil
	}
	return refuse("InvalidAction",
		"the lab's emulator (moto) lacks %s %s, or cannot take it with these parameters (it answered HTTP %d)",
		c.service, c.action, rep.status)
}

// ask makes a call of the gateway's own to a service that speaks forms and
// XML, on behalf of c. A refusal comes back as apiError.
func (g *Gateway) ask(ctx context.Context, c *call, action string, form url.Values) (*node, error) {
	own := *c
	own.action, own.protocol = action, protoEC2
	f := cloneForm(form)
	f.Set("Action", action)
	f.Set("Version", "2016-11-15")
	rep, err := g.forwardForm(ctx, &own, f)
	if err != nil {
		return nil, err
	}
	doc, err := parseXML(rep.body)
	if err != nil {
		return nil, err
	}
	if rep.status >= 400 {
		e := doc.at("Errors", "Error")
		return nil, &apiError{Code: e.value("Code"), Message: e.value("Message"), Status: rep.status}
	}
	return doc, nil
}

// forwardTree forwards form and parses a successful reply; doc is nil when
// moto refused, and rep then is its refusal.
func (g *Gateway) forwardTree(ctx context.Context, c *call, form url.Values) (doc *node, rep reply, err error) {
	rep, err = g.forwardForm(ctx, c, form)
	if err != nil || rep.status >= 300 {
		return nil, rep, err
	}
	doc, err = parseXML(rep.body)
	return doc, rep, err
}

// withTree is rep with doc as its body and c's request id in it.
func withTree(c *call, rep reply, doc *node) reply {
	if id := doc.kid("requestId"); id != nil {
		id.text = c.id
	}
	rep.body = doc.bytes()
	return rep
}

// forwardScrubbed is the way of every action without a handler of its own.
func (g *Gateway) forwardScrubbed(ctx context.Context, c *call) (reply, error) {
	if strings.HasPrefix(c.action, "Describe") { // moto reads all the same
		if err := refuseDryRun(c); err != nil {
			return reply{}, err
		}
	}
	rep, err := g.forward(ctx, c)
	if err != nil || c.protocol != protoEC2 || !mentionsPublicAddress(rep.body) {
		return rep, err
	}
	doc, err := parseXML(rep.body)
	if err != nil {
		return reply{}, err
	}
	scrubPublicAddresses(doc)
	return withTree(c, rep, doc), nil
}

func mentionsPublicAddress(body []byte) bool {
	return bytes.Contains(body, []byte("ublicIp")) || bytes.Contains(body, []byte("<association>")) ||
		bytes.Contains(body, []byte("<ipAddress>")) || bytes.Contains(body, []byte("ublicDnsName"))
}

// scrubPublicAddresses removes the public addresses that moto makes up: they
// belong to somebody in the real world, and no guest has one.
func scrubPublicAddresses(doc *node) {
	doc.walk(func(n *node) {
		n.keep(func(k *node) bool {
			switch k.name {
			case "publicIp", "publicIpAddress", "publicDnsName", "carrierIp", "ipAddress":
				return false
			case "association": // of a network interface; routes call theirs otherwise
				return k.value("routeTableId") != ""
			}
			return true
		})
	})
}

// refuseDryRun is the answer to a dry run of an action that the gateway
// carries out itself; moto answers the others.
func refuseDryRun(c *call) error {
	if c.form.Get("DryRun") != "true" {
		return nil
	}
	return &apiError{
		Code: "DryRunOperation", Status: http.StatusPreconditionFailed,
		Message: "Request would have succeeded, but DryRun flag is set.",
	}
}
