// Package chefapi speaks to a Chef Infra server (or goiardi) over its HTTP API
// with signed requests, protocol 1.3. It is the only importer of go-chef, of
// which it uses the request signing alone: paging, escaping, contexts, time
// limits and retries are its own.
package chefapi

import (
	"context"
	"errors"
	"time"

	"bakehouse/internal/chefrepo"
)

// Errors that callers tell apart with errors.Is. The message of the error that
// wraps them says which server, as whom, and what was asked.
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
	Key        []byte        // its private key, PEM
	CAFile     string        // PEM bundle that replaces the system's roots; empty: the system's
	Timeout    time.Duration // of one request; 0 means 30s
}

// Client talks to one server as one client. It is safe for concurrent use.
type Client struct{}

// New checks c and makes a client. It sends nothing.
func New(c Config) (*Client, error) { return nil, errors.ErrUnsupported }

// GenerateKey makes an RSA 2048 key pair: the private half as PKCS#1 PEM, the
// public half as PKIX PEM, the forms that Chef writes itself.
func GenerateKey() (privatePEM, publicPEM []byte, err error) {
	return nil, nil, errors.ErrUnsupported
}

// Node is a Chef node, without the attribute levels that a cookbook run sets.
type Node struct {
	Name        string
	Environment string // empty means _default
	RunList     []string
	Normal      map[string]any
	Automatic   map[string]any
	PolicyName  string
	PolicyGroup string
}

// Uploaded counts what an Upload changed.
type Uploaded struct {
	Roles        int // created or changed
	Environments int // created or changed
	Cookbooks    int // versions created or changed
	Files        int // files sent
	Unchanged    int // roles, environments and cookbooks that were already right
}

var _ chefrepo.RoleSource = (*Client)(nil)

// CreateNode creates n. ErrExists when a node of that name is there already.
func (c *Client) CreateNode(ctx context.Context, n Node) error { return errors.ErrUnsupported }

// Node fetches a node.
func (c *Client) Node(ctx context.Context, name string) (Node, error) {
	return Node{}, errors.ErrUnsupported
}

// UpdateNode replaces the node of n's name.
func (c *Client) UpdateNode(ctx context.Context, n Node) error { return errors.ErrUnsupported }

// DeleteNode deletes a node. A node that is not there is success.
func (c *Client) DeleteNode(ctx context.Context, name string) error { return errors.ErrUnsupported }

// NodeNames lists all nodes, sorted.
func (c *Client) NodeNames(ctx context.Context) ([]string, error) {
	return nil, errors.ErrUnsupported
}

// SearchNodes returns the nodes that match a search query, sorted by name.
func (c *Client) SearchNodes(ctx context.Context, query string) ([]Node, error) {
	return nil, errors.ErrUnsupported
}

// CreateClient registers a client with a public key of the caller's making.
func (c *Client) CreateClient(ctx context.Context, name string, publicPEM []byte) error {
	return errors.ErrUnsupported
}

// ClientExists says whether a client of that name is registered.
func (c *Client) ClientExists(ctx context.Context, name string) (bool, error) {
	return false, errors.ErrUnsupported
}

// DeleteClient deletes a client. A client that is not there is success.
func (c *Client) DeleteClient(ctx context.Context, name string) error { return errors.ErrUnsupported }

// ClientNames lists all clients, sorted.
func (c *Client) ClientNames(ctx context.Context) ([]string, error) {
	return nil, errors.ErrUnsupported
}

// Role fetches a role. A missing role is ErrNotFound.
func (c *Client) Role(ctx context.Context, name string) (chefrepo.Role, error) {
	return chefrepo.Role{}, errors.ErrUnsupported
}

// EnvironmentExists says whether an environment of that name exists.
func (c *Client) EnvironmentExists(ctx context.Context, name string) (bool, error) {
	return false, errors.ErrUnsupported
}

// SolveCookbooks asks the server which cookbook versions a node with that
// environment and run list would get: name → version, dependencies included.
func (c *Client) SolveCookbooks(ctx context.Context, environment string, runList []string) (map[string]string, error) {
	return nil, errors.ErrUnsupported
}

// Upload brings the server's roles, environments and cookbooks in line with
// repo. It sends only what differs, and deletes nothing.
func (c *Client) Upload(ctx context.Context, repo *chefrepo.Repo) (Uploaded, error) {
	return Uploaded{}, errors.ErrUnsupported
}
