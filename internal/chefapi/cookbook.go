package chefapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"bakehouse/internal/chefrepo"
	"bakehouse/internal/fault"
)

// segments are the parts of a cookbook in the API's version 1; what lies in
// none of these folders travels as a root file, by its path.
func segments() []string {
	return []string{"recipes", "definitions", "libraries", "attributes", "files", "templates", "resources", "providers", "root_files"}
}

// item is one file in a cookbook's manifest.
type item struct {
	Name        string `json:"name"`
	Path        string `json:"path"`
	Checksum    string `json:"checksum"`
	Specificity string `json:"specificity"`
}

// uploadCookbooks sends the cookbooks whose files differ from the server's:
// one sandbox for all, then one manifest for each.
func (c *Client) uploadCookbooks(ctx context.Context, all []chefrepo.Cookbook, u *Uploaded) error {
	var changed []chefrepo.Cookbook
	for _, cb := range all {
		same, err := c.hasCookbook(ctx, cb)
		if err != nil {
			return err
		}
		if !same {
			changed = append(changed, cb)
		}
	}
	u.Unchanged += len(all) - len(changed)
	if err := c.sendFiles(ctx, changed, u); err != nil {
		return err
	}
	for _, cb := range changed {
		k := call{what: "uploading cookbook " + cb.Name + " " + cb.Version, method: http.MethodPut, path: cookbookPath(cb), body: manifest(cb)}
		err := hint(c.do(ctx, k, nil), http.StatusConflict, "raise the version in the cookbook's metadata: this one is frozen on the server")
		if err != nil {
			return err
		}
		u.Cookbooks++
	}
	return nil
}

func cookbookPath(cb chefrepo.Cookbook) string { return "cookbooks/" + cb.Name + "/" + cb.Version }

// hasCookbook says whether the server has exactly these files under that
// version. The metadata file is one of them.
func (c *Client) hasCookbook(ctx context.Context, cb chefrepo.Cookbook) (bool, error) {
	if err := checkName("cookbook", cb.Name); err != nil {
		return false, err
	}
	var reply map[string]any
	err := c.do(ctx, call{what: "fetching cookbook " + cb.Name + " " + cb.Version, method: http.MethodGet, path: cookbookPath(cb)}, &reply)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	want := map[string]string{}
	for _, f := range cb.Files {
		want[f.Path] = f.MD5
	}
	return maps.Equal(files(reply), want), nil
}

// source says where the bytes of a checksum are.
type source struct {
	cookbook chefrepo.Cookbook
	file     chefrepo.File
}

// sendFiles opens a sandbox for the files of all cookbooks, sends those that
// the server does not hold, and commits it.
func (c *Client) sendFiles(ctx context.Context, cookbooks []chefrepo.Cookbook, u *Uploaded) error {
	sources, sums := map[string]source{}, map[string]any{}
	for _, cb := range cookbooks {
		for _, f := range cb.Files {
			sources[f.MD5], sums[f.MD5] = source{cb, f}, nil
		}
	}
	if len(sums) == 0 {
		return nil
	}
	var box struct {
		ID        string `json:"sandbox_id"`
		Checksums map[string]struct {
			URL    string `json:"url"`
			Needed bool   `json:"needs_upload"`
		} `json:"checksums"`
	}
	k := call{what: "opening a sandbox for cookbook files", method: http.MethodPost, path: "sandboxes", body: map[string]any{"checksums": sums}}
	if err := c.do(ctx, k, &box); err != nil {
		return err
	}
	if err := checkName("sandbox", box.ID); err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(6)
	for sum, slot := range box.Checksums {
		src, known := sources[sum]
		if !slot.Needed || !known {
			continue
		}
		u.Files++
		group.Go(func() error { return c.sendFile(gctx, slot.URL, src) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return c.do(ctx, call{what: "committing the sandbox of cookbook files", method: http.MethodPut, path: "sandboxes/" + box.ID,
		body: map[string]any{"is_completed": true}}, nil)
}

// sendFile PUTs one file to the place that the sandbox named. On a Chef server
// that is a presigned URL, which covers just these headers.
func (c *Client) sendFile(ctx context.Context, target string, src source) error {
	what := fmt.Sprintf("uploading %s of cookbook %s", src.file.Path, src.cookbook.Name)
	content, err := read(src)
	if err != nil {
		return fault.New(fault.Usage, "run again while nothing changes the cookbook", fmt.Errorf("%s: %w", what, err))
	}
	where, err := url.Parse(target)
	if err != nil || where.Host == "" {
		return fault.Newf(fault.Chef, "", "%s: the server named no place to send it to", what)
	}
	sum, err := hex.DecodeString(src.file.MD5)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return c.explain(ctx, what, c.repeat(ctx, func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, target, bytes.NewReader(content))
		if err != nil {
			return false, err
		}
		req.Header.Set("Content-Type", "application/x-binary")
		req.Header.Set("Content-MD5", base64.StdEncoding.EncodeToString(sum))
		req.Header.Set("Accept", "application/json")
		res, err := c.http.Do(req)
		if err != nil {
			return failed(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if res.StatusCode >= 300 {
			return c.refused(res.StatusCode, res.Header, body)
		}
		return false, nil
	}))
}

// read gives the file's bytes if they are still the ones that were hashed.
func read(src source) ([]byte, error) {
	f, err := src.cookbook.Open(src.file.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err == nil && md5Hex(b) != src.file.MD5 {
		return nil, errors.New("the file changed while it was being uploaded")
	}
	return b, err
}

// manifest is a cookbook version in the form of API version 1.
func manifest(cb chefrepo.Cookbook) map[string]any {
	m := map[string]any{
		"name": cb.Name + "-" + cb.Version, "cookbook_name": cb.Name, "version": cb.Version,
		"chef_type": "cookbook_version", "json_class": "Chef::CookbookVersion", "frozen?": false,
		"metadata": metadata(cb),
	}
	items := map[string][]item{}
	for _, s := range segments() {
		items[s] = []item{}
	}
	for _, f := range cb.Files {
		segment, i := place(f)
		items[segment] = append(items[segment], i)
	}
	for s, list := range items {
		m[s] = list
	}
	return m
}

// place finds a file's segment and specificity: of files/ and templates/, the
// folder below says for which platform or host the file is.
func place(f chefrepo.File) (string, item) {
	i := item{Name: path.Base(f.Path), Path: f.Path, Checksum: f.MD5, Specificity: "default"}
	parts := strings.Split(f.Path, "/")
	segment := "root_files"
	for _, s := range segments() {
		if len(parts) > 1 && parts[0] == s {
			segment = s
		}
	}
	if segment == "files" || segment == "templates" {
		i.Specificity = "root_default"
		if len(parts) > 2 {
			i.Specificity = parts[1]
		}
	}
	return segment, i
}

func metadata(cb chefrepo.Cookbook) map[string]any {
	empty := map[string]any{}
	m := map[string]any{
		"name": cb.Name, "version": cb.Version, "description": cb.Description, "long_description": "",
		"maintainer": cb.Maintainer, "maintainer_email": "", "license": cmp.Or(cb.License, "All rights reserved"),
		"platforms": orEmpty(cb.Platforms), "dependencies": orEmpty(cb.Depends), "providing": empty, "recipes": empty,
	}
	if len(cb.ChefVersions) > 0 {
		m["chef_versions"] = cb.ChefVersions
	}
	return m
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
