package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"bakehouse/test/lab/imds"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

const (
	bucket   = "builds"
	accessID = "benchmark"
	secret   = "benchmark-secret"
)

// bench is the S3 server, a limiting door to it, and an instance's metadata.
type bench struct {
	options
	dir      string
	server   *exec.Cmd
	direct   string // URL of the server
	limited  string // URL of the door that limits each connection
	metadata string
	closers  []io.Closer
	public   string // key that the agent trusts
}

// instance is what the metadata service says of this machine.
type instance struct{}

func (instance) ByAddr(netip.Addr) (imds.Instance, bool) {
	return imds.Instance{ID: "i-0123456789abcdef0", ImageID: "ami-0123456789abcdef0", Type: "c7i.large", AccountID: "123456789012",
		Region: "us-east-1", Zone: "us-east-1a", PrivateIP: netip.MustParseAddr("127.0.0.1"), Architecture: "x86_64", MAC: "02:00:00:00:00:01"}, true
}

func (instance) Now() time.Time { return time.Now() }

// start brings everything up.
func (b *bench) start(ctx context.Context) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	b.direct = "http://" + address
	store := filepath.Join(b.dir, "store")
	if err := os.MkdirAll(store, 0o755); err != nil {
		return err
	}
	b.server = exec.CommandContext(ctx, b.versitygw, "--quiet", "--port", address, "--access", accessID, "--secret", secret, "posix", store)
	b.server.Dir = b.dir
	if err := b.server.Start(); err != nil {
		return fmt.Errorf("starting versitygw: %w", err)
	}
	door, err := limit(address, b.options.limit<<20)
	if err != nil {
		return err
	}
	b.limited = "http://" + door.Addr().String()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.metadata = "http://" + listener.Addr().String()
	b.closers = []io.Closer{door, listener}
	go func() { _ = http.Serve(listener, imds.New(instance{}, instance{})) }() // ends with its listener
	if err := b.makeBucket(ctx); err != nil {
		return err
	}
	out, err := b.output(ctx, filepath.Join(b.bin, "deployctl"), "keygen", filepath.Join(b.dir, "sign.pem"))
	b.public = strings.TrimSpace(out)
	return err
}

// stop takes everything down.
func (b *bench) stop() {
	for _, c := range b.closers {
		_ = c.Close()
	}
	_ = b.server.Process.Kill()
	_ = b.server.Wait()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// makeBucket waits until the server answers.
func (b *bench) makeBucket(ctx context.Context) (err error) {
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &b.direct, UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(accessID, secret, "")})
	for range 100 {
		if _, err = client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("waiting for versitygw: %w", err)
}

// env is the environment of everything that is measured.
func (b *bench) env(endpoint string) []string {
	return append(os.Environ(), "AWS_ACCESS_KEY_ID="+accessID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_ENDPOINT_URL="+endpoint, "S3_ENDPOINT_URL="+endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+b.metadata, "AWS_EC2_METADATA_DISABLED=true")
}

// output runs a tool against the unlimited server and returns its stdout.
func (b *bench) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = b.env(b.direct), b.dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(name), err, exit.Stderr)
	}
	return string(out), err
}

// limit listens on a port whose connections each carry so many bytes a second
// from address to the client.
func limit(address string, bytesPerSecond int) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go carry(in, address, bytesPerSecond)
		}
	}()
	return l, nil
}

// carry moves bytes both ways until one side ends.
func carry(in net.Conn, address string, bytesPerSecond int) {
	defer in.Close()
	out, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer out.Close()
	go func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() }()
	buf := make([]byte, 256<<10)
	next := time.Now()
	for {
		n, err := out.Read(buf)
		if n > 0 {
			if now := time.Now(); next.Before(now) {
				next = now // what was not used is lost
			}
			next = next.Add(time.Duration(n) * time.Second / time.Duration(bytesPerSecond))
			if _, err := in.Write(buf[:n]); err != nil {
				return
			}
			time.Sleep(time.Until(next))
		}
		if err != nil {
			return
		}
	}
}
