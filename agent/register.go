package agent

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"slices"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/fault"
)

// markerKey is the normal attribute under which a node says whose it is.
const markerKey = "bakehouse"

// tagsKey is the normal attribute in which Chef keeps a node's tags.
const tagsKey = "tags"

// register makes this instance a client and a node of the Chef server.
//
// The order is what makes it crash-proof: the key is stored, then noted in the
// journal, and only then announced. chef-client does it the other way round and
// a crash in between leaves a client whose key nobody has.
func (s *session) register(ctx context.Context) error {
	client, err := s.chefClient()
	if err != nil {
		return err
	}
	if err := s.refuseBakedKeys(); err != nil {
		return err
	}
	private, public, err := s.key(client.confDir)
	if err != nil {
		return err
	}
	self, err := s.deps.Chef(s.chefConfig(s.j.Node, private))
	if err != nil {
		return fmt.Errorf("preparing to talk to the Chef server: %w", err)
	}
	if err := s.awaitClock(ctx); err != nil {
		return err
	}
	limit := s.registerLimit()
	if err := limit.try(ctx, s, s.registrar(), func(ctx context.Context) error { return s.announce(ctx, self, public) }); err != nil {
		return err
	}
	if err := s.reached(ClientCreated); err != nil {
		return err
	}
	if err := limit.try(ctx, s, s.conf.Chef.ServerURL, func(ctx context.Context) error { return s.createNode(ctx, self) }); err != nil {
		return err
	}
	s.detail = "node and client " + s.j.Node
	return s.reached(NodeCreated)
}

// chefConfig is how to reach the configured server as name.
func (s *session) chefConfig(name string, key []byte) chefapi.Config {
	c := chefapi.Config{ServerURL: s.conf.Chef.ServerURL, ClientName: name, Key: key}
	if s.conf.Chef.CAFile != "" {
		c.CAFile = s.path(s.conf.Chef.CAFile)
	}
	return c
}

// registrar is whom this instance asks to make it a client.
func (s *session) registrar() string { return firstOf(s.conf.Chef.BrokerURL, s.conf.Chef.ServerURL) }

// chefFault gives an error of the server a kind where it has none.
func (s *session) chefFault(err error) error {
	if fault.KindOf(err) != fault.Internal {
		return err
	}
	return fault.New(fault.Chef, "check that "+s.conf.Chef.ServerURL+" answers from this instance, then: systemctl restart bakehouse-first-boot", err)
}

// key returns the key pair of this instance, making it when there is none. A
// key that is not the journal's own came with the image (or was stored by a
// run that died before it noted it, so nobody knows it): it is discarded.
func (s *session) key(confDir string) (private, public []byte, err error) {
	path := s.path(confDir, "client.pem")
	if private, err = os.ReadFile(path); err == nil {
		public, mark, err := publicOf(private)
		if err == nil && mark == s.j.KeyFingerprint {
			return private, public, nil
		}
		s.deps.Events.Note("discarding " + path + ": this instance did not make it")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("reading the client key: %w", onDisk(err))
	}
	for _, c := range chefClients() {
		if err := dropTemp(s.path(c.confDir, "client.pem")); err != nil {
			return nil, nil, fmt.Errorf("discarding a foreign client key: %w", onDisk(err))
		}
	}
	return s.makeKey(path)
}

// makeKey makes a key pair, stores it at path and notes it in the journal.
func (s *session) makeKey(path string) (private, public []byte, err error) {
	private, _, err = s.deps.NewKey()
	if err != nil {
		return nil, nil, fmt.Errorf("making the client key: %w", err)
	}
	public, mark, err := publicOf(private)
	if err != nil {
		return nil, nil, fmt.Errorf("making the client key: %w", err)
	}
	if err := writeFile(path, private, 0o600); err != nil {
		return nil, nil, fmt.Errorf("writing the client key: %w", onDisk(err))
	}
	if err := s.reached(KeyWritten); err != nil {
		return nil, nil, err
	}
	s.j.KeyFingerprint = mark
	if err := s.save(); err != nil {
		return nil, nil, err
	}
	return private, public, s.reached(KeyRecorded)
}

// publicOf derives the public key of a PKCS#1 private key: as PKIX PEM, which
// is what POST /clients takes, and as the SHA-256 of its DER form in hex.
func publicOf(private []byte) (publicPEM []byte, mark string, err error) {
	block, _ := pem.Decode(private)
	if block == nil {
		return nil, "", errors.New("reading a private key: not PEM")
	}
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		return nil, "", fmt.Errorf("reading a private key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, "", fmt.Errorf("rendering a public key: %w", err)
	}
	sum := sha256.Sum256(der)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), hex.EncodeToString(sum[:]), nil
}

// announce registers the public key under the node's name, signed by the
// validator or by way of the broker. When the name is taken, a request signed with our own key tells
// whose it is: an earlier run of ours may have died before it noted success.
func (s *session) announce(ctx context.Context, self Chef, public []byte) error {
	if s.conf.Chef.BrokerURL != "" { // the safest source, and never a detour to another one
		return s.enrol(ctx, public)
	}
	cloud, err := s.connect(ctx)
	if err != nil {
		return err
	}
	secret, err := cloud.Secrets.Fetch(ctx, s.conf.Chef.ValidatorKey)
	if err != nil {
		return fmt.Errorf("fetching the validator key: %w", err)
	}
	defer clear(secret)
	validator, err := s.deps.Chef(s.chefConfig(s.conf.Chef.ValidationClient, secret))
	if err != nil {
		return fault.New(fault.Usage, "store the validator's private key (PEM) under "+s.conf.Chef.ValidatorKey, fmt.Errorf("using the validator key: %w", err))
	}
	err = validator.CreateClient(ctx, s.j.Node, public)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, chefapi.ErrUnauthorized):
		return fault.New(fault.Chef, "check "+s.conf.Chef.ValidatorKey+" and this machine's clock (timedatectl)", fmt.Errorf("registering as %s: %w", s.conf.Chef.ValidationClient, err))
	case !errors.Is(err, chefapi.ErrExists):
		return fmt.Errorf("registering: %w", err)
	}
	return s.proveOurs(ctx, self)
}

// proveOurs asks for our own client, signed with our own key.
func (s *session) proveOurs(ctx context.Context, self Chef) error {
	there, err := self.ClientExists(ctx, s.j.Node)
	switch {
	case err == nil && there, errors.Is(err, chefapi.ErrForbidden): // 403: the signature was good
		return nil
	case err == nil:
		return fmt.Errorf("registering client %s: it existed and is gone", s.j.Node)
	case errors.Is(err, chefapi.ErrUnauthorized):
		return finalError{fault.New(fault.Chef, "if this instance is the rightful owner: knife client delete "+s.j.Node+", then systemctl restart bakehouse-first-boot",
			fmt.Errorf("registering client %s: the name is taken with a key that is not ours: %w", s.j.Node, err))}
	}
	return fmt.Errorf("proving that client %s is ours: %w", s.j.Node, err)
}

// createNode creates the node signed as its own client, which is what gives
// that client the right to update it. A node of that name is brought in line.
func (s *session) createNode(ctx context.Context, self Chef) error {
	want := chefapi.Node{
		Name:        s.j.Node,
		Environment: s.environment(),
		RunList:     s.conf.Chef.RunList,
		Normal:      s.firstAttributes(),
		PolicyName:  s.conf.Chef.PolicyName,
		PolicyGroup: s.conf.Chef.PolicyGroup,
	}
	err := self.CreateNode(ctx, want)
	if !errors.Is(err, chefapi.ErrExists) {
		return wrap("creating node "+want.Name, err)
	}
	have, err := self.Node(ctx, want.Name)
	if err != nil {
		return fmt.Errorf("reading node %s: %w", want.Name, err)
	}
	normal := merged(have.Normal, want.Normal)
	if len(s.conf.Chef.Tags) > 0 {
		normal[tagsKey] = tagged(have.Normal[tagsKey], s.conf.Chef.Tags)
	}
	if have.Environment == want.Environment && have.PolicyName == want.PolicyName && have.PolicyGroup == want.PolicyGroup && slices.Equal(have.RunList, want.RunList) && reflect.DeepEqual(have.Normal, normal) {
		return nil
	}
	have.Environment, have.RunList, have.Normal = want.Environment, want.RunList, normal
	have.PolicyName, have.PolicyGroup = want.PolicyName, want.PolicyGroup
	return wrap("updating node "+want.Name, self.UpdateNode(ctx, have))
}

// marker says which instance, image and bake a node belongs to.
func (s *session) marker() map[string]any {
	id := s.j.Identity
	return map[string]any{
		"instance_id": id.InstanceID,
		"account":     id.Account,
		"region":      id.Region,
		"zone":        id.Zone,
		"group":       id.Group(),
		"role":        s.conf.Role,
		"image_id":    id.ImageID,
		"bake_id":     s.conf.BakeID,
	}
}

// firstAttributes are the normal attributes that the node starts with: the
// image's, its tags, and the marker, which nothing overrides.
func (s *session) firstAttributes() map[string]any {
	out := merged(s.conf.Attributes, map[string]any{markerKey: s.marker()})
	if len(s.conf.Chef.Tags) > 0 {
		out[tagsKey] = tagged(out[tagsKey], s.conf.Chef.Tags)
	}
	return out
}

// tagged adds tags to those that a node has: Chef keeps them in the normal
// attribute "tags", which people and recipes add to as well.
func tagged(have any, tags []string) []any {
	out, _ := have.([]any)
	out = slices.Clone(out)
	for _, t := range tags {
		if !slices.Contains(out, any(t)) {
			out = append(out, t)
		}
	}
	return out
}

// merged is what Chef makes of attributes given at the start of a run: sections
// are merged, everything else is replaced. Neither argument is changed.
func merged(have, over map[string]any) map[string]any {
	out := maps.Clone(have)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range over {
		section, isSection := v.(map[string]any)
		there, wasSection := out[k].(map[string]any)
		if isSection && wasSection {
			v = merged(there, section)
		}
		out[k] = v
	}
	return out
}

// wrap is fmt.Errorf("what: %w", err) that leaves nil alone.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
