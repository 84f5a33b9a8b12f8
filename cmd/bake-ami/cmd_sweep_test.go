package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

const someBake = "01JD0000000000000000000000"

// runSweep runs the tool up to the point where a sweep would talk to the world.
func runSweep(t *testing.T, file config.Config, env map[string]string, args ...string) (r ran, got *sweepOptions) {
	t.Helper()
	var out, errs bytes.Buffer
	p := cliapp.Process{Args: append([]string{"bake-ami"}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(k string) string { return env[k] }}
	d := deps{Process: p, now: time.Now, config: func(string, bool) (config.Config, error) { return file, nil },
		sweeper: func(_ *cli.Context, o sweepOptions) (bake.Sweeper, error) { got = &o; return bake.Sweeper{}, errEnough }}
	r.code = cliapp.Run(t.Context(), p, newApp(d), nil)
	r.stdout, r.stderr = out.String(), errs.String()
	return r, got
}

func TestSweepReadsItsSettings(t *testing.T) {
	t.Parallel()
	file := config.Config{Region: "eu-west-1", Chef: config.Chef{ServerURL: "http://c", ClientName: "me", ClientKey: "/k"}}
	for _, c := range []struct {
		args    []string
		env     map[string]string
		regions string
		bake    string
	}{
		{[]string{"sweep"}, nil, "eu-west-1", ""},
		{[]string{"sweep"}, map[string]string{"AWS_REGION": "us-west-2"}, "us-west-2", ""},
		{[]string{"sweep", "--region", "a", "--region", "b", "--no-chef", "-n"}, map[string]string{"AWS_REGION": "us-west-2"}, "a b", ""},
		{[]string{"abort", someBake, "--region", "a"}, nil, "a", someBake},
	} {
		r, got := runSweep(t, file, c.env, c.args...)
		if got == nil {
			t.Errorf("%v: exit %d: %s", c.args, r.code, r.stderr)
			continue
		}
		if strings.Join(got.regions, " ") != c.regions || got.bake != c.bake || got.keyFile != "/k" {
			t.Errorf("%v: %+v", c.args, got)
		}
	}
}

// What bake-ami tells people to do next, "bake-ami abort ID", names no region:
// the journal does.
func TestAbortConnectsWhereTheJournalSays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"bakes/" + someBake + ".json": `{"bake_id": "` + someBake + `", "region": "eu-west-3"}`})
	for _, c := range []struct {
		args []string
		home string
	}{
		{[]string{"abort", someBake}, "eu-west-3"},
		{[]string{"abort", someBake, "--region", "eu-west-1"}, "eu-west-1"},
		{[]string{"abort", strings.Replace(someBake, "01", "02", 1)}, ""},
		{[]string{"sweep"}, "eu-west-3"},
	} {
		r, got := runSweep(t, config.Config{}, nil, append(c.args, "--no-chef", "--state-dir", dir)...)
		if got == nil || got.home != c.home {
			t.Errorf("%v: connects in %+v, want %q: %s", c.args, got, c.home, r.stderr)
		}
	}
}

// writeFiles writes files below dir.
func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestResumeKeepsTheInventoryWhereTheBakeDid(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plan := bake.Plan{BakeID: someBake, Digest: bake.Recipe{}.Digest()}
	saved, err := json.Marshal(map[string]any{"plan": plan, "inputs": bake.Inputs{InventoryInS3: true}})
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{"bakes/" + someBake + ".json": `{"bake_id": "` + someBake + `"}`, "bakes/" + someBake + ".plan": string(saved)})
	r := run(t, config.Config{}, nil, "resume", "--state-dir", dir)
	if r.code != 2 || r.got != nil || !strings.Contains(r.stderr, "--inventory s3://") {
		t.Errorf("without its bucket: exit %d: %s", r.code, r.stderr)
	}
	r = run(t, config.Config{Image: config.Image{Inventory: "s3://kept/all"}}, nil, "resume", "--state-dir", dir)
	if r.got == nil || r.got.bucket.Name != "kept" {
		t.Errorf("asked the world for %+v: %s", r.got, r.stderr)
	}
	if r = run(t, config.Config{}, nil, "resume", "--state-dir", dir, "--keep-on-failure"); r.code != 2 || !strings.Contains(r.stderr, "keep-on-failure") {
		t.Errorf("a flag that does nothing is taken: exit %d: %s", r.code, r.stderr)
	}
}

func TestSweepRefusesBadUsage(t *testing.T) {
	t.Parallel()
	chef := config.Config{Chef: config.Chef{ServerURL: "http://c", ClientName: "me", ClientKey: "/k"}}
	for _, c := range []struct {
		file config.Config
		args []string
		says string
	}{
		{chef, []string{"abort"}, "BAKE-ID"},
		{chef, []string{"abort", "web"}, "no bake id"},
		{chef, []string{"abort", strings.ToLower(someBake)}, "no bake id"},
		{chef, []string{"sweep", someBake}, "unexpected argument"},
		{chef, []string{"sweep", "--older-than", "3d"}, "--older-than"},
		{config.Config{}, []string{"sweep"}, "Chef server"},
	} {
		r, got := runSweep(t, c.file, nil, c.args...)
		if r.code != 2 || got != nil || !strings.Contains(r.stderr, c.says) || strings.Count(r.stderr, "\n") > 5 {
			t.Errorf("%v: exit %d, want 2 and %q:\n%s", c.args, r.code, c.says, r.stderr)
		}
	}
}
