package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// ErrTaken says that a conditional write found another object than it expects.
var ErrTaken = errors.New("somebody else wrote it first")

// Papers is the small objects that a rollout by pull is made of.
type Papers interface {
	// Read reads an object of up to limit bytes, unless it still has the ETag of
	// old: that is old again, for the price of an answer without a body. A
	// missing object is ErrNoObject.
	Read(ctx context.Context, bucket, key string, old Paper, limit int64) (Paper, error)
	// List lists the objects whose keys begin with prefix.
	List(ctx context.Context, bucket, prefix string) (Listing, error)
	// Write writes an object where none is or, with etag, where that one is;
	// else it is ErrTaken.
	Write(ctx context.Context, bucket, key, etag string, body []byte) error
}

// Paper is a small object.
type Paper struct {
	Body    []byte
	ETag    string    // as S3 gave it; empty: nothing was read
	Written time.Time // by S3's clock
}

// Listing is what a list shows.
type Listing struct {
	Written map[string]time.Time // by key, by S3's clock
	Now     time.Time            // when S3 answered, by its clock
}

// Read implements Papers.
func (o *objects) Read(ctx context.Context, bucket, key string, old Paper, limit int64) (Paper, error) {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if old.ETag != "" {
		in.IfNoneMatch = &old.ETag
	}
	out, err := o.s3.GetObject(ctx, in)
	if old.ETag != "" && awserr.Status(err) == http.StatusNotModified {
		return old, nil
	}
	if err != nil {
		return Paper{}, objectFault(bucket, key, err)
	}
	defer out.Body.Close()
	b, err := io.ReadAll(io.LimitReader(out.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("longer than %d bytes", limit)
	}
	if err != nil {
		return Paper{}, fmt.Errorf("reading s3://%s/%s: %w", bucket, key, err)
	}
	return Paper{b, aws.ToString(out.ETag), aws.ToTime(out.LastModified)}, nil
}

// List implements Papers.
func (o *objects) List(ctx context.Context, bucket, prefix string) (Listing, error) {
	l := Listing{Written: map[string]time.Time{}}
	in := &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix}
	for {
		page, cancel := context.WithTimeout(ctx, smallTime)
		out, err := o.s3.ListObjectsV2(page, in)
		cancel()
		if awserr.IsAuth(err) {
			return Listing{}, fault.New(fault.AWS, "give the instance profile s3:ListBucket on the bucket for s3:prefix "+prefix, fmt.Errorf("listing s3://%s/%s: %w", bucket, prefix, terse(err)))
		}
		if err != nil {
			return Listing{}, objectFault(bucket, prefix, err)
		}
		for _, c := range out.Contents {
			l.Written[aws.ToString(c.Key)] = aws.ToTime(c.LastModified)
		}
		if l.Now.IsZero() { // the first page's: what a later one shows may be younger, never older
			var told bool
			if l.Now, told = middleware.GetServerTime(out.ResultMetadata); !told {
				return Listing{}, fmt.Errorf("listing s3://%s/%s: the answer does not tell the time", bucket, prefix)
			}
		}
		if in.ContinuationToken = out.NextContinuationToken; in.ContinuationToken == nil {
			return l, nil
		}
	}
}

// Write implements Papers.
func (o *objects) Write(ctx context.Context, bucket, key, etag string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, smallTime)
	defer cancel()
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(body), ContentType: aws.String("application/json"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256}
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &etag
	}
	_, err := o.s3.PutObject(ctx, in)
	switch {
	case err == nil:
		return nil
	case awserr.IsPrecondition(err):
		return fmt.Errorf("writing s3://%s/%s: %w", bucket, key, ErrTaken)
	case awserr.IsAuth(err):
		return fault.New(fault.AWS, "give the instance profile s3:PutObject on arn:aws:s3:::"+bucket+"/"+key, fmt.Errorf("writing s3://%s/%s: %w", bucket, key, terse(err)))
	}
	return objectFault(bucket, key, err)
}
