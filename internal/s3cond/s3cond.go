// Package s3cond writes S3 objects on a condition, as the documents are written
// that several processes share
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html).
package s3cond

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/awserr"
)

// ErrTaken says that a conditional write found something else than it expects.
//
// The SDK repeats a PUT whose reply was lost, and the repeat then finds our own
// object: the caller has to look whether that is so.
var ErrTaken = errors.New("the object is not what the condition expects")

// Tries bounds how often a write is tried that S3 answers with 409: another
// conditional write of the same key was under way.
const Tries = 5

// Pause waits for a duration, or until the context ends, whose cause it then
// returns; nil: by the clock.
type Pause func(context.Context, time.Duration) error

// Putter is the part of S3 that Put uses; *s3.Client has it.
type Putter interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Put puts body as in says if the object that is there still has etag or, with
// etag empty, if there is none; else the error is ErrTaken.
func Put(ctx context.Context, api Putter, pause Pause, in *s3.PutObjectInput, etag string, body []byte) (out *s3.PutObjectOutput, err error) {
	if etag == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &etag
	}
	err = Do(ctx, pause, func() (err error) {
		in.Body = bytes.NewReader(body)
		out, err = api.PutObject(ctx, in)
		return err
	})
	return out, err
}

func (p Pause) wait(ctx context.Context, d time.Duration) error {
	if p != nil {
		return p(ctx, d)
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Do runs a conditional write, again when S3 answers 409.
func Do(ctx context.Context, pause Pause, write func() error) error {
	for try := 1; ; try++ {
		err := write()
		switch {
		case awserr.IsPrecondition(err), awserr.IsNotFound(err): // If-Match on an object that is gone: 404
			return ErrTaken
		case !awserr.IsConflict(err) || try == Tries:
			return err
		}
		if err := pause.wait(ctx, time.Duration(try)*(100+rand.N(time.Duration(200)))*time.Millisecond); err != nil {
			return err
		}
	}
}
