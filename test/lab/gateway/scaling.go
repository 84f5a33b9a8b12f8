package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
)

// scaled reports whether a service is answered by Config.Scaling.
func (g *Gateway) scaled(c *call) bool {
	return g.cfg.Scaling != nil && (c.service == "autoscaling" || c.service == "cloudwatch")
}

// scale has Auto Scaling or CloudWatch answer. What CloudWatch does not know,
// moto may: dashboards and the like, which no group looks at.
func (g *Gateway) scale(ctx context.Context, c *call) (reply, error) {
	if c.service == "autoscaling" {
		rep, err := g.handOver(ctx, c, "/", []byte(c.form.Encode()))
		if err == nil && rep.status < 300 {
			g.heard(c)
		}
		return rep, err
	}
	body := c.body
	switch c.protocol {
	case protoCBOR:
	case protoJSON:
		var err error
		if body, _, err = jsonToCBOR(c.body); err != nil {
			return reply{}, &apiError{Code: "SerializationException", Message: err.Error()}
		}
	default:
		return reply{}, refuse("InvalidAction", "the lab's CloudWatch speaks CBOR and JSON, not the Query protocol")
	}
	rep, err := g.handOver(ctx, c, "/service/"+c.target+"/operation/"+c.action, body)
	if err != nil {
		return rep, err
	}
	if rep.status >= 400 && errorCode(rep.header.Get("X-Amzn-Query-Error"), nil) == "InvalidAction;Sender" {
		return g.forwardScrubbed(ctx, c)
	}
	if c.protocol == protoJSON {
		rep.header = http.Header{"Content-Type": {"application/x-amz-json-1.0"}}
		rep.body, err = cborToJSON(rep.body)
	}
	return rep, err
}

// handOver sends a call to the service of its region as it came.
func (g *Gateway) handOver(ctx context.Context, c *call, path string, body []byte) (reply, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.service+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, fmt.Errorf("handing %s over: %w", c.action, err)
	}
	req.Header.Set("Content-Type", c.header.Get("Content-Type"))
	if c.service == "cloudwatch" {
		setCBORHeader(req.Header)
	}
	said := httptest.NewRecorder()
	g.cfg.Scaling(c.region).ServeHTTP(said, req)
	return reply{status: said.Code, header: said.Header().Clone(), body: said.Body.Bytes()}, nil
}
