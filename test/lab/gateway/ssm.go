package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// parameter is a public parameter as SSM shows it. moto has none below
// /aws/service/canonical and refuses to be given any.
func (g *Gateway) parameter(c *call, name string) (map[string]any, bool) {
	value, ok := g.cfg.Parameters[name]
	if !ok {
		return nil, false
	}
	kind := "text"
	if strings.HasPrefix(value, "ami-") {
		kind = "aws:ec2:image"
	}
	return map[string]any{
		"Name": name, "Type": "String", "Value": value, "Version": 1, "DataType": kind,
		"ARN":              fmt.Sprintf("arn:aws:ssm:%s::parameter%s", c.region, name),
		"LastModifiedDate": 1.7e9, // a time; which one does not matter
	}, true
}

func (g *Gateway) getParameter(ctx context.Context, c *call) (reply, error) {
	var in struct{ Name string }
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	if p, ok := g.parameter(c, in.Name); ok {
		return jsonReply(map[string]any{"Parameter": p})
	}
	return g.forward(ctx, c)
}

// getParameters joins our answers with moto's for the other names.
func (g *Gateway) getParameters(ctx context.Context, c *call) (reply, error) {
	in := map[string]any{}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	names, _ := in["Names"].([]any)
	ours := []any{}
	var others []any
	for _, name := range names {
		s, _ := name.(string)
		if p, ok := g.parameter(c, s); ok {
			ours = append(ours, p)
		} else {
			others = append(others, name)
		}
	}
	if len(ours) == 0 {
		return g.forward(ctx, c)
	}
	out := map[string]any{"Parameters": ours, "InvalidParameters": []any{}}
	if len(others) > 0 {
		in["Names"] = others
		rep, err := g.forwardChanged(ctx, c, in)
		if err != nil || rep.status != http.StatusOK {
			return rep, err
		}
		if err := json.Unmarshal(rep.body, &out); err != nil {
			return reply{}, fmt.Errorf("reading the emulator's parameters: %w", err)
		}
		theirs, _ := out["Parameters"].([]any)
		out["Parameters"] = append(ours, theirs...)
	}
	return jsonReply(out)
}

// getParametersByPath answers below a path that we have something under.
func (g *Gateway) getParametersByPath(ctx context.Context, c *call) (reply, error) {
	var in struct {
		Path      string
		Recursive bool
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return reply{}, refuse("SerializationException", "%v", err)
	}
	prefix := strings.TrimSuffix(in.Path, "/") + "/"
	found := []any{}
	for _, name := range slices.Sorted(maps.Keys(g.cfg.Parameters)) {
		rest, below := strings.CutPrefix(name, prefix)
		if !below || (!in.Recursive && strings.Contains(rest, "/")) {
			continue
		}
		p, _ := g.parameter(c, name)
		found = append(found, p)
	}
	if len(found) == 0 || prefix == "/" {
		return g.forward(ctx, c)
	}
	return jsonReply(map[string]any{"Parameters": found})
}

func (g *Gateway) forwardChanged(ctx context.Context, c *call, body map[string]any) (reply, error) {
	changed := *c
	var err error
	if changed.body, err = json.Marshal(body); err != nil {
		return reply{}, fmt.Errorf("rendering request: %w", err)
	}
	return g.forward(ctx, &changed)
}
