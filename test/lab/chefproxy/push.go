package chefproxy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1" // #nosec G505 -- an identifier has the length of SHA-1
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Lock is what a test pushes: a policy of one group.
type Lock struct {
	Name, Group string
	RunList     []string          // recipe[COOKBOOK::RECIPE]
	Cookbooks   map[string]string // name to the version that the server has
	Default     map[string]any    // default_attributes
}

// Push does what `chef push` does, for cookbooks whose versions the Chef server
// has already: it makes an artefact of each and gives the policy to the group.
// It returns the revision id, which is a hash of the lock.
func (s Signer) Push(ctx context.Context, server string, l Lock) (revision string, err error) {
	locks := map[string]any{}
	for name, version := range l.Cookbooks {
		id, err := s.pushArtefact(ctx, server, name, version)
		if err != nil {
			return "", err
		}
		locks[name] = map[string]any{"version": version, "identifier": id, "dotted_decimal_identifier": dotted(id)}
	}
	lock := map[string]any{"name": l.Name, "run_list": l.RunList, "cookbook_locks": locks,
		"default_attributes": l.Default, "override_attributes": map[string]any{}}
	whole, err := json.Marshal(lock)
	if err != nil {
		return "", fmt.Errorf("pushing policy %s: %w", l.Name, err)
	}
	sum := sha256.Sum256(whole)
	revision = hex.EncodeToString(sum[:])
	lock["revision_id"] = revision
	_, err = s.call(ctx, http.MethodPut, server+"/policy_groups/"+l.Group+"/policies/"+l.Name, lock)
	return revision, err
}

// pushArtefact makes a cookbook artefact of a cookbook version. One that is
// there already is the same.
func (s Signer) pushArtefact(ctx context.Context, server, name, version string) (string, error) {
	manifest, err := s.call(ctx, http.MethodGet, server+"/cookbooks/"+name+"/"+version, nil)
	if err != nil {
		return "", err
	}
	id := identifier(manifest)
	manifest["name"], manifest["identifier"] = name, id
	address := server + "/cookbook_artifacts/" + name + "/" + id
	if _, err := s.call(ctx, http.MethodGet, address, nil); err == nil {
		return id, nil
	}
	_, err = s.call(ctx, http.MethodPut, address, manifest)
	return id, err
}

// identifier is a hash over the paths and checksums of a cookbook's files.
func identifier(manifest map[string]any) string {
	sums := map[string]string{}
	for _, segment := range manifest {
		files, _ := segment.([]any)
		for _, f := range files {
			if file, ok := f.(map[string]any); ok {
				sums[fmt.Sprint(file["path"])] = fmt.Sprint(file["checksum"])
			}
		}
	}
	h := sha1.New() // #nosec G401 -- names content; guards nothing
	for _, path := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(h, "%s:%s\n", path, sums[path])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// dotted writes an identifier as three numbers, as servers without artefacts
// needed it: 14, 14 and 12 hex digits.
func dotted(id string) string {
	var parts []string
	for _, span := range []string{id[:14], id[14:28], id[28:]} {
		var n uint64
		_, _ = fmt.Sscanf(span, "%x", &n) // id is hex
		parts = append(parts, fmt.Sprint(n))
	}
	return strings.Join(parts, ".")
}

func (s Signer) call(ctx context.Context, method, address string, object any) (map[string]any, error) {
	var body []byte
	var err error
	if object != nil {
		if body, err = json.Marshal(object); err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, address, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Accept", "application/json")
		req.Header.Set("Content-Type", "application/json")
		err = s.Sign(req, body, time.Now())
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, address, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, bodyCap))
	reply := map[string]any{}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return nil, fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, text)
	}
	return reply, cmp.Or(err, json.Unmarshal(text, &reply))
}
