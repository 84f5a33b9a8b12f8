package chefapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bakehouse/internal/fault"
)

// StatusError is a reply that was not a success.
type StatusError struct {
	Status  int    // HTTP status
	Message string // the server's own words, one line
	where   string // server and client
	unsure  bool   // an earlier, lost attempt may have done the thing
	skew    time.Duration
}

// Error reads "not found on SERVER as CLIENT: the server's words".
func (e *StatusError) Error() string {
	what := fmt.Sprintf("HTTP %d", e.Status)
	if s := e.sentinel(); s != nil {
		what = s.Error()
	}
	if e.skewed() {
		what += fmt.Sprintf(" (this machine's clock is %s off the server's)", e.skew.Abs().Round(time.Second))
	}
	text := what + " on " + e.where
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// skewed: Chef refuses requests whose time is more than 15 minutes off.
func (e *StatusError) skewed() bool {
	return e.Status == http.StatusUnauthorized && e.skew.Abs() > 14*time.Minute
}

// Is makes errors.Is work with the package's Err values.
func (e *StatusError) Is(target error) bool { return target != nil && target == e.sentinel() }

func (e *StatusError) sentinel() error {
	switch e.Status {
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusConflict:
		return ErrExists
	case http.StatusUnauthorized:
		return ErrUnauthorized
	case http.StatusForbidden:
		return ErrForbidden
	}
	return nil
}

func (e *StatusError) next() string {
	switch {
	case e.skewed():
		return "set this machine's clock"
	case e.Status == http.StatusUnauthorized:
		return "check that chef.client_name and chef.client_key belong together on that server"
	case e.Status == http.StatusForbidden:
		return "give that client the permission in the Chef organisation, or use another client"
	case e.Status >= 300 && e.Status < 400:
		return "correct chef.server_url: the server points elsewhere"
	case e.Status >= 500:
		return "look at the Chef server's log"
	}
	return ""
}

// statusError reads a refused reply.
func (c *Client) statusError(status int, header http.Header, body []byte) *StatusError {
	e := &StatusError{Status: status, Message: message(body), where: c.String()}
	if status >= 300 && status < 400 {
		e.Message = "redirected to " + header.Get("Location")
	}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		e.skew = time.Until(date)
	}
	return e
}

// message finds the server's words in {"error": …}, which Chef fills with a
// string, a list of strings, a list of objects, or JSON in a string.
func message(body []byte) string {
	var envelope struct {
		Error any `json:"error"`
	}
	if json.Unmarshal(body, &envelope) != nil {
		return "" // an HTML page of some proxy tells nothing in one line
	}
	return oneLine(words(envelope.Error))
}

func words(v any) string {
	switch v := v.(type) {
	case string:
		var inner map[string]any
		if strings.HasPrefix(v, "{") && json.Unmarshal([]byte(v), &inner) == nil {
			return words(inner)
		}
		return v
	case []any:
		var parts []string
		for _, e := range v {
			if s := words(e); s != "" {
				parts = append(parts, s)
			}
		}
		return strings.Join(parts, "; ")
	case map[string]any:
		return words(v["message"])
	}
	return ""
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}

// explain gives a failed call its subject, kind and next step.
func (c *Client) explain(ctx context.Context, what string, err error) error {
	var status *StatusError
	_, passing := retryable(err)
	switch final := errors.As(err, &status) && !passing; {
	case err == nil:
		return nil
	case ctx.Err() != nil && !final: // the caller's deadline or signal: its kind, not ours
		return fmt.Errorf("%s on %s: %w (last: %v)", what, c, context.Cause(ctx), err)
	case status != nil:
		return fault.New(fault.Chef, status.next(), fmt.Errorf("%s: %w", what, err))
	}
	return fault.New(fault.Chef, networkNext(err), fmt.Errorf("%s: reaching %s: %w", what, c, err))
}

func networkNext(err error) string {
	var unknown x509.UnknownAuthorityError
	var verify *tls.CertificateVerificationError
	if errors.As(err, &unknown) || errors.As(err, &verify) {
		return "name the server's CA certificate with chef.ca_file, or correct the host in chef.server_url"
	}
	return "check chef.server_url, and that this machine can reach the Chef server"
}
