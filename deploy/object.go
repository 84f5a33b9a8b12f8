package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"bakehouse/internal/awserr"
	"bakehouse/release"
)

// errTaken says that a conditional write found something else than it expects.
var errTaken = errors.New("the object is not what the condition expects")

// conflictTries bounds how often a write is tried when S3 says that another
// conditional write is under way (409).
const conflictTries = 5

// document is a small object.
type document struct {
	body []byte
	etag string // as S3 gave it, with quotes
}

// read gets a small object; found is false when there is none.
func (p *Publisher) read(ctx context.Context, key string) (doc document, found bool, err error) {
	out, err := p.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.Bucket, Key: &key})
	if awserr.IsNotFound(err) {
		return document{}, false, nil
	}
	if err != nil {
		return document{}, false, p.failed("reading", key, "s3:GetObject", err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, release.MaxDocument+1))
	if err != nil {
		return document{}, false, p.failed("reading", key, "s3:GetObject", err)
	}
	return document{body, aws.ToString(out.ETag)}, true, nil
}

// write puts a small object if the one there still has etag, or, with etag
// empty, if there is none; else it returns errTaken.
//
// The SDK repeats a PUT whose reply was lost, and the repeat then finds our own
// object: the caller has to look whether that is so.
func (p *Publisher) write(ctx context.Context, key, etag string, body []byte) error {
	in := &s3.PutObjectInput{Bucket: &p.Bucket, Key: &key, ContentType: aws.String("application/json"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &etag
	}
	return p.conditional(ctx, key, func() error {
		in.Body = bytes.NewReader(body)
		_, err := p.S3.PutObject(ctx, in)
		return err
	})
}

// conditional runs a conditional write, again when S3 answers 409.
func (p *Publisher) conditional(ctx context.Context, key string, put func() error) error {
	for try := 1; ; try++ {
		err := put()
		switch {
		case err == nil:
			return nil
		case awserr.IsPrecondition(err), awserr.IsNotFound(err): // If-Match on an object that is gone: 404
			return fmt.Errorf("writing s3://%s/%s: %w", p.Bucket, key, errTaken)
		case awserr.IsConflict(err) && try < conflictTries:
			if err := p.pause(ctx, time.Duration(try)*(100+rand.N(time.Duration(200)))*time.Millisecond); err != nil {
				return fmt.Errorf("writing s3://%s/%s: %w", p.Bucket, key, err)
			}
		default:
			return p.failed("writing", key, "s3:PutObject", err)
		}
	}
}
