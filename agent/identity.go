package agent

import (
	"context"
	"strings"

	"bakehouse/internal/fault"
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
	err := s.askMetadata(ctx, "identifying the instance", func() (err error) {
		id, err = s.deps.Metadata.Identity(ctx)
		return err
	})
	if err != nil {
		return err
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
