package chefapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/go-chef/chef"
)

// Bounds on repeating a call.
const (
	attempts = 5
	backoff  = 200 * time.Millisecond // doubled each time, with full jitter
	patience = 45 * time.Second       // no new attempt starts after this
	maxPause = 10 * time.Second       // of what a server asks for
)

// call is one API request.
type call struct {
	what   string // gerund and subject, for errors
	method string
	path   string // relative, names in it checked
	query  url.Values
	body   any // sent as JSON; nil: none
}

// do sends a call, repeats it where that can help, and decodes the reply into
// out (nil: dropped). What fails comes back explained.
func (c *Client) do(ctx context.Context, k call, out any) error {
	return c.explain(ctx, k.what, c.repeat(ctx, func() (bool, error) { return c.once(ctx, k, out) }))
}

// repeat runs one until it succeeds or repeating cannot help. one says with
// its error whether the server may have acted nevertheless; a POST is repeated
// all the same, and the 409 that then comes back is marked as unsure, for
// create to settle.
func (c *Client) repeat(ctx context.Context, one func() (acted bool, err error)) error {
	start, unsure := time.Now(), false
	for n := 0; ; n++ {
		acted, err := one()
		var status *StatusError
		if errors.As(err, &status) {
			status.unsure = unsure
		}
		unsure = unsure || acted
		wait, worth := retryable(err)
		if !worth || n+1 >= attempts || ctx.Err() != nil || time.Since(start) > patience {
			return err
		}
		if wait = min(wait, maxPause); wait <= 0 {
			wait = rand.N(backoff << n)
		} else {
			wait += rand.N(wait) // the server tells everybody the same
		}
		if c.pause(ctx, wait) != nil {
			return err
		}
	}
}

// transient is an error that a later attempt may not meet.
type transient struct {
	error
	wait time.Duration // asked for by the server; 0: ours
}

func (t transient) Unwrap() error { return t.error }

func retryable(err error) (time.Duration, bool) {
	var t transient
	if errors.As(err, &t) {
		return t.wait, true
	}
	return 0, false
}

// once sends a call one time. acted is true when the request may have taken
// effect although an error comes back.
func (c *Client) once(ctx context.Context, k call, out any) (acted bool, err error) {
	req, err := c.request(ctx, k)
	if err != nil {
		return false, err
	}
	var reply bytes.Buffer
	res, err := c.signer.Do(req, &reply) // a Writer: go-chef then reads to the end and decodes nothing
	if res != nil && res.Body != nil {
		defer res.Body.Close()
	}
	var refused *chef.ErrorResponse
	if errors.As(err, &refused) {
		return c.refused(refused.Response.StatusCode, refused.Response.Header, refused.ErrorText)
	}
	if err != nil {
		return failed(err)
	}
	if res.StatusCode >= 300 {
		_, err := c.refused(res.StatusCode, res.Header, nil)
		return false, err
	}
	if out == nil || reply.Len() == 0 {
		return false, nil
	}
	if err := json.Unmarshal(reply.Bytes(), out); err != nil {
		return true, fmt.Errorf("the reply is not what a Chef server sends: %w", err)
	}
	return false, nil
}

func (c *Client) request(ctx context.Context, k call) (*http.Request, error) {
	target := k.path
	if len(k.query) > 0 {
		target += "?" + k.query.Encode()
	}
	var body io.Reader
	if k.body != nil {
		b, err := json.Marshal(k.body)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := c.signer.NewRequest(k.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("signing the request: %w", err)
	}
	if k.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req.WithContext(ctx), nil
}

// refused classes a reply that is not a success.
func (c *Client) refused(status int, header http.Header, body []byte) (acted bool, err error) {
	e := c.statusError(status, header, body)
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		wait, _ := strconv.Atoi(header.Get("Retry-After"))
		return false, transient{e, time.Duration(wait) * time.Second}
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true, transient{e, 0}
	}
	return false, e
}

// failed classes an exchange that broke.
func failed(err error) (acted bool, _ error) {
	err = unwrapURL(err)
	var op *net.OpError
	var dns *net.DNSError
	var netErr net.Error
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return false, err
	case errors.As(err, &op) && op.Op == "dial":
		return false, transient{err, 0}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true, transient{err, 0}
	case errors.As(err, &netErr) && netErr.Timeout():
		return true, transient{fmt.Errorf("no answer in time: %w", err), 0}
	}
	return true, err
}

// unwrapURL drops the "Get http://…:" that net/http puts in front; the
// message names the server already.
func unwrapURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// create POSTs k. When the server says "exists" after an attempt whose reply
// was lost, same decides whether that attempt made it.
func (c *Client) create(ctx context.Context, k call, same func() (bool, error)) error {
	err := c.do(ctx, k, nil)
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusConflict || !status.unsure {
		return err
	}
	if ok, checkErr := same(); checkErr == nil && ok {
		return nil
	}
	return err
}

// names GETs a list of NAME → URL and returns the names, sorted.
func (c *Client) names(ctx context.Context, kind string) ([]string, error) {
	var list map[string]any
	if err := c.do(ctx, call{what: "listing " + kind, method: http.MethodGet, path: kind}, &list); err != nil {
		return nil, err
	}
	return sortedKeys(list), nil
}

// remove DELETEs kind/name; absent is success.
func (c *Client) remove(ctx context.Context, kind, name string) error {
	if err := checkName(kind, name); err != nil {
		return err
	}
	err := c.do(ctx, call{what: "deleting " + kind + " " + name, method: http.MethodDelete, path: kind + "s/" + name}, nil)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// get GETs kind/name into out.
func (c *Client) get(ctx context.Context, kind, name string, out any) error {
	if err := checkName(kind, name); err != nil {
		return err
	}
	return c.do(ctx, call{what: "fetching " + kind + " " + name, method: http.MethodGet, path: kind + "s/" + name}, out)
}

// exists says whether kind/name is there.
func (c *Client) exists(ctx context.Context, kind, name string) (bool, error) {
	err := c.get(ctx, kind, name, nil)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
