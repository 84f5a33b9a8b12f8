package s3cond

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
)

// bucket answers PUTs with the errors that it has, then takes them.
type bucket struct {
	answers []string
	puts    []*s3.PutObjectInput
	bodies  []string
}

func (b *bucket) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	body, err := io.ReadAll(in.Body)
	b.puts, b.bodies = append(b.puts, in), append(b.bodies, string(body))
	if len(b.answers) == 0 {
		return &s3.PutObjectOutput{ETag: aws.String("new")}, err
	}
	code := b.answers[0]
	b.answers = b.answers[1:]
	return nil, &smithy.GenericAPIError{Code: code}
}

func TestPutStatesItsConditionAndBearsConflicts(t *testing.T) {
	t.Parallel()
	const busy = "ConditionalRequestConflict"
	stop := errors.New("the lease is lost")
	for name, c := range map[string]struct {
		answers []string
		etag    string
		pause   error
		want    error // nil: it is written
		puts    int
	}{
		"new":          {puts: 1},
		"changed":      {etag: "old", puts: 1},
		"two at once":  {answers: []string{busy, busy}, etag: "old", puts: 3},
		"taken":        {answers: []string{"PreconditionFailed"}, want: ErrTaken, puts: 1},
		"gone":         {answers: []string{busy, "NoSuchKey"}, etag: "old", want: ErrTaken, puts: 2},
		"ends":         {answers: []string{busy}, pause: stop, want: stop, puts: 1},
		"always busy":  {answers: []string{busy, busy, busy, busy, busy, busy}, want: &smithy.GenericAPIError{Code: busy}, puts: Tries},
		"not ours too": {answers: []string{"AccessDenied"}, want: &smithy.GenericAPIError{Code: "AccessDenied"}, puts: 1},
	} {
		b := &bucket{answers: c.answers}
		out, err := Put(t.Context(), b, func(context.Context, time.Duration) error { return c.pause }, &s3.PutObjectInput{}, c.etag, []byte("body"))
		if (err == nil) != (c.want == nil) || (err != nil && !errors.Is(err, c.want) && err.Error() != c.want.Error()) || len(b.puts) != c.puts {
			t.Errorf("%s: %v after %d puts, want %v after %d", name, err, len(b.puts), c.want, c.puts)
		}
		if err == nil && aws.ToString(out.ETag) != "new" {
			t.Errorf("%s: answered %+v", name, out)
		}
		for i, in := range b.puts {
			if b.bodies[i] != "body" || aws.ToString(in.IfMatch) != c.etag || (aws.ToString(in.IfNoneMatch) == "*") != (c.etag == "") {
				t.Errorf("%s: put %d is %q if it matches %q", name, i, b.bodies[i], aws.ToString(in.IfMatch))
			}
		}
	}
}

func TestNoPauseOutlastsItsContext(t *testing.T) {
	t.Parallel()
	stop := errors.New("the lease is lost")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(stop)
	if _, err := Put(ctx, &bucket{answers: []string{"ConditionalRequestConflict"}}, nil, &s3.PutObjectInput{}, "", nil); !errors.Is(err, stop) {
		t.Errorf("it ends with %v", err)
	}
}
