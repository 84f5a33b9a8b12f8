package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// beside writes another file next to the desk's.
func (d *desk) beside(name, text string) string {
	d.t.Helper()
	path := filepath.Join(filepath.Dir(d.file), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func TestSeveralFilesAreOnePlan(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	api := strings.Replace(sample, "  web:", "  api:", 1)
	more := d.beside("api.yaml", api)
	west := d.beside("west.yaml", strings.NewReplacer("us-east-1", "us-west-2").Replace(api))
	if out := d.want(0, "api.yaml: valid (version 2, region us-east-1, 1 group)", "validate", "FILE", more, west); strings.Count(out, "valid") != 3 {
		t.Errorf("three files are not all valid:\n%s", out)
	}
	var result struct{ Files []checked }
	if err := json.Unmarshal([]byte(d.want(0, "", "validate", "--output", "json", "FILE", west)), &result); err != nil || len(result.Files) != 2 || result.Files[1].Region != "us-west-2" {
		t.Errorf("validate in JSON says %+v, %v", result, err)
	}
	out := d.want(0, "api in us-west-2\n", "plan", "FILE", west)
	if !strings.Contains(out, "web in us-east-1\n") || !strings.Contains(out, "8 changes in 2 groups") {
		t.Errorf("the plan of two regions is\n%s", out)
	}
	d.want(0, "", "apply", "--yes", "FILE", more)
	d.want(0, "Nothing to change", "plan", "--exit-code", "FILE", more)
	d.want(0, "Nothing to delete", "prune", "--yes", "FILE", more)
	d.want(4, "1 of 2 groups of owner shop would go", "prune", "--yes", "FILE")
	d.want(2, "several regions, owners or formats", "prune", "--yes", "FILE", west)
	again := d.beside("again.yaml", sample)
	d.want(2, "again.yaml:5:3: group web of region us-east-1 stands in "+d.file+":5:3, too", "validate", "FILE", again)
}

func TestTheSchemaIsPrinted(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for path, args := range map[string][]string{"autoscale.schema.json": {"schema"}, "autoscale-keys.md": {"schema", "--keys"}} {
		want, err := os.ReadFile("../../docs/" + path)
		if err != nil {
			t.Fatal(err)
		}
		if out := d.want(0, "", args...); !bytes.Equal([]byte(out), want) {
			t.Errorf("docs/%s is not what autoscalectl says; write it anew: autoscalectl %s >docs/%[1]s", path, strings.Join(args, " "))
		}
	}
}

func TestValidateRefusesOfflineWithLineAndColumn(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for old, c := range map[string][2]string{
		"max: 4":               {"mx: 4", `:6:24: unknown key "mx" in groups.web.capacity`},
		"min: 1, max: 4":       {"min: one, max: 4", `:6:21: groups.web.capacity.min: expected a whole number, got "one"`},
		"{min: 1, max: 4}":     {"{min: 5, max: 4}", `:6:16: groups.web.capacity.min: min 5 is over max 4`},
		"min: 1, max: 4}":      {"min: 1, max: 4, desired: initial:5}", `:6:32: groups.web.capacity.desired: desired 5 is outside min 1 and max 4`},
		"policy: up}}":         {"policy: op}}", `:10:110: groups.web.alarms.busy.policy: there is no policy "op"`},
		"zones: [us-east-1a]":  {"zones: [us-east-9z]", `:8:23: groups.web.network.zones.0: "us-east-9z" is no zone of region us-east-1`},
		"    schedules: {}\n":  {"    schedules: {}\n  web: {}\n", `:14:3: mapping key "web" already defined at [5:3]`},
		"image: ami-1":         {"image: web", `:7:14: groups.web.launch.image: expected ami-ID, ssm:/NAME or role:NAME, got "web"`},
		"    hooks: {}\n":      {"    hooks: {}\n    hooks: {}\n", `:12:5: mapping key "hooks" already defined at [11:5]`},
		"policies: {up: {type": {"policies: {up: {tipe", `:9:21: unknown key "tipe" in groups.web.policies.up`},
	} {
		text := strings.Replace(sample, old, c[0], 1)
		if text == sample {
			t.Fatalf("the sample has no %q", old)
		}
		d.write(text)
		d.want(2, d.file+c[1], "validate", "FILE")
	}
	if n := len(d.aws.Calls()); n != 0 {
		t.Errorf("validate made %d calls", n)
	}
}
