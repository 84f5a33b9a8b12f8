package agent

import (
	"context"
	"fmt"
	"maps"

	"bakehouse/internal/chefapi"
)

// chefServer keeps what a Chef server keeps, and checks who signs.
type chefServer struct {
	clients map[string]string // name → public key PEM
	nodes   map[string]chefapi.Node
	posts   int
	asked   int   // requests of any kind
	refuse  error // for every request, when set
}

func newChefServer() *chefServer {
	return &chefServer{clients: map[string]string{"chef-validator": publicPEM(testKeys()[0])}, nodes: map[string]chefapi.Node{}}
}

func publicPEM(private string) string {
	p, _, err := publicOf([]byte(private))
	if err != nil {
		panic(err)
	}
	return string(p)
}

func (s *chefServer) dial(c chefapi.Config) (Chef, error) {
	public, _, err := publicOf(c.Key)
	return &chefCaller{s, c.ClientName, string(public)}, err
}

// chefCaller is the server as one client sees it.
type chefCaller struct {
	*chefServer
	name, public string
}

func (c *chefCaller) auth(ctx context.Context) error {
	c.asked++
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case c.refuse != nil:
		return c.refuse
	case c.clients[c.name] != c.public:
		return fmt.Errorf("as %s: %w", c.name, chefapi.ErrUnauthorized)
	}
	return nil
}

func (c *chefCaller) CreateClient(ctx context.Context, name string, public []byte) error {
	if err := c.auth(ctx); err != nil {
		return err
	}
	c.posts++
	if _, ok := c.clients[name]; ok {
		return fmt.Errorf("creating client %s: %w", name, chefapi.ErrExists)
	}
	c.clients[name] = string(public)
	return nil
}

func (c *chefCaller) ClientExists(ctx context.Context, name string) (bool, error) {
	_, ok := c.clients[name]
	return ok, c.auth(ctx)
}

func (c *chefCaller) CreateNode(ctx context.Context, n chefapi.Node) error {
	if err := c.auth(ctx); err != nil {
		return err
	}
	if _, ok := c.nodes[n.Name]; ok {
		return fmt.Errorf("creating node %s: %w", n.Name, chefapi.ErrExists)
	}
	if n.Name != c.name {
		return fmt.Errorf("creating node %s as %s: %w", n.Name, c.name, chefapi.ErrForbidden)
	}
	c.nodes[n.Name] = n
	return nil
}

func (c *chefCaller) Node(ctx context.Context, name string) (chefapi.Node, error) {
	n := c.nodes[name]
	n.Normal = maps.Clone(n.Normal)
	return n, c.auth(ctx)
}

func (c *chefCaller) DeleteNode(ctx context.Context, name string) error {
	if err := c.auth(ctx); err != nil {
		return err
	}
	delete(c.nodes, name)
	return nil
}

func (c *chefCaller) DeleteClient(ctx context.Context, name string) error {
	if err := c.auth(ctx); err != nil {
		return err
	}
	delete(c.clients, name)
	return nil
}

func (c *chefCaller) SetNormal(ctx context.Context, name, section string, values map[string]any) error {
	if err := c.auth(ctx); err != nil {
		return err
	}
	n, ok := c.nodes[name]
	if !ok {
		return chefapi.ErrNotFound
	}
	n.Normal = merged(n.Normal, map[string]any{section: values})
	c.nodes[name] = n
	return nil
}

func (c *chefCaller) UpdateNode(ctx context.Context, n chefapi.Node) error {
	if err := c.auth(ctx); err != nil {
		return err
	}
	c.nodes[n.Name] = n
	return nil
}
