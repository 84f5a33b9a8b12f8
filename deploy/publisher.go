// Package deploy publishes builds of apps to S3: push makes a tree of files a
// build in the bucket, promote makes a build the live one of a channel, show
// says which one that is. Package release says what lies where in the bucket.
//
// No content that was published is ever overwritten: artefacts and manifests
// are written with If-None-Match, channels (and a signature that is added to a
// manifest) with If-Match on what was read before
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html),
// so that a lost race is an error and never a lost update.
package deploy

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/release"
)

// S3 is the part of S3 that publishing uses; *s3.Client has it. The multipart
// calls are for artefacts of 16 MiB and more.
type S3 interface {
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	GetBucketVersioning(context.Context, *s3.GetBucketVersioningInput, ...func(*s3.Options)) (*s3.GetBucketVersioningOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
	CreateMultipartUpload(context.Context, *s3.CreateMultipartUploadInput, ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error)
	UploadPart(context.Context, *s3.UploadPartInput, ...func(*s3.Options)) (*s3.UploadPartOutput, error)
	CompleteMultipartUpload(context.Context, *s3.CompleteMultipartUploadInput, ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error)
	AbortMultipartUpload(context.Context, *s3.AbortMultipartUploadInput, ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error)
}

// Progress hears what Push is at. It is called from several goroutines.
type Progress interface {
	StepStarted(name string)
	StepProgress(name, detail string)
	StepDone(name string, took time.Duration, err error)
}

// Publisher publishes to one bucket. It holds no state between calls and may
// be used by several goroutines.
type Publisher struct {
	S3       S3
	Bucket   string
	Signer   *release.Signer  // signs manifests and channels; nil: they stay unsigned
	Progress Progress         // nil: nobody listens
	Now      func() time.Time // nil: time.Now
	TempDir  string           // where Push packs; empty: os.TempDir
	// Pause waits before a conditional write is tried again; nil: really wait.
	Pause func(ctx context.Context, d time.Duration) error
}

func (p *Publisher) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

// step runs one step and tells Progress; detail is for the step to call.
func (p *Publisher) step(name string, run func(detail func(string)) error) error {
	if p.Progress == nil {
		return run(func(string) {})
	}
	start := p.now()
	p.Progress.StepStarted(name)
	err := run(func(text string) { p.Progress.StepProgress(name, text) })
	p.Progress.StepDone(name, p.now().Sub(start), err)
	return err
}
