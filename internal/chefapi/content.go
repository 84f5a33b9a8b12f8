package chefapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"bakehouse/internal/chefrepo"
)

// files returns what a cookbook's manifest lists: path → checksum. Servers of
// API version 2 list all_files; older ones list by segment.
func files(manifest map[string]any) map[string]string {
	out := map[string]string{}
	for _, segment := range append(segments(), "all_files") {
		items, _ := manifest[segment].([]any)
		for _, i := range items {
			if f, ok := i.(map[string]any); ok {
				out[fmt.Sprint(f["path"])] = fmt.Sprint(f["checksum"])
			}
		}
	}
	return out
}

// CookbookDigest is a SHA-256 (hex) over paths and checksums of a cookbook's
// files: other content under the same version gives another one. A missing
// cookbook is ErrNotFound.
func (c *Client) CookbookDigest(ctx context.Context, name, version string) (string, error) {
	if err := checkName("cookbook", name); err != nil {
		return "", err
	}
	if err := checkName("cookbook version", version); err != nil {
		return "", err
	}
	var manifest map[string]any
	k := call{what: "fetching cookbook " + name + " " + version, method: http.MethodGet, path: "cookbooks/" + name + "/" + version}
	if err := c.do(ctx, k, &manifest); err != nil {
		return "", err
	}
	b, err := json.Marshal(files(manifest)) // keys come out sorted
	if err != nil {
		return "", fmt.Errorf("hashing cookbook %s: %w", name, err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}

// Environment fetches an environment. A missing one is ErrNotFound.
func (c *Client) Environment(ctx context.Context, name string) (chefrepo.Environment, error) {
	var e chefrepo.Environment
	err := c.get(ctx, "environment", name, &e)
	return e, err
}
