package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"bakehouse/release"
)

// How an entry differs.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Difference is one entry that two builds do not share.
type Difference struct {
	Name string         `json:"name"`
	How  string         `json:"how"` // Added, Removed or Changed
	What string         `json:"what,omitempty"`
	Old  *release.Entry `json:"old,omitempty"` // nil: Added
	New  *release.Entry `json:"new,omitempty"` // nil: Removed
}

// Comparison is what differs between two builds.
type Comparison struct {
	Old   release.Manifest `json:"old"`
	New   release.Manifest `json:"new"`
	Diffs []Difference     `json:"differences"` // by name
}

// Diff reads two builds of app, entry by entry, and compares them. Artefacts
// are streamed, the second beside the first, and their digests checked.
func (p *Publisher) Diff(ctx context.Context, app string, older, newer release.ID) (Comparison, error) {
	var c Comparison
	entries := [2]map[string]release.Entry{{}, {}}
	manifests := [2]*release.Manifest{&c.Old, &c.New}
	g, ctx := errgroup.WithContext(ctx)
	for i, id := range []release.ID{older, newer} {
		g.Go(func() (err error) {
			*manifests[i], err = p.Manifest(ctx, app, id)
			if err != nil || older == newer && i == 1 {
				return err
			}
			return p.entries(ctx, *manifests[i], entries[i])
		})
	}
	if err := g.Wait(); err != nil {
		return Comparison{}, fmt.Errorf("comparing builds %s and %s of %s: %w", older.Short(), newer.Short(), app, err)
	}
	c.Diffs = []Difference{}
	if older != newer {
		c.Diffs = Differences(entries[0], entries[1])
	}
	return c, nil
}

// entries reads what is in a build.
func (p *Publisher) entries(ctx context.Context, m release.Manifest, into map[string]release.Entry) error {
	key := release.ArtifactKey(m.App, m.ID)
	out, err := p.S3.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.Bucket, Key: &key})
	if err != nil {
		return p.failed("reading", key, "s3:GetObject", err)
	}
	defer out.Body.Close()
	return release.Contents(ctx, out.Body, m, func(e release.Entry) { into[e.Name] = e })
}

// Differences compares two trees, by name.
func Differences(older, newer map[string]release.Entry) []Difference {
	names := maps.Clone(older)
	maps.Copy(names, newer)
	out := []Difference{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, before := older[name]
		is, now := newer[name]
		switch {
		case !before:
			out = append(out, Difference{Name: name, How: Added, What: describe(is), New: &is})
		case !now:
			out = append(out, Difference{Name: name, How: Removed, What: describe(was), Old: &was})
		case was != is:
			out = append(out, Difference{Name: name, How: Changed, What: changed(was, is), Old: &was, New: &is})
		}
	}
	return out
}

// describe says what an entry is.
func describe(e release.Entry) string {
	switch {
	case e.Directory:
		return "directory"
	case e.Link != "":
		return "link to " + e.Link
	case e.Executable:
		return FormatSize(e.Size) + ", executable"
	}
	return FormatSize(e.Size)
}

// changed says how one entry became another.
func changed(was, is release.Entry) string {
	switch {
	case was.SHA256 == is.SHA256 && was.SHA256 != "":
		return map[bool]string{true: "now executable", false: "not executable any more"}[is.Executable]
	case was.Size == is.Size && was.SHA256 != "" && is.SHA256 != "":
		return "other content, " + describe(is)
	}
	return describe(was) + " -> " + describe(is)
}
