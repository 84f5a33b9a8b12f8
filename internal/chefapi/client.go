package chefapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
)

// wireClient is a client as the API has it: goiardi and API version 0 carry
// the key inside.
type wireClient struct {
	Name      string `json:"name"`
	PublicKey string `json:"public_key"`
}

// CreateClient registers a client with a public key (PEM) of the caller's
// making; no private key crosses the wire. ErrExists when the name is taken.
func (c *Client) CreateClient(ctx context.Context, name string, publicPEM []byte) error {
	if err := checkName("client", name); err != nil {
		return err
	}
	if err := checkPublic(name, publicPEM); err != nil {
		return err
	}
	body := map[string]any{"name": name, "clientname": name, "validator": false, "admin": false, "public_key": string(publicPEM)}
	return c.create(ctx, call{what: "creating client " + name, method: http.MethodPost, path: "clients", body: body}, func() (bool, error) {
		key, err := c.publicKey(ctx, name)
		return err == nil && bytes.Equal(bytes.TrimSpace(key), bytes.TrimSpace(publicPEM)), err
	})
}

// publicKey fetches a client's key from where the server's generation keeps it.
func (c *Client) publicKey(ctx context.Context, name string) ([]byte, error) {
	var w wireClient
	if err := c.get(ctx, "client", name, &w); err != nil || w.PublicKey != "" {
		return []byte(w.PublicKey), err
	}
	err := c.do(ctx, call{what: "fetching the key of client " + name, method: http.MethodGet, path: "clients/" + name + "/keys/default"}, &w)
	return []byte(w.PublicKey), err
}

// ClientKey returns a client's public key (PEM). A missing client is ErrNotFound.
func (c *Client) ClientKey(ctx context.Context, name string) ([]byte, error) {
	return c.publicKey(ctx, name)
}

// ClientExists says whether a client of that name is registered.
func (c *Client) ClientExists(ctx context.Context, name string) (bool, error) {
	return c.exists(ctx, "client", name)
}

// DeleteClient deletes a client. A client that is not there is success. On a
// Chef server only a user, an admin client or the client itself may.
func (c *Client) DeleteClient(ctx context.Context, name string) error {
	return c.remove(ctx, "client", name)
}

// ClientNames lists all clients, sorted.
func (c *Client) ClientNames(ctx context.Context) ([]string, error) { return c.names(ctx, "clients") }

// Ping proves with one cheap request that the server answers and accepts the
// signature: it asks for the signing client itself, or, for a user who is no
// client, for the list of environments.
func (c *Client) Ping(ctx context.Context) error {
	err := c.get(ctx, "client", c.name, nil)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrForbidden) {
		_, err = c.names(ctx, "environments")
	}
	return err
}
