package inventory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// ErrNotFound says that a store does not have an inventory.
var ErrNotFound = errors.New("there is no such inventory")

// maxBytes bounds what is read as one inventory.
const maxBytes = 32 << 20

// Bucket is a place in S3, as s3://NAME/PREFIX names it.
type Bucket struct{ Name, Prefix string }

// ParseBucket reads s3://NAME or s3://NAME/PREFIX.
func ParseBucket(text string) (Bucket, error) {
	m := regexp.MustCompile(`^s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9!_.*'()/-]*))?$`).FindStringSubmatch(text)
	if m == nil {
		return Bucket{}, fmt.Errorf("%q is no place in S3 such as s3://bucket/prefix", text)
	}
	return Bucket{m[1], strings.Trim(m[2], "/")}, nil
}

// key is where the inventory of a bake lies.
func (b Bucket) key(bakeID string) string {
	if b.Prefix == "" {
		return bakeID + ".json"
	}
	return b.Prefix + "/" + bakeID + ".json"
}

// String is the bucket as it was asked for.
func (b Bucket) String() string { return strings.TrimSuffix("s3://"+b.Name+"/"+b.Prefix, "/") }

// Objects is the part of S3 that a Store uses.
type Objects interface {
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Store keeps inventories by bake id: in a folder of this machine, and in S3
// when there is a client.
type Store struct {
	Dir    string  // the state folder
	S3     Objects // nil: no bucket
	Bucket Bucket
}

func (s Store) path(bakeID string) string {
	return filepath.Join(s.Dir, "inventories", bakeID+".json")
}

// Places names where Get looks, in order.
func (s Store) Places(bakeID string) []string {
	out := []string{s.path(bakeID)}
	if s.S3 != nil {
		out = append(out, "s3://"+s.Bucket.Name+"/"+s.Bucket.key(bakeID))
	}
	return out
}

// Put keeps an inventory. One that is there already is left as it is: a bake
// has one inventory, and a put whose reply was lost is tried again.
func (s Store) Put(ctx context.Context, bakeID string, b []byte) error {
	if err := s.keep(bakeID, b); err != nil {
		return fault.New(fault.Usage, "give a folder that can be written: --state-dir DIR", err)
	}
	if s.S3 == nil {
		return nil
	}
	_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(s.Bucket.Name), Key: aws.String(s.Bucket.key(bakeID)),
		Body: bytes.NewReader(b), ContentType: aws.String("application/json"), IfNoneMatch: aws.String("*")})
	if awserr.IsPrecondition(err) {
		return nil
	}
	return awsfault.New("s3:PutObject", "keeping the inventory in "+s.Bucket.String(), err)
}

// keep writes the file whole or not at all.
func (s Store) keep(bakeID string, b []byte) error {
	path := s.path(bakeID)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("keeping the inventory: %w", err)
	}
	return nil
}

// Get finds the inventory of a bake: ErrNotFound when no place has it. When
// want is not empty, what is found must have that digest.
func (s Store) Get(ctx context.Context, bakeID, want string) (Inventory, error) {
	b, where, err := s.find(ctx, bakeID)
	if err != nil {
		return Inventory{}, err
	}
	if got := Digest(b); want != "" && got != want {
		return Inventory{}, fault.Newf(fault.Check, "find out who changed it", "reading %s: its digest is %s, and the image's tag %s says %s", where, short(got), Tag, short(want))
	}
	return decode(where, b)
}

func (s Store) find(ctx context.Context, bakeID string) ([]byte, string, error) {
	path := s.path(bakeID)
	b, err := os.ReadFile(path)
	if err == nil {
		return b, path, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fault.New(fault.Usage, "", fmt.Errorf("reading an inventory: %w", err))
	}
	if s.S3 == nil {
		return nil, "", ErrNotFound
	}
	where := s.Places(bakeID)[1]
	out, err := s.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(s.Bucket.Name), Key: aws.String(s.Bucket.key(bakeID))})
	if awserr.IsNotFound(err) {
		return nil, "", ErrNotFound
	}
	if err != nil {
		return nil, "", awsfault.New("s3:GetObject", "reading "+where, err)
	}
	defer out.Body.Close()
	if b, err = io.ReadAll(io.LimitReader(out.Body, maxBytes)); err != nil {
		return nil, "", fault.New(fault.AWS, "try again", fmt.Errorf("reading %s: %w", where, err))
	}
	return b, where, nil
}
