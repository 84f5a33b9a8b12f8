package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sys/unix"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// Schemes of a secret's reference.
const (
	schemeSSM     = "ssm:"
	schemeManager = "secretsmanager:"
	schemeFile    = "file:"
)

// splitRef parses a reference to a secret.
func splitRef(ref string) (scheme, name string, err error) {
	for _, s := range []string{schemeSSM, schemeManager, schemeFile} {
		if name, ok := strings.CutPrefix(ref, s); ok && name != "" {
			if s == schemeFile && !strings.HasPrefix(name, "/") {
				return "", "", fmt.Errorf("%q is not an absolute path", name)
			}
			return s, name, nil
		}
	}
	return "", "", fmt.Errorf("%q is none of ssm:NAME, secretsmanager:NAME, file:/PATH", ref)
}

// secrets fetches from Parameter Store, Secrets Manager or a file in memory.
type secrets struct {
	api      *jsonAPI
	inMemory func(path string) (bool, error)
}

// Fetch implements Secrets.
func (s *secrets) Fetch(ctx context.Context, ref string) ([]byte, error) {
	scheme, name, err := splitRef(ref)
	if err != nil {
		return nil, fault.New(fault.Usage, "", fmt.Errorf("reading a secret's reference: %w", err))
	}
	var value []byte
	switch scheme {
	case schemeSSM:
		value, err = s.parameter(ctx, name)
	case schemeManager:
		value, err = s.managed(ctx, name)
	default:
		value, err = s.file(name)
	}
	if err != nil {
		return nil, secretFault(ref, err)
	}
	return value, nil
}

// secretFault names the next step for the common causes.
func secretFault(ref string, err error) error {
	if fault.KindOf(err) != fault.Internal {
		return err
	}
	next := "check that the instance reaches AWS and that " + ref + " can be read there"
	switch {
	case awserr.IsNotFound(err):
		next = "store the validator's key under " + ref + ", in the region of the instance"
		err = finalError{err}
	case awserr.IsAuth(err):
		next = "give the instance profile the right to read " + ref + ", and to decrypt it"
	case errors.Is(err, fs.ErrNotExist):
		next = "put the validator's key at " + ref + " before boot-agent runs"
	}
	return fault.New(fault.AWS, next, fmt.Errorf("%s: %w", ref, err))
}

func (s *secrets) parameter(ctx context.Context, name string) ([]byte, error) {
	var out struct{ Parameter struct{ Value string } }
	in := map[string]any{"Name": name, "WithDecryption": true}
	if err := s.api.call(ctx, operation{"ssm", "AmazonSSM.GetParameter"}, in, &out); err != nil {
		return nil, err
	}
	return []byte(out.Parameter.Value), nil
}

func (s *secrets) managed(ctx context.Context, id string) ([]byte, error) {
	var out struct {
		SecretString string
		SecretBinary []byte
	}
	in := map[string]any{"SecretId": id}
	if err := s.api.call(ctx, operation{"secretsmanager", "secretsmanager.GetSecretValue"}, in, &out); err != nil {
		return nil, err
	}
	if out.SecretString != "" {
		return []byte(out.SecretString), nil
	}
	return out.SecretBinary, nil
}

// file reads a secret that somebody put in memory; one on a disk would outlive
// the instance in snapshots and images, so it is refused.
func (s *secrets) file(path string) ([]byte, error) {
	value, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	ok, err := s.inMemory(path)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fault.Newf(fault.Usage, "put it below /run, which is a tmpfs", "file:%s is on a disk, not on a tmpfs", path)
	}
	return value, nil
}

// inMemory says whether path is on a file system that is never on a disk.
func inMemory(path string) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return false, fmt.Errorf("asking which file system holds %s: %w", path, err)
	}
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC, nil
}

// objects reads from S3.
type objects struct{ s3 *s3.Client }

// Open implements Store.
func (o *objects) Open(ctx context.Context, bucket, key string) (io.ReadCloser, error) {
	out, err := o.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String(key)})
	if err != nil {
		return nil, objectFault(bucket, key, err)
	}
	return out.Body, nil
}

// OpenRange implements Store. The object is pinned by its ETag: a version id
// would ask for one right more, and says no more of what is there now.
func (o *objects) OpenRange(ctx context.Context, r Range) (io.ReadCloser, Object, error) {
	in := &s3.GetObjectInput{Bucket: &r.Bucket, Key: &r.Key, Range: aws.String(fmt.Sprintf("bytes=%d-%d", r.From, r.From+r.Size-1))}
	if r.ETag != "" {
		in.IfMatch = &r.ETag
	}
	out, err := o.s3.GetObject(ctx, in)
	if err != nil {
		return nil, Object{}, objectFault(r.Bucket, r.Key, err)
	}
	whole := Object{ETag: aws.ToString(out.ETag)}
	var from, to int64
	// A server that knows no ranges would send the object from its beginning.
	if _, err := fmt.Sscanf(aws.ToString(out.ContentRange), "bytes %d-%d/%d", &from, &to, &whole.Size); err != nil || from != r.From {
		return nil, Object{}, errors.Join(fmt.Errorf("s3://%s/%s: the answer is not the range that was asked for: %q", r.Bucket, r.Key, aws.ToString(out.ContentRange)), out.Body.Close())
	}
	return out.Body, whole, nil
}

// objectFault says what S3 answered, and what to do about it.
func objectFault(bucket, key string, err error) error {
	what := "s3://" + bucket + "/" + key
	switch {
	case awserr.IsPrecondition(err):
		return fmt.Errorf("%s: %w", what, ErrChanged)
	case awserr.Code(err) == "InvalidRange": // an empty object has no first byte
		return fault.Newf(fault.Check, "push the build again: deployctl push", "%s: the artefact is cut off", what)
	case awserr.IsNotFound(err):
		return fmt.Errorf("%s: %w (%s)", what, ErrNoObject, awserr.Code(err))
	case awserr.IsNoBucket(err):
		return fault.New(fault.Usage, "correct the app's bucket in bakehouse.yaml and bake again, or make the bucket", fmt.Errorf("%s: %w", what, terse(err)))
	case awserr.IsWrongRegion(err):
		return fault.New(fault.Usage, "set region in bakehouse.yaml to the bucket's own and bake again, or use a bucket in the instance's region",
			fmt.Errorf("%s: the bucket is in another region: %w", what, terse(err)))
	case awserr.IsThrottle(err) || awserr.Status(err) == http.StatusServiceUnavailable:
		return fault.New(fault.AWS, "S3 asks for fewer requests: wait, then: systemctl restart bakehouse-first-boot", fmt.Errorf("%s: %w", what, terse(err)))
	case awserr.IsAuth(err):
		return fault.New(fault.AWS, "give the instance profile s3:GetObject on arn:aws:s3:::"+bucket+"/*, and s3:ListBucket on the bucket", fmt.Errorf("%s: %w", what, terse(err)))
	}
	return fmt.Errorf("%s: %w", what, terse(err))
}

// terseError says an AWS error by its code; the SDK's own text is a paragraph
// with two request ids in it.
type terseError struct{ error }

func (e terseError) Error() string { return awserr.Code(e.error) }
func (e terseError) Unwrap() error { return e.error }

// terse shortens err where it has a code, or was never sent.
func terse(err error) error {
	if awserr.Code(err) != "" {
		return terseError{err}
	}
	return awserr.Unsent(err)
}
