package bake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"bakehouse/internal/fault"
)

// maxAttributes bounds the attributes file, in bytes: every node stores them,
// and a Chef server takes nodes of about a megabyte.
const maxAttributes = 256 << 10

// reserved are the keys that chef-client takes out of a JSON attributes file
// (docs.chef.io/chef_client, "-j PATH"), and the agent's own.
func reserved() []string {
	return []string{"bakehouse", "run_list", "recipes", "chef_environment", "policy_name", "policy_group"}
}

// firstBootAttributes reads the attributes that the bake's node and every
// instance's node start with.
func firstBootAttributes(path string) (map[string]any, error) {
	if path == "" {
		return nil, nil
	}
	bad := func(next, format string, args ...any) error {
		return fault.Newf(fault.Usage, next, "reading --attributes: "+format, args...)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, bad("correct --attributes (bake.attributes)", "%w", err)
	}
	if len(b) > maxAttributes {
		return nil, bad("put large data where recipes can fetch it", "%s has %d bytes, more than %d", path, len(b), maxAttributes)
	}
	if bytes.Contains(b, []byte("PRIVATE KEY")) {
		return nil, bad("let recipes fetch secrets; attributes are baked into the image and shown to every node", "%s holds a private key", path)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil || out == nil {
		return nil, bad("give a JSON object, like {\"nginx\": {\"workers\": 4}}", "%s: %w", position(path, b, err), orError(err, "not a JSON object"))
	}
	for key := range out {
		if slices.Contains(reserved(), key) {
			return nil, bad("take it out; role and environment have options of their own", "%s: the key %q is reserved", path, key)
		}
	}
	return out, nil
}

// position is FILE:LINE:COLUMN of a JSON error, or FILE.
func position(path string, b []byte, err error) string {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return path
	}
	before := b[:min(max(int(syntax.Offset)-1, 0), len(b))]
	return fmt.Sprintf("%s:%d:%d", path, bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n'))
}

func orError(err error, text string) error {
	var kind *json.UnmarshalTypeError
	if err == nil || errors.As(err, &kind) {
		return errors.New(text)
	}
	return err
}

// localAttributes is the attributes file of a local-mode converge; a node on
// the server has them from its creation.
func (p Plan) localAttributes() ([]byte, error) {
	if p.Recipe.ChefMode != ChefLocalMode || len(p.Recipe.Agent.Attributes) == 0 {
		return nil, nil
	}
	b, err := json.Marshal(p.Recipe.Agent.Attributes)
	if err != nil {
		return nil, fmt.Errorf("rendering the attributes: %w", err)
	}
	return b, nil
}
