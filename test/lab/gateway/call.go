package gateway

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// maxBody bounds the body of a buffered call. S3 and other REST calls stream.
const maxBody = 64 << 20

// protocol is how a call and its reply are written.
type protocol int

const (
	protoREST  protocol = iota // S3 and the like: streamed through
	protoEC2                   // form in, XML with EC2's error shape out
	protoQuery                 // form in, XML out
	protoJSON                  // X-Amz-Target and JSON
	protoCBOR                  // smithy-rpc-v2-cbor
)

// call is one request to AWS, taken apart.
type call struct {
	id        string
	service   string // signing name, but cloudwatch for monitoring
	signing   string // signing name as in the credential scope
	action    string
	region    string
	accessKey string
	source    netip.Addr
	caller    string
	protocol  protocol
	target    string     // X-Amz-Target up to the dot
	form      url.Values // protoEC2 and protoQuery
	body      []byte     // protoJSON and protoCBOR
	header    http.Header
	host      string
	// What rules ask of the answer: how long ids stay unknown, and how long
	// images that the call makes stay pending.
	unknownFor, pendingFor time.Duration
}

// parseCall reads what the gateway must know of r. Bodies of buffered
// protocols are read; the others are left to stream. The call is usable for
// records even when the error is not nil.
func parseCall(r *http.Request) (*call, error) {
	c := &call{id: newRequestID(), header: r.Header, host: r.Host, region: "us-east-1"}
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		c.source = ap.Addr().Unmap()
	}
	c.readScope(r)
	target := r.Header.Get("X-Amz-Target")
	service, operation, isRPC := splitRPCPath(r.URL.Path)
	switch {
	case isRPC && strings.HasPrefix(r.Header.Get("Smithy-Protocol"), "rpc-v2-cbor"):
		c.protocol, c.target, c.action = protoCBOR, service, operation
	case target != "":
		c.protocol = protoJSON
		c.target, c.action = splitTarget(target)
	case c.signing != "s3" && isForm(r):
		c.protocol = protoQuery
	default:
		c.protocol, c.action = protoREST, restAction(c.signing, r)
	}
	c.nameService()
	if c.protocol == protoREST {
		return c, nil
	}
	if err := c.readBody(r); err != nil {
		return c, err
	}
	return c, nil
}

// readScope takes access key, region and service from the signature, whether
// it is a header or a presigned query.
func (c *call) readScope(r *http.Request) {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if _, rest, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(rest, ",")
	}
	// AKID/20260101/us-east-1/ec2/aws4_request
	parts := strings.Split(strings.TrimSpace(credential), "/")
	if len(parts) == 5 {
		c.accessKey, c.region, c.signing = parts[0], parts[2], parts[3]
	}
}

func (c *call) nameService() {
	if c.signing == "" && c.protocol == protoREST {
		c.signing = "s3" // unsigned reads; moto assumes the same
	}
	c.service = c.signing
	if c.signing == "monitoring" {
		c.service = "cloudwatch"
	}
	if c.signing == "ec2" && c.protocol == protoQuery {
		c.protocol = protoEC2
	}
}

func (c *call) readBody(r *http.Request) error {
	var in io.Reader = http.MaxBytesReader(nil, r.Body, maxBody)
	if r.Header.Get("Content-Encoding") == "gzip" { // PutMetricData from 10 KiB on
		zr, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("reading compressed request: %w", err)
		}
		in = io.LimitReader(zr, maxBody)
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("reading request: %w", err)
	}
	if c.protocol != protoQuery && c.protocol != protoEC2 {
		c.body = body
		return nil
	}
	if c.form, err = url.ParseQuery(string(bytes.TrimSpace(body))); err != nil {
		return fmt.Errorf("reading form: %w", err)
	}
	for name, values := range r.URL.Query() {
		if _, set := c.form[name]; !set {
			c.form[name] = values
		}
	}
	c.action = c.form.Get("Action")
	if c.action == "" {
		return errors.New("reading form: no Action")
	}
	return nil
}

func isForm(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") ||
		r.URL.Query().Has("Action")
}

// splitRPCPath reads /service/NAME/operation/NAME, the path of smithy's RPC
// protocols.
func splitRPCPath(path string) (service, operation string, ok bool) {
	parts := strings.Split(path, "/")
	if len(parts) != 5 || parts[1] != "service" || parts[3] != "operation" {
		return "", "", false
	}
	return parts[2], parts[4], true
}

func splitTarget(target string) (service, action string) {
	i := strings.LastIndexByte(target, '.')
	if i < 0 {
		return "", target
	}
	return target[:i], target[i+1:]
}
