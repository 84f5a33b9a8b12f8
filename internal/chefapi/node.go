package chefapi

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

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

// wireNode is a node as the API has it.
type wireNode struct {
	Name        string         `json:"name"`
	Environment string         `json:"chef_environment"`
	JSONClass   string         `json:"json_class"`
	ChefType    string         `json:"chef_type"`
	RunList     []string       `json:"run_list"`
	Normal      map[string]any `json:"normal"`
	Automatic   map[string]any `json:"automatic"`
	Default     map[string]any `json:"default"`
	Override    map[string]any `json:"override"`
	PolicyName  string         `json:"policy_name,omitempty"`
	PolicyGroup string         `json:"policy_group,omitempty"`
}

func toWire(n Node) wireNode {
	return wireNode{
		Name: n.Name, Environment: cmp.Or(n.Environment, "_default"), JSONClass: "Chef::Node", ChefType: "node",
		RunList: normalise(n.RunList), Normal: notNil(n.Normal), Automatic: notNil(n.Automatic),
		Default: map[string]any{}, Override: map[string]any{}, PolicyName: n.PolicyName, PolicyGroup: n.PolicyGroup,
	}
}

func (w wireNode) node() Node {
	return Node{Name: w.Name, Environment: cmp.Or(w.Environment, "_default"), RunList: w.RunList,
		Normal: w.Normal, Automatic: w.Automatic, PolicyName: w.PolicyName, PolicyGroup: w.PolicyGroup}
}

func notNil(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// normalise writes bare recipes as recipe[NAME], as the server stores them.
func normalise(runList []string) []string {
	out := make([]string, 0, len(runList))
	for _, s := range runList {
		if !strings.HasSuffix(s, "]") {
			s = "recipe[" + s + "]"
		}
		out = append(out, s)
	}
	return out
}

// CreateNode creates n; the signing client gets the rights on it. ErrExists
// when a node of that name is there already.
func (c *Client) CreateNode(ctx context.Context, n Node) error {
	if err := checkName("node", n.Name); err != nil {
		return err
	}
	w := toWire(n)
	return c.create(ctx, call{what: "creating node " + n.Name, method: http.MethodPost, path: "nodes", body: w}, func() (bool, error) {
		got, err := c.Node(ctx, n.Name)
		return err == nil && slices.Equal(got.RunList, w.RunList) && sameJSON(notNil(got.Normal), w.Normal), err
	})
}

// Node fetches a node. A missing one is ErrNotFound.
func (c *Client) Node(ctx context.Context, name string) (Node, error) {
	var w wireNode
	err := c.get(ctx, "node", name, &w)
	return w.node(), err
}

// UpdateNode replaces the node of n's name. Its default and override levels
// become empty; Chef rebuilds them in every run.
func (c *Client) UpdateNode(ctx context.Context, n Node) error {
	if err := checkName("node", n.Name); err != nil {
		return err
	}
	return c.do(ctx, call{what: "updating node " + n.Name, method: http.MethodPut, path: "nodes/" + n.Name, body: toWire(n)}, nil)
}

// DeleteNode deletes a node. A node that is not there is success.
func (c *Client) DeleteNode(ctx context.Context, name string) error {
	return c.remove(ctx, "node", name)
}

// NodeNames lists all nodes, sorted.
func (c *Client) NodeNames(ctx context.Context) ([]string, error) { return c.names(ctx, "nodes") }

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// sameJSON compares values by their JSON form, in which 1 and 1.0 are one.
func sameJSON(a, b any) bool { return reflect.DeepEqual(canonical(a), canonical(b)) }
