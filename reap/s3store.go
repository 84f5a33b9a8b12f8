package reap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
	"bakehouse/internal/s3cond"
)

// S3 is the part of S3 that the store uses; *s3.Client has it.
type S3 interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// Bucket is a Store in S3, by conditional writes
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
type Bucket struct {
	S3     S3
	Name   string
	Prefix string // empty, or ends in a slash
}

// String is the place as s3://BUCKET/PREFIX.
func (b Bucket) String() string { return "s3://" + b.Name + "/" + b.Prefix }

// Read implements Store.
func (b Bucket) Read(ctx context.Context, name string) (Document, error) {
	out, err := b.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Name, Key: aws.String(b.Prefix + name)})
	if awserr.IsNotFound(err) {
		return Document{}, nil
	}
	if err != nil {
		return Document{}, b.failed("reading", name, "s3:GetObject", err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		return Document{}, b.failed("reading", name, "s3:GetObject", err)
	}
	return Document{body, aws.ToString(out.ETag)}, nil
}

// Write implements Store.
func (b Bucket) Write(ctx context.Context, name, version string, body []byte) (string, error) {
	in := &s3.PutObjectInput{Bucket: &b.Name, Key: aws.String(b.Prefix + name), ContentType: aws.String("application/json")}
	out, err := s3cond.Put(ctx, b.S3, nil, in, version, body)
	switch {
	case err == nil:
		return aws.ToString(out.ETag), nil
	case errors.Is(err, s3cond.ErrTaken):
		return b.mine(ctx, name, body)
	case err == context.Cause(ctx): // why the run ends
		return "", err
	}
	return "", b.failed("writing", name, "s3:PutObject", err)
}

// mine settles a refused condition: the SDK repeats a PUT whose reply was
// lost, and the repeat then meets our own object.
func (b Bucket) mine(ctx context.Context, name string, body []byte) (string, error) {
	now, err := b.Read(ctx, name)
	if err != nil {
		return "", err
	}
	if now.Version != "" && bytes.Equal(now.Body, body) {
		return now.Version, nil
	}
	return "", fmt.Errorf("writing %s%s: %w", b, name, ErrTaken)
}

// List implements Store.
func (b Bucket) List(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	in := &s3.ListObjectsV2Input{Bucket: &b.Name, Prefix: aws.String(b.Prefix + prefix)}
	for {
		out, err := b.S3.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, b.failed("listing", prefix, "s3:ListBucket", err)
		}
		for _, o := range out.Contents {
			names = append(names, strings.TrimPrefix(aws.ToString(o.Key), b.Prefix))
		}
		if aws.ToString(out.NextContinuationToken) == "" {
			slices.Sort(names)
			return names, nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

func (b Bucket) failed(doing, name, action string, err error) error {
	subject := b.String() + name
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s %s: %w", doing, subject, err)
	case awserr.IsNoBucket(err):
		return fault.Newf(fault.Usage, "correct reaper.state, or create the bucket", "%s %s: there is no such bucket", doing, subject)
	case awserr.IsAuth(err):
		return fault.Newf(fault.AWS, "allow "+action+" on "+subject+", and s3:ListBucket so that a missing object is told from a forbidden one", "%s %s: %w", doing, subject, err)
	}
	return fault.Newf(fault.AWS, "", "%s %s: %w", doing, subject, err)
}
