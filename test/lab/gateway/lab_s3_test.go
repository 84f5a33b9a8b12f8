//go:build lab

package gateway_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
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

// testChunkedUpload sends what SDKs send over TLS, or for a reader that cannot
// seek: chunks with a checksum behind them. In plain HTTP the SDK will not.
func testChunkedUpload(b *bench) {
	client := b.bucket("bench-chunked")
	content := noise(100_000)
	sum := sha256.Sum256(content)
	var body bytes.Buffer
	fmt.Fprintf(&body, "%x\r\n%s\r\n%x\r\n%s\r\n0\r\n", 65536, content[:65536], len(content)-65536, content[65536:])
	fmt.Fprintf(&body, "x-amz-checksum-sha256:%s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPut, b.url+"/bench-chunked/key", &body)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDOPERATOR/20260101/us-east-1/s3/aws4_request, Signature=0")
	for name, value := range map[string]string{
		"Content-Encoding":             "aws-chunked",
		"X-Amz-Content-Sha256":         "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
		"X-Amz-Decoded-Content-Length": fmt.Sprint(len(content)),
		"X-Amz-Trailer":                "x-amz-checksum-sha256",
		"X-Amz-Sdk-Checksum-Algorithm": "SHA256",
		"Expect":                       "100-continue",
	} {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusOK {
		b.t.Fatalf("chunked upload: %v, %+v", err, res)
	}
	res.Body.Close()
	out, err := client.GetObject(b.ctx, &s3.GetObjectInput{
		Bucket: aws.String("bench-chunked"), Key: aws.String("key"), ChecksumMode: s3types.ChecksumModeEnabled,
	})
	if err != nil {
		b.t.Fatalf("GetObject: %v", err)
	}
	defer out.Body.Close()
	if got, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(got, content) {
		b.t.Errorf("object came back as %d bytes, %v", len(got), err)
	}
}

func testConditionalWrites(b *bench) {
	client := b.bucket("bench-conditions")
	put := func(body string, change func(*s3.PutObjectInput)) (*s3.PutObjectOutput, error) {
		in := &s3.PutObjectInput{Bucket: aws.String("bench-conditions"), Key: aws.String("channel"), Body: strings.NewReader(body)}
		change(in)
		return client.PutObject(b.ctx, in)
	}
	// A swap for the same content would keep the ETag and let another win.
	race := func(content string, change func(*s3.PutObjectInput)) int {
		var wg sync.WaitGroup
		var won atomic.Int32
		for n := range 8 {
			wg.Go(func() {
				_, err := put(fmt.Sprint(content, n), change)
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
	if won := race("created by ", func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }); won != 1 {
		b.t.Errorf("%d creators won", won)
	}
	head, err := client.HeadObject(b.ctx, &s3.HeadObjectInput{Bucket: aws.String("bench-conditions"), Key: aws.String("channel")})
	if err != nil {
		b.t.Fatalf("HeadObject: %v", err)
	}
	if won := race("swapped by ", func(in *s3.PutObjectInput) { in.IfMatch = head.ETag }); won != 1 {
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
