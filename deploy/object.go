package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/s3cond"
	"bakehouse/release"
)

// errTaken says that a conditional write found something else than it expects.
var errTaken = errors.New("the object is not what the condition expects")

// document is a small object.
type document struct {
	body []byte
	etag string    // as S3 gave it, with quotes
	at   time.Time // S3's clock when it was read; zero: not told
}

// read gets a small object; found is false when there is none.
func (p *Publisher) read(ctx context.Context, key string) (doc document, found bool, err error) {
	doc, _, found, err = p.readReply(ctx, key, release.MaxDocument)
	return doc, found, err
}

// readReply is read with what else S3 said; of a longer object it returns one
// byte more than limit.
func (p *Publisher) readReply(ctx context.Context, key string, limit int64) (document, *s3.GetObjectOutput, bool, error) {
	out, err := p.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.Bucket, Key: &key})
	if awserr.IsNotFound(err) {
		return document{}, nil, false, nil
	}
	if err != nil {
		return document{}, nil, false, p.failed("reading", key, "s3:GetObject", err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err != nil {
		return document{}, nil, false, p.failed("reading", key, "s3:GetObject", err)
	}
	at, _ := awsmiddleware.GetServerTime(out.ResultMetadata)
	return document{body, aws.ToString(out.ETag), at}, out, true, nil
}

// write puts a small object if the one there still has etag, or, with etag
// empty, if there is none; else it returns errTaken.
func (p *Publisher) write(ctx context.Context, key, etag string, body []byte) error {
	_, err := p.put(ctx, key, etag, body)
	return err
}

// put is write with S3's reply.
func (p *Publisher) put(ctx context.Context, key, etag string, body []byte) (out *s3.PutObjectOutput, err error) {
	in := &s3.PutObjectInput{Bucket: &p.Bucket, Key: &key, ContentType: aws.String("application/json"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
	out, err = s3cond.Put(ctx, p.S3, p.Pause, in, etag, body)
	return out, p.unwritten(ctx, key, err)
}

// unwritten is the error of a conditional write.
func (p *Publisher) unwritten(ctx context.Context, key string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, s3cond.ErrTaken):
		return fmt.Errorf("writing s3://%s/%s: %w", p.Bucket, key, errTaken)
	case err == context.Cause(ctx): // why the work ends
		return fmt.Errorf("writing s3://%s/%s: %w", p.Bucket, key, err)
	}
	return p.failed("writing", key, "s3:PutObject", err)
}
