package bake

import (
	"context"
	"errors"
	"slices"
	"strings"

	"bakehouse/internal/chefapi"
)

// provers tell whose the nodes and clients are that instances of a bake made:
// their names are not the bake's, but end in the instance's id.
type provers struct {
	names     map[string]Found // as journals of dead bakes name them
	instances []Found          // that carry a bake's tags
}

// proversOf gathers what is known of instances that may have registered.
func proversOf(found []Found, dead map[string]oldBake) provers {
	p := provers{names: map[string]Found{}}
	for _, f := range found {
		if f.Kind == KindInstance {
			p.instances = append(p.instances, f)
		}
	}
	for _, b := range dead {
		for _, r := range b.Resources {
			switch {
			case (r.Kind == KindChefClient || r.Kind == KindChefNode) && bakeOfNode(r.Name) == "":
				p.names[r.Name] = Found{BakeID: b.BakeID}
			case r.Kind == KindInstance && r.ID != "":
				p.instances = append(p.instances, Found{Resource: r, BakeID: b.BakeID})
			}
		}
	}
	return p
}

// owner says which bake's instance gave a name, and when that expires.
func (p provers) owner(name string) (of Found, ours bool) {
	if of, ours = p.names[name]; ours {
		return of, true
	}
	for _, i := range p.instances {
		if strings.HasPrefix(i.ID, "i-") && strings.HasSuffix(name, i.ID) {
			return Found{BakeID: i.BakeID, Expires: i.Expires}, true
		}
	}
	return Found{}, false
}

// lookAtChef finds the nodes and clients of bakes by their names, and those of
// bakes' instances. Of the first only a node can say when it expires; a client
// goes by its node.
func (s Sweeper) lookAtChef(ctx context.Context, by provers) ([]Found, error) {
	if s.Chef == nil {
		return nil, nil
	}
	s.Reporter.StepProgress(lookStep, "Chef server")
	nodes, clients, err := s.chefNames(ctx)
	if err != nil {
		return nil, err
	}
	expires, foreign := map[string]string{}, map[string]bool{}
	for _, name := range nodes {
		if bakeOfNode(name) == "" {
			continue
		}
		n, err := s.Chef.Node(ctx, name)
		if errors.Is(err, chefapi.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, chefFault("looking at Chef node "+name, err)
		}
		ours, _ := n.Normal["bakehouse"].(map[string]any)
		expires[name], _ = ours["expires_at"].(string)
		foreign[name] = ours["bake_id"] != bakeOfNode(name) // named like ours, and not ours
	}
	var all []Found
	add := func(kind Kind, names []string) {
		for _, name := range names {
			if id := bakeOfNode(name); id != "" && !foreign[name] {
				all = append(all, Found{Resource: Resource{Kind: kind, Name: name, ID: name}, BakeID: id, Expires: expires[name]})
			}
		}
	}
	add(KindChefClient, clients)
	add(KindChefNode, nodes)
	return append(all, by.among(nodes, clients)...), nil
}

func (s Sweeper) chefNames(ctx context.Context) (nodes, clients []string, err error) {
	if nodes, err = s.Chef.NodeNames(ctx); err != nil {
		return nil, nil, chefFault("listing the Chef server's nodes", err)
	}
	if clients, err = s.Chef.ClientNames(ctx); err != nil {
		return nil, nil, chefFault("listing the Chef server's clients", err)
	}
	return nodes, clients, nil
}

// among picks the clients and nodes of bakes' instances.
func (p provers) among(nodes, clients []string) (out []Found) {
	pick := func(kind Kind, names []string) {
		for _, name := range names {
			if of, ours := p.owner(name); ours {
				of.Resource = Resource{Kind: kind, Name: name, ID: name}
				out = append(out, of)
			}
		}
	}
	pick(KindChefClient, clients)
	pick(KindChefNode, nodes)
	return out
}

// registeredSince finds what instances that are terminated now have made on the
// Chef server after the look: they ran on until then.
func (s Sweeper) registeredSince(ctx context.Context, dead map[string]oldBake, doomed []Found) ([]Found, error) {
	by := proversOf(doomed, dead)
	if s.Chef == nil || len(by.names)+len(by.instances) == 0 {
		return nil, nil
	}
	nodes, clients, err := s.chefNames(ctx)
	return slices.DeleteFunc(by.among(nodes, clients), func(f Found) bool {
		return slices.ContainsFunc(doomed, func(d Found) bool { return d.Kind == f.Kind && d.Name == f.Name })
	}), err
}
