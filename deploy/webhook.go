package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/template"
	"time"

	"bakehouse/internal/fault"
)

// DefaultPayload is what a Webhook posts: what Slack and its likes read.
const DefaultPayload = `{"text": {{json .Text}}}`

// webhookTimeout bounds one post: a chat that is down must not hold a rollout up.
const webhookTimeout = 10 * time.Second

// News is what a payload template is rendered from.
type News struct {
	Event    string // started, done, rolled back, stopped or interrupted
	Text     string // one line for people
	Rollout  *Rollout
	Counts   map[HostState]int
	Duration time.Duration // so far
}

// Webhook posts how a rollout goes. Its URL is a secret: it is in no error.
type Webhook struct {
	url     string
	payload *template.Template
	client  *http.Client
}

// NewWebhook checks URL and payload template (text/template over News; the
// function json renders a value as JSON); an empty one is DefaultPayload.
func NewWebhook(address, payload string) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fault.Newf(fault.Usage, "give an http or https address", "reading webhook: it is no URL")
	}
	if payload == "" {
		payload = DefaultPayload
	}
	t, err := template.New("payload").Option("missingkey=error").Funcs(template.FuncMap{"json": func(v any) (string, error) {
		b, err := json.Marshal(v)
		return string(b), err
	}}).Parse(payload)
	w := &Webhook{url: address, payload: t, client: &http.Client{Timeout: webhookTimeout}}
	if err == nil {
		_, err = w.render(News{Rollout: &Rollout{}, Counts: map[HostState]int{}})
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "correct the template", fmt.Errorf("reading webhook's template: %w", err))
	}
	return w, nil
}

// render makes the payload, which must be JSON.
func (w *Webhook) render(n News) ([]byte, error) {
	var b bytes.Buffer
	if err := w.payload.Execute(&b, n); err != nil {
		return nil, err
	}
	if !json.Valid(b.Bytes()) {
		return nil, errors.New("what it renders is no JSON")
	}
	return b.Bytes(), nil
}

// Post tells how r stands.
func (w *Webhook) Post(ctx context.Context, event string, r *Rollout, now time.Time) error {
	n := News{Event: event, Rollout: r, Counts: r.Counts(), Duration: now.Sub(r.Started)}
	n.Text = fmt.Sprintf("%s of %s: build %s %s: %s", r.Channel, r.App, r.Build.Short(), event, r.Summary())
	if r.Reason != "" {
		n.Text += " (" + r.Reason + ")"
	}
	body, err := w.render(n)
	if err != nil {
		return fmt.Errorf("telling the webhook: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return errors.New("telling the webhook: the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.client.Do(req)
	var broken *url.Error
	if errors.As(err, &broken) {
		err = broken.Err // without the URL
	}
	if err != nil {
		return fmt.Errorf("telling the webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("telling the webhook: it answered %s", resp.Status)
	}
	return nil
}

// Summary counts the hosts of r in words.
func (r *Rollout) Summary() string {
	n := r.Counts()
	good := fmt.Sprintf("%d deployed", n[Deployed])
	if r.Groups {
		good = fmt.Sprintf("%d replaced", n[Replaced])
	}
	return fmt.Sprintf("%d hosts: %s, %d failed, %d restored, %d stuck, %d pending", r.Hosts(), good,
		n[Failed], n[Restored], n[Stuck], n[Pending]+n[Begun])
}
