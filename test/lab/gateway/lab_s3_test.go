//go:build lab

package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (b *bench) bucket(name string) *s3.Client {
	b.t.Helper()
	client := s3.NewFromConfig(b.cfg)
	if _, err := client.CreateBucket(b.ctx, &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		b.t.Fatalf("CreateBucket: %v", err)
	}
	return client
}

func noise(n int) []byte {
	var seed [32]byte
	out := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(out)
	return out
}

func testObjects(b *bench) {
	client := b.bucket("bench-objects")
	content := noise(3 << 20)
	// A reader that cannot seek makes the SDK send aws-chunked with a trailer.
	_, err := client.PutObject(b.ctx, &s3.PutObjectInput{
		Bucket: aws.String("bench-objects"), Key: aws.String("dir/a b+c"), Body: bytes.NewReader(content),
		ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256, Metadata: map[string]string{"commit": "abc"},
	})
	if err != nil {
		b.t.Fatalf("PutObject: %v", err)
	}
	out, err := client.GetObject(b.ctx, &s3.GetObjectInput{
		Bucket: aws.String("bench-objects"), Key: aws.String("dir/a b+c"), ChecksumMode: s3types.ChecksumModeEnabled,
	})
	if err != nil {
		b.t.Fatalf("GetObject: %v", err)
	}
	defer out.Body.Close()
	got, err := io.ReadAll(out.Body)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(content) || out.Metadata["commit"] != "abc" {
		b.t.Errorf("object came back as %d bytes, %v, metadata %v", len(got), err, out.Metadata)
	}
	part, err := client.GetObject(b.ctx, &s3.GetObjectInput{
		Bucket: aws.String("bench-objects"), Key: aws.String("dir/a b+c"), Range: aws.String("bytes=100-199"),
	})
	if err != nil {
		b.t.Fatalf("range: %v", err)
	}
	defer part.Body.Close()
	if got, err := io.ReadAll(part.Body); err != nil || !bytes.Equal(got, content[100:200]) {
		b.t.Errorf("range came back as %d bytes, %v", len(got), err)
	}
	_, err = client.GetObject(b.ctx, &s3.GetObjectInput{Bucket: aws.String("bench-objects"), Key: aws.String("none")})
	wantCode(b.t, "a missing object", err, "NoSuchKey")
	if r := b.calls("PutObject"); len(r) != 1 || r[0].Service != "s3" || r[0].Caller != "operator" {
		b.t.Errorf("records: %+v", r)
	}
	if r := b.calls("GetObject"); len(r) != 3 || r[2].Code != "NoSuchKey" {
		b.t.Errorf("records: %+v", r)
	}
}

func testConditionalWrites(b *bench) {
	client := b.bucket("bench-conditions")
	put := func(body string, change func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
		in := &s3.PutObjectInput{Bucket: aws.String("bench-conditions"), Key: aws.String("channel"), Body: strings.NewReader(body)}
		change(in)
		return client.PutObject(b.ctx, in)
	}
	race := func(change func(*s3.PutObjectInput)) int {
		var wg sync.WaitGroup
		var won atomic.Int32
		for n := range 8 {
			wg.Go(func() {
				_, err := put(fmt.Sprint("writer ", n), change)
				if err == nil {
					won.Add(1)
				} else {
					wantCode(b.t, "a lost race", err, "PreconditionFailed")
				}
			})
		}
		wg.Wait()
		return int(won.Load())
	}
	if won := race(func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }); won != 1 {
		b.t.Errorf("%d creators won", won)
	}
	head, err := client.HeadObject(b.ctx, &s3.HeadObjectInput{Bucket: aws.String("bench-conditions"), Key: aws.String("channel")})
	if err != nil {
		b.t.Fatalf("HeadObject: %v", err)
	}
	if won := race(func(in *s3.PutObjectInput) { in.IfMatch = head.ETag }); won != 1 {
		b.t.Errorf("%d swappers won", won)
	}
	_, err = put("x", func(in *s3.PutObjectInput) { in.Key, in.IfMatch = aws.String("none"), head.ETag })
	wantCode(b.t, "If-Match on a missing key", err, "NoSuchKey")
}

func testMultipart(b *bench) {
	client := b.bucket("bench-parts")
	bucket, key := aws.String("bench-parts"), aws.String("big")
	upload := func(ifMatch *string) error {
		made, err := client.CreateMultipartUpload(b.ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
		if err != nil {
			return err
		}
		part, err := client.UploadPart(b.ctx, &s3.UploadPartInput{
			Bucket: bucket, Key: key, UploadId: made.UploadId, PartNumber: aws.Int32(1), Body: bytes.NewReader(noise(1000)),
		})
		if err != nil {
			return err
		}
		_, err = client.CompleteMultipartUpload(b.ctx, &s3.CompleteMultipartUploadInput{
			Bucket: bucket, Key: key, UploadId: made.UploadId, IfMatch: ifMatch,
			MultipartUpload: &s3types.CompletedMultipartUpload{Parts: []s3types.CompletedPart{{ETag: part.ETag, PartNumber: aws.Int32(1)}}},
		})
		return err
	}
	if err := upload(nil); err != nil {
		b.t.Fatalf("multipart upload: %v", err)
	}
	wantCode(b.t, "completion over another object", upload(aws.String(`"other"`)), "PreconditionFailed")
	if r := b.calls("CompleteMultipartUpload"); len(r) != 2 || r[1].Status != 412 {
		b.t.Errorf("records: %+v", r)
	}
	_, err := client.GetObject(b.ctx, &s3.GetObjectInput{Bucket: bucket, Key: key, IfMatch: aws.String(`"other"`)})
	if err == nil {
		b.t.Error("GetObject ignores If-Match")
	}
	var nothing *s3types.NoSuchKey
	if errors.As(err, &nothing) {
		b.t.Errorf("If-Match on a present object: %v", err)
	}
}
