package bake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/go-multierror"

	"bakehouse/internal/await"
	"bakehouse/internal/chefapi"
	"bakehouse/internal/secret"
)

// nodeName is the name of the bake's node and client on the Chef server.
func (p Plan) nodeName() string { return "bake-" + strings.ToLower(p.BakeID) }

// makeNode registers a client of our own making and creates the builder's node
// as that client, which gives the client the right to update its node.
func (s *Session) makeNode(ctx context.Context) error {
	name := s.plan.nodeName()
	private, public, err := chefapi.GenerateKey()
	if err != nil {
		return fmt.Errorf("making the Chef client's key: %w", err)
	}
	s.chefKey = secret.New(private)
	if err := s.journal.intend(KindChefClient, name); err != nil {
		return err
	}
	ctx, cancel := await.Whole(ctx)
	defer cancel()
	// The name holds the bake's ULID: a client that exists is ours, made by a
	// request whose reply was lost.
	if err := s.Chef.CreateClient(ctx, name, public); err != nil && !errors.Is(err, chefapi.ErrExists) {
		return chefFault("creating Chef client "+name, err)
	}
	own, err := s.ChefLogin(name, private)
	if err != nil {
		return chefFault("logging in as Chef client "+name, err)
	}
	if err := s.journal.intend(KindChefNode, name); err != nil {
		return err
	}
	r := s.plan.Recipe
	node := chefapi.Node{Name: name, Environment: r.Environment, RunList: r.RunList, Normal: s.plan.nodeAttributes()}
	if r.Policy != nil {
		node.PolicyName, node.PolicyGroup = r.Policy.Name, r.Policy.Group
	}
	err = own.CreateNode(ctx, node)
	if err != nil && !errors.Is(err, chefapi.ErrExists) {
		return chefFault("creating Chef node "+name, err)
	}
	return nil
}

// removeNode deletes client and node. By now the builder is gone, so nothing
// can bring them back.
func (s *Session) removeNode(ctx context.Context) error {
	name := s.plan.nodeName()
	var all *multierror.Error
	for _, r := range s.journal.remaining() {
		var err error
		switch r.Kind {
		case KindChefClient:
			err = s.Chef.DeleteClient(ctx, name)
		case KindChefNode:
			err = s.Chef.DeleteNode(ctx, name)
		default:
			continue
		}
		if err == nil {
			err = s.journal.gone(r.Kind, name)
		}
		if err != nil {
			all = multierror.Append(all, chefFault("deleting "+string(r.Kind)+" "+name, err))
		}
	}
	return flat(all)
}

// nodeAttributes are the first-boot attributes, as instances get them, and
// what tells a sweep whose node this is.
func (p Plan) nodeAttributes() map[string]any {
	out := maps.Clone(p.Recipe.Agent.Attributes)
	if out == nil {
		out = map[string]any{}
	}
	out["bakehouse"] = map[string]any{"bake_id": p.BakeID, "role": p.Recipe.Role,
		"account": p.Launch.Account, "region": p.Launch.Region, // where a reaper looks for the builder
		"expires_at": p.ExpiresAt.UTC().Format(time.RFC3339)}
	return out
}
