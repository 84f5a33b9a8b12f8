package chefapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"bakehouse/internal/fault"
)

// RawNode fetches a node as the server has it, all attribute levels included.
// A missing one is ErrNotFound.
func (c *Client) RawNode(ctx context.Context, name string) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.get(ctx, "node", name, &raw)
	return raw, err
}

// SetNormal sets keys of normal[section] of a node; every other attribute, of
// all levels, is sent back as it was read. A node has no version to compare: a
// chef-client that saves the node between the two requests loses what it saved,
// and one whose run spans them puts back what it had read at its start. A node
// that has the values already is not written.
func (c *Client) SetNormal(ctx context.Context, name, section string, values map[string]any) error {
	var node map[string]any
	if err := c.get(ctx, "node", name, &node); err != nil {
		return err
	}
	normal, _ := node["normal"].(map[string]any)
	inner, _ := normal[section].(map[string]any)
	if normal == nil {
		normal = map[string]any{}
	}
	if inner == nil {
		inner = map[string]any{}
	}
	before := maps.Clone(inner)
	maps.Copy(inner, values)
	if sameJSON(before, inner) {
		return nil
	}
	normal[section], node["normal"] = inner, normal
	return c.do(ctx, call{what: "updating node " + name, method: http.MethodPut, path: "nodes/" + name, body: node}, nil)
}

// RawClient fetches a client, with its public key, as RestoreClient takes it.
// A missing one is ErrNotFound.
func (c *Client) RawClient(ctx context.Context, name string) (json.RawMessage, error) {
	var w struct {
		wireClient
		Validator bool `json:"validator"`
		Admin     bool `json:"admin"`
	}
	if err := c.get(ctx, "client", name, &w); err != nil {
		return nil, err
	}
	if w.PublicKey == "" {
		key, err := c.publicKey(ctx, name)
		if err != nil {
			return nil, err
		}
		w.PublicKey = string(key)
	}
	w.Name = name
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("rendering client %s: %w", name, err)
	}
	return b, nil
}

// RestoreNode creates a node from what RawNode returned. ErrExists when there
// is a node of that name.
func (c *Client) RestoreNode(ctx context.Context, raw json.RawMessage) error {
	var n struct {
		Name string `json:"name"`
	}
	if err := unmarshal(raw, &n); err != nil {
		return err
	}
	if err := checkName("node", n.Name); err != nil {
		return err
	}
	return c.create(ctx, call{what: "restoring node " + n.Name, method: http.MethodPost, path: "nodes", body: raw}, func() (bool, error) {
		got, err := c.RawNode(ctx, n.Name)
		return err == nil && sameJSON(got, raw), err
	})
}

// RestoreClient creates a client from what RawClient returned. ErrExists when
// there is a client of that name.
func (c *Client) RestoreClient(ctx context.Context, raw json.RawMessage) error {
	var w wireClient
	if err := unmarshal(raw, &w); err != nil {
		return err
	}
	return c.CreateClient(ctx, w.Name, []byte(w.PublicKey))
}

// GrantNode gives the client of the node's name the rights on the node that
// it has when it made the node itself. A server without access control lists
// (goiardi) needs none: nil.
func (c *Client) GrantNode(ctx context.Context, name string) error {
	if err := checkName("node", name); err != nil {
		return err
	}
	var acl map[string]struct {
		Actors []string `json:"actors"`
		Groups []string `json:"groups"`
	}
	err := c.do(ctx, call{what: "reading the access list of node " + name, method: http.MethodGet, path: "nodes/" + name + "/_acl"}, &acl)
	var status *StatusError
	if errors.As(err, &status) && (status.Status == http.StatusNotFound || status.Status == http.StatusMethodNotAllowed) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, right := range []string{"create", "read", "update", "delete", "grant"} {
		entry, ok := acl[right]
		if !ok || slices.Contains(entry.Actors, name) {
			continue
		}
		entry.Actors = append(entry.Actors, name)
		err := c.do(ctx, call{what: "granting " + right + " on node " + name, method: http.MethodPut,
			path: "nodes/" + name + "/_acl/" + right, body: map[string]any{right: entry}}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// unmarshal reads a saved object.
func unmarshal(raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fault.Newf(fault.Check, "", "reading a saved Chef object: %w", err)
	}
	return nil
}
