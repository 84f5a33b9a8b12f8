package deploy

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
	"bakehouse/internal/s3cond"
	"bakehouse/release"
)

// Upload settings: memory is about partSize × (uploads + 1).
const (
	partSize     = 16 << 20
	uploads      = 4
	abortTimeout = 10 * time.Second
)

// Source is what Push makes a build of. All but App and Dir may be empty.
type Source struct {
	App      string
	Dir      string // a directory, an archive of one (release.Archives), or a single file
	Commit   string // of the tree
	BuildURL string // of the CI run
	PackedBy string // user@host
}

// Pushed is what Push did.
type Pushed struct {
	Manifest release.Manifest `json:"manifest"`
	Reused   bool             `json:"reused"` // the bucket had the build already
}

// Push packs src.Dir, an archive unpacked first, and puts artefact and manifest into the bucket, in this
// order, so that a build with a manifest is whole. A build that is there
// already is left as it is, with the manifest of its first push. The artefact
// is packed into a file without a name in TempDir, which is gone whatever ends
// the process.
//
// Faults: fault.Usage for what cannot be packed or a missing bucket, fault.AWS
// when S3 refuses, fault.Check when the bucket holds other bytes under the
// build's key or the disk is full.
func (p *Publisher) Push(ctx context.Context, src Source) (Pushed, error) {
	if err := release.CheckName("app", src.App); err != nil {
		return Pushed{}, err
	}
	file, err := p.scratch()
	if err != nil {
		return Pushed{}, err
	}
	defer file.Close()
	dir, clean, err := p.directory(ctx, src.Dir)
	if err != nil {
		return Pushed{}, err
	}
	packed, err := p.pack(ctx, dir, file)
	if err = errors.Join(err, clean()); err != nil {
		return Pushed{}, err
	}
	m := release.NewManifest(src.App, packed, p.now())
	m.Commit, m.BuildURL, m.PackedBy = src.Commit, src.BuildURL, src.PackedBy
	reused, err := p.upload(ctx, m, file)
	if err != nil {
		return Pushed{}, err
	}
	m, err = p.publish(ctx, m)
	return Pushed{Manifest: m, Reused: reused}, err
}

// directory is source where it is one, or does not exist, which Pack tells; of
// a file, it is a temporary directory with the tree that the file holds, which
// clean removes.
func (p *Publisher) directory(ctx context.Context, source string) (dir string, clean func() error, err error) {
	info, err := os.Stat(source)
	if err != nil || info.IsDir() {
		return source, func() error { return nil }, nil
	}
	if dir, err = os.MkdirTemp(p.TempDir, "bakehouse-tree-"); err != nil {
		return "", nil, fault.New(fault.Check, "set TMPDIR to a directory that is writable", fmt.Errorf("making temporary directory: %w", err))
	}
	err = p.step("unpack", func(func(string)) error {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return fmt.Errorf("opening temporary directory: %w", err)
		}
		defer root.Close()
		return release.Expand(ctx, source, root)
	})
	if err != nil {
		return "", nil, errors.Join(advise(err), os.RemoveAll(dir))
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// advise says what to do about a full temporary directory, and about what
// may not be read.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fault.New(fault.Check, "free space in the temporary directory, or set TMPDIR to a larger one", err)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Usage, "let this user read it, or leave it out by "+release.IgnoreFile, err)
	}
	return err
}

// scratch opens a temporary file and takes its name away.
func (p *Publisher) scratch() (*os.File, error) {
	f, err := os.CreateTemp(p.TempDir, "bakehouse-build-")
	if err != nil {
		return nil, fault.New(fault.Check, "set TMPDIR to a directory that is writable", fmt.Errorf("making temporary file: %w", err))
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("unlinking temporary file: %w", err), f.Close())
	}
	return f, nil
}

func (p *Publisher) pack(ctx context.Context, dir string, f *os.File) (release.Packed, error) {
	var packed release.Packed
	err := p.step("pack", func(detail func(string)) (err error) {
		packed, err = release.Pack(ctx, dir, &meter{w: f, now: p.now, detail: detail})
		if err == nil {
			detail(fmt.Sprintf("%s, %s to %s", FormatEntries(packed.Files), FormatSize(packed.UnpackedSize), FormatSize(packed.Size)))
		}
		return err
	})
	return packed, advise(err)
}

// upload puts the artefact unless it is there.
func (p *Publisher) upload(ctx context.Context, m release.Manifest, f *os.File) (reused bool, err error) {
	// Asked first, because If-None-Match is answered only after the last byte.
	if reused, err = p.hasArtifact(ctx, m); reused || err != nil {
		return reused, err
	}
	key := release.ArtifactKey(m.App, m.ID)
	err = p.step("upload", func(detail func(string)) error {
		return p.unwritten(ctx, key, s3cond.Do(ctx, p.Pause, func() error {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
			return p.send(ctx, key, m.Size, f, detail)
		}))
	})
	if !errors.Is(err, errTaken) {
		return false, err
	}
	// Somebody else pushed the same tree meanwhile, or our own upload took
	// effect and its reply was lost.
	reused, err = p.hasArtifact(ctx, m)
	if err == nil && !reused {
		err = fault.Newf(fault.AWS, "push again", "uploading s3://%s/%s: S3 says that the object exists, and that it does not", p.Bucket, key)
	}
	return reused, err
}

func (p *Publisher) send(ctx context.Context, key string, total int64, f *os.File, detail func(string)) error {
	tm := transfermanager.New(p.S3, func(o *transfermanager.Options) {
		o.PartSizeBytes, o.MultipartUploadThreshold = partSize, partSize
		o.Concurrency, o.FailTimeout = uploads, abortTimeout
		o.ChecksumAlgorithm = tmtypes.ChecksumAlgorithmSha256
		o.ObjectProgressListeners.Register(&sent{total: total, detail: detail})
	})
	_, err := tm.UploadObject(ctx, &transfermanager.UploadObjectInput{Bucket: &p.Bucket, Key: &key, Body: f,
		IfNoneMatch: aws.String("*"), ContentType: aws.String("application/zstd")})
	return err
}

// hasArtifact reports whether the bucket holds the artefact that m describes;
// an object of other length, or with another SHA-256 where S3 keeps one of the
// whole object, is an error.
func (p *Publisher) hasArtifact(ctx context.Context, m release.Manifest) (bool, error) {
	key := release.ArtifactKey(m.App, m.ID)
	out, err := p.S3.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if awserr.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, p.failed("looking for", key, "s3:GetObject", err)
	}
	if n := aws.ToInt64(out.ContentLength); n != m.Size {
		return false, p.tampered(key, fmt.Errorf("it has %d bytes, the build has %d", n, m.Size))
	}
	// Of a multipart upload S3 keeps a checksum of checksums, "…-PARTS"; moto
	// leaves the suffix out, but its ETag has one, as S3's.
	sum := aws.ToString(out.ChecksumSHA256)
	if sum == "" || strings.Contains(sum+aws.ToString(out.ETag), "-") {
		return true, nil
	}
	raw, err := base64.StdEncoding.DecodeString(sum)
	if err != nil || hex.EncodeToString(raw) != string(m.ID) {
		return false, p.tampered(key, fmt.Errorf("its SHA-256 is %x, its name says %s", raw, m.ID))
	}
	return true, nil
}

func (p *Publisher) tampered(key string, err error) error {
	return fault.Newf(fault.Check, "find out who writes to the bucket, delete the object, and push again",
		"checking s3://%s/%s: the object is not the build that it is named after: %w", p.Bucket, key, err)
}

// publish writes the manifest, or returns the one that is there.
func (p *Publisher) publish(ctx context.Context, m release.Manifest) (release.Manifest, error) {
	body, err := m.Marshal()
	if err == nil {
		body, err = p.signed(release.ManifestKind, body)
	}
	if err != nil {
		return release.Manifest{}, err
	}
	err = p.write(ctx, release.ManifestKey(m.App, m.ID), "", body)
	if errors.Is(err, errTaken) {
		return p.adopt(ctx, m)
	}
	return m, err
}

// meter counts what is packed, and tells once a second.
type meter struct {
	w      io.Writer
	now    func() time.Time
	n      int64
	told   time.Time
	detail func(string)
}

func (m *meter) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.n += int64(n)
	if now := m.now(); now.Sub(m.told) >= time.Second {
		m.told = now
		m.detail(FormatSize(m.n))
	}
	return n, err
}

// sent hears from the transfer manager, one call a part, from any goroutine.
type sent struct {
	total  int64
	detail func(string)
}

// OnObjectBytesTransferred passes the sum so far on.
func (s *sent) OnObjectBytesTransferred(_ context.Context, e *transfermanager.ObjectBytesTransferredEvent) {
	s.detail(FormatSize(e.BytesTransferred) + " of " + FormatSize(s.total))
}

// FormatSize prints n bytes for people, as "1.5 MiB".
func FormatSize(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// FormatEntries prints how many entries a build has.
func FormatEntries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
