//go:build lab

package reap

import (
	"net"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/test/lab/moto"
)

// TestBucketOnMoto runs the suite of the stores on another S3 than our own.
func TestBucketOnMoto(t *testing.T) {
	t.Parallel()
	command, err := moto.Find(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	server, err := moto.Start(t.Context(), moto.Config{Command: command, Dir: t.TempDir(), Port: port,
		Image: moto.Image{ID: "ami-0123456789abcdef0", Name: "base", OwnerID: "099720109477", Architecture: "x86_64", RootDevice: "/dev/sda1"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(time.Second) })
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL().String()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("A", "S", ""), DisableLogOutputChecksumValidationSkipped: true})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("acme")}); err != nil {
		t.Fatal(err)
	}
	meaning(t, Bucket{Name: "acme", Prefix: "reaper/", S3: client})
}
