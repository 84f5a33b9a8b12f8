// Package chefapi speaks to a Chef Infra server (or goiardi) over its HTTP API
// with signed requests, protocol 1.3. It is the only importer of go-chef, of
// which it uses the request signing alone: paging, escaping, contexts, time
// limits and retries are its own.
//
// Every call honours its context and repeats what a busy server or a broken
// connection failed, with jitter and a bounded number of times. Errors are
// fault.Chef with a next step, and say which server refused whom.
package chefapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/go-chef/chef"

	"bakehouse/internal/fault"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrNotFound     = errors.New("not found")
	ErrExists       = errors.New("already exists")
	ErrUnauthorized = errors.New("signature refused")
	ErrForbidden    = errors.New("not permitted")
)

// Config says which server to talk to, and as whom.
type Config struct {
	ServerURL  string        // http(s)://HOST[:PORT][/organizations/NAME]
	ClientName string        // client or user that signs
	Key        []byte        // its private key, PEM (PKCS#1 or PKCS#8, RSA)
	CAFile     string        // PEM bundle that replaces the system's roots; empty: the system's
	Timeout    time.Duration // of one request; 0 means 30s
}

// Client talks to one server as one client. It is safe for concurrent use.
type Client struct {
	server string // without trailing slash, for messages
	name   string
	signer *chef.Client
	http   *http.Client
	pause  func(ctx context.Context, d time.Duration) error
}

// New checks c and makes a client. It sends nothing. Errors are fault.Usage.
func New(c Config) (*Client, error) {
	base, err := baseURL(c.ServerURL)
	if err != nil {
		return nil, err
	}
	if err := checkName("client", c.ClientName); err != nil {
		return nil, err
	}
	if err := checkKey(c.ClientName, c.Key); err != nil {
		return nil, err
	}
	hc, err := httpClient(c)
	if err != nil {
		return nil, err
	}
	signer, err := chef.NewClient(&chef.Config{
		Name: c.ClientName, Key: string(c.Key), Client: hc,
		BaseURL:               base + "/", // without the slash go-chef drops the organisation
		AuthenticationVersion: chef.AuthVersion13,
	})
	if err != nil {
		return nil, fault.Newf(fault.Usage, "", "setting up Chef client %s: %w", c.ClientName, err)
	}
	return &Client{server: base, name: c.ClientName, signer: signer, http: hc, pause: sleep}, nil
}

// baseURL checks a server URL and cuts its trailing slashes.
func baseURL(s string) (string, error) {
	const next = "write https://HOST/organizations/NAME, or http://HOST:PORT for a server without organisations"
	u, err := url.Parse(s)
	switch {
	case s == "":
		return "", fault.Newf(fault.Usage, next, "no Chef server URL is set")
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return "", fault.Newf(fault.Usage, next, "Chef server URL %q is not an http(s) URL", s)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "", fault.Newf(fault.Usage, next, "Chef server URL of host %s holds more than scheme, host and path", u.Host)
	}
	path := strings.Trim(u.Path, "/")
	if path != "" && !regexp.MustCompile(`^organizations/[a-z0-9][a-z0-9_-]*$`).MatchString(path) {
		return "", fault.Newf(fault.Usage, next, "Chef server URL %q: the path is not /organizations/NAME", s)
	}
	return strings.TrimRight(u.Scheme+"://"+u.Host+"/"+path, "/"), nil
}

func httpClient(c Config) (*http.Client, error) {
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	tr := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	if c.CAFile != "" {
		b, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fault.Newf(fault.Usage, "correct chef.ca_file", "reading the Chef server's CA file: %w", err)
		}
		tr.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(b) {
			return nil, fault.Newf(fault.Usage, "correct chef.ca_file", "reading the Chef server's CA file: no certificate in %s", c.CAFile)
		}
	}
	return &http.Client{
		Transport: tr,
		Timeout:   timeout,
		// A signature covers one path: a redirected request would be refused
		// anyway, and a POST would silently become a GET.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// checkName refuses what would change the request's path. Kinds: node, client,
// role, environment.
func checkName(kind, name string) error {
	if !regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`).MatchString(name) || name == "." || name == ".." {
		return fault.Newf(fault.Usage, "names hold letters, digits and _ . : - only", "%q is not a %s name", name, kind)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// String names the server and the client for messages.
func (c *Client) String() string { return fmt.Sprintf("%s as %s", c.server, c.name) }
