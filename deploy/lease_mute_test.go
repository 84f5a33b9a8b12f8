package deploy

import (
	"context"
	"errors"
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
