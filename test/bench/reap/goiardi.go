//go:build bench

package main

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"bakehouse/internal/chefapi"
	"bakehouse/test/lab/goiardi"
)

// onGoiardi measures on a real server.
func onGoiardi(ctx context.Context, dir string, f fleet) ([]row, error) {
	server, err := goiardi.Start(ctx, goiardi.Config{Dir: filepath.Join(dir, "goiardi"), Listen: netip.MustParseAddrPort("127.0.0.1:4747")})
	if err != nil {
		return nil, err
	}
	defer func() { _ = server.Stop(ctx) }()
	key, err := os.ReadFile(server.AdminKey)
	if err != nil {
		return nil, err
	}
	chef, err := chefapi.New(chefapi.Config{ServerURL: server.URL, ClientName: goiardi.AdminName, Key: key})
	if err != nil {
		return nil, err
	}
	names := ids(f.nodes)
	if err := register(ctx, chef, names); err != nil {
		return nil, err
	}
	m := measurement{fleet: f, dir: dir, names: names, chefURL: server.URL, client: goiardi.AdminName, key: server.AdminKey, chefCalls: func() int { return -1 }}
	return m.all(ctx)
}

// register makes node and client of each name.
func register(ctx context.Context, chef *chefapi.Client, names []string) error {
	_, public, err := chefapi.GenerateKey()
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, name := range names {
		g.Go(func() error {
			if err := chef.CreateClient(ctx, name, public); err != nil {
				return err
			}
			return chef.CreateNode(ctx, chefapi.Node{Name: name, Normal: map[string]any{"bakehouse": map[string]any{
				"instance_id": name, "account": account, "region": region}}})
		})
	}
	return g.Wait()
}
