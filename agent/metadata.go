package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"

	"bakehouse/internal/awserr"
)

// IMDS is the Metadata of a real instance. It speaks IMDSv2 only.
type IMDS struct{ client *imds.Client }

// NewIMDS makes a client of the metadata service at endpoint; "" is the link
// local address that every instance has.
func NewIMDS(endpoint string) *IMDS {
	return &IMDS{imds.New(imds.Options{
		Endpoint:       endpoint,
		EnableFallback: aws.FalseTernary, // never the tokenless version 1
		HTTPClient:     &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{Proxy: nil}},
	})}
}

// InstanceID reads the instance's id.
func (m *IMDS) InstanceID(ctx context.Context) (string, error) {
	id, err := m.read(ctx, "instance-id")
	if err == nil && id == "" {
		err = errors.New("the metadata service gives an empty instance id")
	}
	return id, err
}

// Identity reads the identity document and the instance tags. Tags that are
// switched off (404) leave Tags nil.
func (m *IMDS) Identity(ctx context.Context) (Identity, error) {
	doc, err := m.client.GetInstanceIdentityDocument(ctx, nil)
	if err != nil {
		return Identity{}, fmt.Errorf("reading the identity document: %w", err)
	}
	id := Identity{
		InstanceID: doc.InstanceID, Account: doc.AccountID, Region: doc.Region, Zone: doc.AvailabilityZone,
		ImageID: doc.ImageID, InstanceType: doc.InstanceType, PrivateIP: doc.PrivateIP,
	}
	id.Tags, err = m.tags(ctx)
	return id, err
}

func (m *IMDS) tags(ctx context.Context) (map[string]string, error) {
	list, err := m.read(ctx, "tags/instance")
	if awserr.Status(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	tags := map[string]string{}
	for key := range strings.Lines(list) {
		if key = strings.TrimSpace(key); key == "" {
			continue
		}
		value, err := m.read(ctx, "tags/instance/"+key)
		if awserr.Status(err) == http.StatusNotFound {
			continue // removed since it was listed
		}
		if err != nil {
			return nil, err
		}
		tags[key] = value
	}
	return tags, nil
}

// read returns one value of the metadata tree.
func (m *IMDS) read(ctx context.Context, path string) (string, error) {
	out, err := m.client.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	if err != nil {
		return "", fmt.Errorf("reading instance metadata %s: %w", path, err)
	}
	defer out.Content.Close()
	b, err := io.ReadAll(io.LimitReader(out.Content, 64<<10))
	if err != nil {
		return "", fmt.Errorf("reading instance metadata %s: %w", path, err)
	}
	return strings.TrimSpace(string(b)), nil
}
