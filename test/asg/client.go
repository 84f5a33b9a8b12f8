package asg

import (
	"bytes"
	"io"
	"net/http"
)

// Client is an HTTP client for SDK clients that ask this service from the same
// process. It reads an answer whole before the SDK sees it: the SDK closes the
// request's body as soon as an answer begins, and when the answer was faster
// than the goroutine that still looks after that body, net/http drops the
// connection in the middle of a long one.
type Client struct{ http.Client }

// Do sends a request and returns its answer, read to the end.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	answer, err := c.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}
