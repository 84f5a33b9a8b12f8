package agent

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// query calls an AWS service that speaks the query protocol: a form that names
// the action, and XML back, of which only an error is read.
func (j *jsonAPI) query(ctx context.Context, service string, form url.Values) error {
	what := form.Get("Action")
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, j.endpoint(service), strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("preparing %s: %w", what, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", j.agent)
	if err := j.sign(ctx, req, []byte(body), service); err != nil {
		return err
	}
	res, err := j.http.Do(req)
	if err != nil {
		return fmt.Errorf("calling %s: %w", what, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return fmt.Errorf("reading the answer to %s: %w", what, err)
	case res.StatusCode != http.StatusOK:
		return fmt.Errorf("calling %s: %w", what, queryError(res, answer))
	}
	return nil
}

// queryError reads the error document of the query protocol.
func queryError(res *http.Response, body []byte) error {
	var doc struct {
		Error struct{ Code, Message string }
	}
	if xml.Unmarshal(body, &doc) != nil || doc.Error.Code == "" {
		return &apiError{code: res.Status}
	}
	return &apiError{code: doc.Error.Code, message: doc.Error.Message}
}
