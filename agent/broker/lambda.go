package broker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// invocation is what the broker reads of the event of a Lambda function URL or
// an HTTP API, payload format 2.0
// (docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html).
type invocation struct {
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Headers         map[string]string `json:"headers"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		HTTP struct {
			Method   string `json:"method"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// result is what a function URL makes its HTTP answer of.
type result struct {
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
}

// ServeLambda answers invocations one after the other until ctx ends, by the
// runtime API that Lambda serves at api, HOST:PORT
// (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html). An error means that
// the API itself failed: Lambda then starts the function anew.
func ServeLambda(ctx context.Context, hc Doer, api string, h http.Handler) error {
	base := "http://" + api + "/2018-06-01/runtime/invocation/"
	for ctx.Err() == nil {
		head, event, err := exchange(ctx, hc, http.MethodGet, base+"next", nil)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return fmt.Errorf("waiting for an invocation: %w", err)
		}
		answer, err := json.Marshal(answerEvent(ctx, h, event))
		if err != nil {
			return fmt.Errorf("rendering an answer: %w", err)
		}
		if _, _, err := exchange(ctx, hc, http.MethodPost, base+head.Get("Lambda-Runtime-Aws-Request-Id")+"/response", answer); err != nil {
			return fmt.Errorf("answering an invocation: %w", err)
		}
	}
	return nil
}

// exchange makes one call of the runtime API.
func exchange(ctx context.Context, hc Doer, method, url string, body []byte) (http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	res, err := hc.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 8<<20)) // Lambda's own limit is 6 MB
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("HTTP %d", res.StatusCode)
	}
	return res.Header, b, err
}

// answerEvent runs one event through the handler.
func answerEvent(ctx context.Context, h http.Handler, event []byte) result {
	var in invocation
	if err := json.Unmarshal(event, &in); err != nil || in.RequestContext.HTTP.Method == "" {
		return result{StatusCode: http.StatusBadRequest, Body: `{"reason":"bad-request","error":"not an event of a function URL"}`}
	}
	body := []byte(in.Body)
	if in.IsBase64Encoded {
		b, err := base64.StdEncoding.DecodeString(in.Body)
		if err != nil {
			return result{StatusCode: http.StatusBadRequest, Body: `{"reason":"bad-request","error":"the body is not base64"}`}
		}
		body = b
	}
	r, err := http.NewRequestWithContext(ctx, in.RequestContext.HTTP.Method, "/"+strings.TrimPrefix(in.RawPath, "/"), bytes.NewReader(body))
	if err != nil {
		return result{StatusCode: http.StatusBadRequest, Body: `{"reason":"bad-request","error":"not a request"}`}
	}
	r.RemoteAddr = in.RequestContext.HTTP.SourceIP
	w := &memory{header: http.Header{}, status: http.StatusOK}
	h.ServeHTTP(w, r)
	out := result{StatusCode: w.status, Headers: map[string]string{}, Body: w.body.String()}
	for name := range w.header {
		out.Headers[name] = w.header.Get(name)
	}
	return out
}

// memory keeps an answer.
type memory struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (m *memory) Header() http.Header { return m.header }

// WriteHeader implements http.ResponseWriter.
func (m *memory) WriteHeader(status int) { m.status = status }

// Write implements http.ResponseWriter.
func (m *memory) Write(b []byte) (int, error) { return m.body.Write(b) }

// Defaults are the limits of a broker whose operator set none: a group of some
// hundred instances that boots at once is through within a minute.
func Defaults() Limits { return Limits{PerSecond: 20, Burst: 100, Timeout: 20 * time.Second} }
