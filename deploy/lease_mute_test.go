package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// mute is S3 that takes the first write and never answers another.
type mute struct {
	S3
	taken bool
}

func (m *mute) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return nil, &smithy.GenericAPIError{Code: "NoSuchKey"}
}

func (m *mute) PutObject(ctx context.Context, _ *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if !m.taken {
		m.taken = true
		return &s3.PutObjectOutput{ETag: aws.String("one")}, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestALeaseThatS3DoesNotAnswerForEndsBeforeAnotherMayTakeIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &Publisher{S3: &mute{}, Bucket: "builds"}
		l, err := p.Acquire(t.Context(), "web", "production", "aaaaaaaaaaaa", "ann@one")
		if err != nil {
			t.Fatal(err)
		}
		start, held := time.Now(), l.Hold(t.Context())
		select {
		case <-held.Done():
		case <-time.After(time.Hour):
		}
		if took := time.Since(start); took > LeaseTime || !errors.Is(context.Cause(held), errLeaseLost) {
			t.Errorf("work ended %s after the last renewal, %v; the lease lasts %s", took, context.Cause(held), LeaseTime)
		}
	})
}

// slow is S3 whose second write takes effect and is not answered in time.
type slow struct {
	S3
	body   []byte
	writes int
}

func (s *slow) etag() string { return fmt.Sprint(s.writes) }

func (s *slow) GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	if s.body == nil {
		return nil, &smithy.GenericAPIError{Code: "NoSuchKey"}
	}
	return &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(s.body)), ETag: aws.String(s.etag())}, nil
}

func (s *slow) PutObject(ctx context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	if s.body != nil && aws.ToString(in.IfMatch) != s.etag() {
		return nil, &smithy.GenericAPIError{Code: "PreconditionFailed"}
	}
	body, err := io.ReadAll(in.Body)
	if s.body, s.writes = body, s.writes+1; s.writes == 2 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &s3.PutObjectOutput{ETag: aws.String(s.etag())}, err
}

func TestARenewalThatTookEffectUnansweredIsOurs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		p := &Publisher{S3: s, Bucket: "builds"}
		l, err := p.Acquire(t.Context(), "web", "production", "aaaaaaaaaaaa", "ann@one")
		if err != nil {
			t.Fatal(err)
		}
		held := l.Hold(t.Context())
		select {
		case <-held.Done():
			t.Errorf("the lease was given up: %v", context.Cause(held))
		case <-time.After(3 * LeaseTime):
		}
		if err := l.Release(t.Context()); err != nil || s.writes < 6 {
			t.Errorf("released with %v after %d writes", err, s.writes)
		}
		if _, err := p.Acquire(t.Context(), "web", "production", "aaaaaaaaaaaa", "ann@one"); err != nil {
			t.Fatal(err)
		}
		if err := l.renew(t.Context()); !errors.Is(err, errTaken) {
			t.Errorf("the lease of another process of the same operator and rollout was taken for ours: %v", err)
		}
	})
}
