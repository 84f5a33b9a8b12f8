package release

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// MaxDocument is how many bytes of a manifest or channel are read at most.
const MaxDocument = 64 << 10

// format is the version of both documents. A key that this version does not
// know is no error: agents in old images read what newer tools write. Whatever
// they must not overlook gets a new format number.
const format = 1

// Manifest describes a build. Unpack takes its bounds from it.
type Manifest struct {
	Format       int       `json:"format"` // 1
	ID           ID        `json:"id"`
	App          string    `json:"app"`
	Size         int64     `json:"size"`          // bytes of the artefact
	UnpackedSize int64     `json:"unpacked_size"` // bytes of all regular files
	Files        int       `json:"files"`         // entries: files, directories and links
	CreatedAt    time.Time `json:"created_at"`    // UTC, whole seconds; unpacked files get it as their mtime
	Commit       string    `json:"commit,omitempty"`
	BuildURL     string    `json:"build_url,omitempty"` // of the CI run
	PackedBy     string    `json:"packed_by,omitempty"` // user@host
}

// NewManifest describes what Pack packed for app at now.
func NewManifest(app string, p Packed, now time.Time) Manifest {
	return Manifest{Format: format, ID: p.ID, App: app, Size: p.Size, UnpackedSize: p.UnpackedSize, Files: p.Files,
		CreatedAt: now.UTC().Truncate(time.Second)}
}

// Check says what is wrong with m, as the first of its faults.
func (m Manifest) Check() error {
	if m.Format != format {
		return fmt.Errorf("format is %d, this version reads %d", m.Format, format)
	}
	if _, err := ParseID(string(m.ID)); err != nil {
		return err
	}
	if err := CheckName("app", m.App); err != nil {
		return err
	}
	switch {
	case m.Size <= 0:
		return fmt.Errorf("size is %d, want more than 0", m.Size)
	case m.UnpackedSize < 0:
		return fmt.Errorf("unpacked_size is %d, want 0 or more", m.UnpackedSize)
	case m.Files <= 0:
		return fmt.Errorf("files is %d, want more than 0", m.Files)
	case m.CreatedAt.IsZero():
		return errors.New("created_at is missing")
	}
	return nil
}

// Marshal renders m as indented JSON with a final newline.
func (m Manifest) Marshal() ([]byte, error) { return marshal("manifest", m) }

// ParseManifest reads a manifest, signed or not, and checks its content; the
// signature is for a Keyring to check.
func ParseManifest(b []byte) (Manifest, error) {
	var m Manifest
	if err := unmarshalSigned(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("parsing manifest: %w", err)
	}
	if err := m.Check(); err != nil {
		return Manifest{}, fmt.Errorf("parsing manifest: %w", err)
	}
	return m, nil
}

// Channel says which build of an app is live under a name like "production".
type Channel struct {
	Format     int       `json:"format"` // 1
	App        string    `json:"app"`
	Name       string    `json:"name"`
	Build      ID        `json:"build"`
	Previous   ID        `json:"previous,omitempty"` // the build before; empty at first
	Serial     int64     `json:"serial"`             // 1 at first, plus 1 with every change
	PromotedAt time.Time `json:"promoted_at"`        // UTC, whole seconds
	PromotedBy string    `json:"promoted_by,omitempty"`
	// Rollout is the rollout by pull that brings this build to the hosts; empty:
	// none. Package waves says what it is.
	Rollout string `json:"rollout,omitempty"`
}

// FirstChannel is the channel before its first promotion.
func FirstChannel(app, name string) Channel {
	return Channel{Format: format, App: app, Name: name}
}

// Next is the channel after build is promoted on it, in no rollout.
func (c Channel) Next(build ID, now time.Time, by string) Channel {
	c.Previous, c.Build = c.Build, build
	c.Serial++
	c.PromotedAt, c.PromotedBy, c.Rollout = now.UTC().Truncate(time.Second), by, ""
	return c
}

// Check says what is wrong with c, as the first of its faults.
func (c Channel) Check() error {
	if c.Format != format {
		return fmt.Errorf("format is %d, this version reads %d", c.Format, format)
	}
	if err := CheckName("app", c.App); err != nil {
		return err
	}
	if err := CheckName("channel", c.Name); err != nil {
		return err
	}
	if _, err := ParseID(string(c.Build)); err != nil {
		return err
	}
	if c.Previous != "" {
		if _, err := ParseID(string(c.Previous)); err != nil {
			return fmt.Errorf("previous: %w", err)
		}
	}
	if c.Serial <= 0 {
		return fmt.Errorf("serial is %d, want more than 0", c.Serial)
	}
	if c.PromotedAt.IsZero() {
		return errors.New("promoted_at is missing")
	}
	if c.Rollout != "" {
		return CheckRollout(c.Rollout)
	}
	return nil
}

// Marshal renders c as indented JSON with a final newline.
func (c Channel) Marshal() ([]byte, error) { return marshal("channel", c) }

// ParseChannel reads a channel, signed or not, and checks its content; the
// signature is for a Keyring to check.
func ParseChannel(b []byte) (Channel, error) {
	var c Channel
	if err := unmarshalSigned(b, &c); err != nil {
		return Channel{}, fmt.Errorf("parsing channel: %w", err)
	}
	if err := c.Check(); err != nil {
		return Channel{}, fmt.Errorf("parsing channel: %w", err)
	}
	return c, nil
}

func marshal(what string, v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", what, err)
	}
	return append(b, '\n'), nil
}

// ParseSigned reads a JSON document that may carry signatures into a struct; they
// are for a Keyring to check.
func ParseSigned(b []byte, into any) error { return unmarshalSigned(b, into) }

// unmarshalSigned reads a document that may carry signatures.
func unmarshalSigned(b []byte, into any) error {
	body, _, err := split(b)
	if err != nil {
		return err
	}
	return unmarshal(body, into)
}

// unmarshal reads exactly one JSON object.
func unmarshal(b []byte, into any) error {
	if len(b) > MaxDocument {
		return fmt.Errorf("longer than %d bytes", MaxDocument)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the JSON ends too early")
		}
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows after the JSON object")
	}
	return nil
}
