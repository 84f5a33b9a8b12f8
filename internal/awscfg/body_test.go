package awscfg

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// looksTwice is an HTTP client that does as net/http with a quick server: it
// sends the body, and looks into it once more after the SDK has closed it.
type looksTwice struct {
	answer string
	sent   []byte
	body   io.Reader
}

func (l *looksTwice) Do(r *http.Request) (*http.Response, error) {
	var err error
	l.sent, err = io.ReadAll(io.LimitReader(r.Body, r.ContentLength))
	l.body = r.Body
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/xml"}}, Body: io.NopCloser(bytes.NewBufferString(l.answer))}, err
}

func (l *looksTwice) again() error {
	n, err := io.Copy(io.Discard, l.body)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d bytes more", n)
	}
	return err
}

func TestABodyThatTheSDKHasClosedEndsAndDoesNotFail(t *testing.T) {
	bare(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	cfg, err := Load(t.Context(), Options{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	client := &looksTwice{answer: `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet/></DescribeInstancesResponse>`}
	cfg.HTTPClient = client
	if _, err := ec2.NewFromConfig(cfg).DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(1000)}); err != nil {
		t.Fatal(err)
	}
	if err := client.again(); err != nil || !bytes.Contains(client.sent, []byte("Action=DescribeInstances")) {
		t.Errorf("EC2 was sent %q, and the body then gives %v", client.sent, err)
	}
	client.answer = ""
	if _, err := s3.NewFromConfig(cfg).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("builds"), Key: aws.String("k"), Body: bytes.NewReader([]byte("hello"))}); err != nil {
		t.Fatal(err)
	}
	if err := client.again(); err != nil || !bytes.Contains(client.sent, []byte("hello")) {
		t.Errorf("S3 was sent %q, and the body then gives %v", client.sent, err)
	}
}
