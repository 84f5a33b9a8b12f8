package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/bake"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
)

// Of two roles, one has its image already. The run is done: exit 0, and
// both images are told, in either form.
func TestARunWithAReusedImageIsDone(t *testing.T) {
	t.Parallel()
	reports := bake.AllOf([]bake.Report{{Role: "web", Result: "reused", Reused: true, ImageID: "ami-1"}, {Role: "db", Result: "done", ImageID: "ami-2"}})
	for output, want := range map[cliapp.Output]string{cliapp.Plain: "web ami-1\ndb ami-2\n", cliapp.JSON: `"result": "reused"`} {
		var out bytes.Buffer
		d := deps{Process: cliapp.Process{Stdout: &out, Stderr: &bytes.Buffer{}}}
		if err := d.finishAll(options{output: output}, reports, nil); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v\n%s", output, err, out.String())
		}
		var got bake.Reports
		if output != cliapp.JSON {
			continue
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Result != "done" || len(got.Bakes) != 2 || !got.Bakes[0].Reused || got.Bakes[1].Reused {
			t.Errorf("%v: %+v", err, got)
		}
	}
}

// A role that fails ends the run with its code; what the others made is told
// all the same.
func TestARunWithAFailedRoleTellsWhatWasMade(t *testing.T) {
	t.Parallel()
	reports := bake.AllOf([]bake.Report{{Role: "web", Result: "reused", Reused: true, ImageID: "ami-1"}, {Role: "db", Result: "failed", Error: "no"}})
	for _, output := range []cliapp.Output{cliapp.Plain, cliapp.JSON} {
		var out bytes.Buffer
		d := deps{Process: cliapp.Process{Stdout: &out, Stderr: &bytes.Buffer{}}}
		err := d.finishAll(options{output: output}, reports, fault.Newf(fault.Chef, "mend it", "role db: no"))
		if fault.ExitCode(err) != 3 || reports.Result != "failed" || !strings.Contains(out.String(), "ami-1") {
			t.Errorf("%s: exit %d\n%s", output, fault.ExitCode(err), out.String())
		}
	}
}

// One role that is refused refuses them all, and each has its report.
func TestARefusedRunOfSeveralRolesReportsThemAll(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.json")
	var out, errs bytes.Buffer
	p := cliapp.Process{Args: []string{"bake-ami", "--role", "web", "--role", "db", "--report", file}, Stdin: strings.NewReader(""),
		Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	d := deps{Process: p, now: time.Now, config: func(string, bool) (config.Config, error) { return config.Config{}, nil },
		world: func(context.Context, *options) (bake.World, error) {
			return bake.World{}, fault.Newf(fault.Chef, "upload the role", "looking for role db: no")
		}}
	if code := cliapp.Run(t.Context(), p, newApp(d), nil); code != 3 || out.Len() > 0 {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
	b, err := os.ReadFile(file)
	var got bake.Reports
	if err != nil || json.Unmarshal(b, &got) != nil || got.Result != "failed" || len(got.Bakes) != 2 || got.Bakes[0].Role != "web" || got.Bakes[1].Result != "refused" {
		t.Errorf("%v %s", err, b)
	}
}

func TestHeadlineSaysWhatIsBaked(t *testing.T) {
	t.Parallel()
	p := bake.Plan{BakeID: "01", Recipe: bake.Recipe{Role: "web", Base: bake.Base{ID: "ami-1", Name: "ubuntu"}}}
	if got := headline(p); got != "bake 01 of role web on ami-1 (ubuntu)" {
		t.Errorf("a role: %s", got)
	}
	p.Recipe.Policy = &bake.Policy{Name: "web", Group: "prod"}
	if got := headline(p); got != "bake 01 of policy web of group prod on ami-1 (ubuntu)" {
		t.Errorf("a policy: %s", got)
	}
}
