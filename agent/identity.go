package agent

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// Identity is who the instance is, as its metadata service says.
type Identity struct {
	InstanceID   string            `json:"instance_id"`
	Account      string            `json:"account,omitempty"`
	Region       string            `json:"region,omitempty"`
	Zone         string            `json:"zone,omitempty"`
	ImageID      string            `json:"image_id,omitempty"`
	InstanceType string            `json:"instance_type,omitempty"`
	PrivateIP    string            `json:"private_ip,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"` // nil where the metadata service has them off
}

// Tags of an instance that the agent obeys.
const (
	TagEnvironment = "bakehouse:environment" // wins over the Chef environment baked in
	TagChannel     = "bakehouse:channel"     // wins over the channel baked in
	TagGroup       = "aws:autoscaling:groupName"
)

// Group returns the name of the Auto Scaling group, or "".
func (i Identity) Group() string { return i.Tags[TagGroup] }

// identify asks the metadata service who the instance is.
func (s *session) identify(ctx context.Context) error {
	var id Identity
	err := s.retry(ctx, patience{Attempts: 6, Base: 500 * time.Millisecond, Cap: 10 * time.Second}, func() (err error) {
		id, err = s.deps.Metadata.Identity(ctx)
		return err
	})
	if err != nil {
		return fault.New(fault.AWS, "check that the instance metadata service (IMDSv2) is enabled for this instance", fmt.Errorf("identifying the instance: %w", err))
	}
	if id.InstanceID != s.j.InstanceID {
		return fault.Newf(fault.AWS, "", "identifying the instance: the metadata service says %s and then %s", s.j.InstanceID, id.InstanceID)
	}
	s.j.Identity = id
	s.j.Node = s.conf.Chef.NodePrefix + id.InstanceID
	s.detail = strings.TrimSpace(id.Region + " " + s.j.Node)
	return nil
}

// environment is the Chef environment of this instance.
func (s *session) environment() string {
	return firstOf(s.j.Identity.Tags[TagEnvironment], s.conf.Environment, "_default")
}

// channel is the channel that this instance follows.
func (s *session) channel() string {
	return firstOf(s.j.Identity.Tags[TagChannel], s.conf.App.Channel)
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// chefName is what a Chef server takes as the name of a node or client.
var chefName = regexp.MustCompile(`^[A-Za-z0-9_.:-]+$`)

// check finds what is wrong with a configuration, before anything is done.
func check(c agentconf.Config) error {
	u, err := url.Parse(c.Chef.ServerURL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return fmt.Errorf("reading agent configuration: chef.server_url %q is not an http(s) URL", c.Chef.ServerURL)
	case c.Chef.ValidationClient == "":
		return errors.New("reading agent configuration: chef.validation_client is empty")
	case c.Chef.NodePrefix != "" && !chefName.MatchString(c.Chef.NodePrefix):
		return fmt.Errorf("reading agent configuration: chef.node_prefix %q has characters that Chef refuses", c.Chef.NodePrefix)
	case len(c.Chef.RunList) == 0:
		return errors.New("reading agent configuration: chef.run_list is empty")
	}
	if _, _, err := splitRef(c.Chef.ValidatorKey); err != nil {
		return fmt.Errorf("reading agent configuration: chef.validator_key: %w", err)
	}
	if c.App == nil {
		return nil
	}
	for _, f := range []struct{ key, value string }{
		{"name", c.App.Name}, {"bucket", c.App.Bucket}, {"channel", c.App.Channel}, {"root", c.App.Root}, {"unit", c.App.Unit},
	} {
		if f.value == "" {
			return fmt.Errorf("reading agent configuration: app.%s is empty", f.key)
		}
	}
	switch _, err := release.ParseKeyring(c.App.PublicKeys); {
	case err != nil:
		return fmt.Errorf("reading agent configuration: app.public_keys: %w", err)
	case len(c.App.PublicKeys) == 0 && !c.App.AllowUnsigned:
		return errors.New("reading agent configuration: app.public_keys is empty, and app.allow_unsigned is not set")
	}
	if err := checkService(c.App); err != nil {
		return fmt.Errorf("reading agent configuration: app.%w", err)
	}
	if !strings.HasPrefix(c.App.Root, "/") || strings.Trim(c.App.Root, "/") == "" {
		return fmt.Errorf("reading agent configuration: app.root %q is not an absolute directory", c.App.Root)
	}
	return nil
}
