package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/internal/chefapi"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
	"bakehouse/internal/fault"
	"bakehouse/reap"
)

const account, region = "111111111111", "eu-west-1"

func noon() time.Time { return time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) }

// chef is a Chef server of names that are instance ids.
type chef struct {
	names []string
	fails error // every delete does
}

func (c *chef) NodeNames(context.Context) ([]string, error) { return slices.Clone(c.names), nil }

func (c *chef) ClientNames(context.Context) ([]string, error) { return slices.Clone(c.names), nil }

func (c *chef) NodeAttributes(_ context.Context, names []string, keys map[string][]string, add func(string, map[string]any)) (chefapi.Coverage, error) {
	for _, n := range names {
		raw, _ := c.RawNode(context.Background(), n)
		v, err := chefapi.Pick(raw, keys)
		if err != nil {
			return chefapi.Coverage{}, err
		}
		add(n, v)
	}
	return chefapi.Coverage{Names: len(names), Searched: len(names), Pages: 1}, nil
}

func (c *chef) RawNode(_ context.Context, name string) (json.RawMessage, error) {
	if !slices.Contains(c.names, name) {
		return nil, chefapi.ErrNotFound
	}
	return fmt.Appendf(nil, `{"name":%q,"normal":{"bakehouse":{"instance_id":%q,"account":%q,"region":%q}}}`, name, name, account, region), nil
}

func (c *chef) RawClient(_ context.Context, name string) (json.RawMessage, error) {
	return fmt.Appendf(nil, `{"name":%q}`, name), nil
}

func (c *chef) DeleteClient(context.Context, string) error { return c.fails }

func (c *chef) DeleteNode(_ context.Context, name string) error {
	c.names = slices.DeleteFunc(c.names, func(n string) bool { return n == name })
	return nil
}

// fleet is EC2 with instances by state.
type fleet map[string]types.InstanceStateName

func (f fleet) DescribeInstances(context.Context, *ec2.DescribeInstancesInput, ...func(*ec2.Options)) (*ec2.DescribeInstancesOutput, error) {
	if f == nil {
		return nil, errors.New("EC2 is down")
	}
	out := &ec2.DescribeInstancesOutput{}
	for id, state := range f {
		out.Reservations = append(out.Reservations, types.Reservation{OwnerId: aws.String(account), Instances: []types.Instance{{
			InstanceId: aws.String(id), LaunchTime: aws.Time(noon().Add(-time.Hour)), State: &types.InstanceState{Name: state}}}})
	}
	return out, nil
}

func id(n int) string { return fmt.Sprintf("i-%017x", n) }

// scene is a Chef server, EC2 and a state of the test's own.
type scene struct {
	chef  *chef
	fleet fleet
	dir   string
}

// standing is a scene of three live nodes and one dead, after a first run.
func standing(t *testing.T) *scene {
	t.Helper()
	s := &scene{chef: &chef{names: []string{id(1), id(2), id(3), id(4)}}, dir: t.TempDir(),
		fleet: fleet{id(1): "running", id(2): "running", id(3): "stopped", id(4): "terminated"}}
	if code, _, stderr := s.run("run --once"); code != 0 {
		t.Fatalf("the first run ends with %d: %s", code, stderr)
	}
	return s
}

// run runs one command line.
func (s *scene) run(line string) (code int, stdout, stderr string) {
	var out, diag strings.Builder
	p := cliapp.Process{Args: append([]string{"chef-reaper"}, strings.Fields(line)...), Stdout: &out, Stderr: &diag, Getenv: func(string) string { return "" }}
	p.Args = append(p.Args, "--state", s.dir)
	place := reap.Place{Account: account, Region: region}
	d := deps{Process: p, now: noon, config: func(string, bool) (config.Config, error) { return config.Config{}, nil },
		world: func(_ context.Context, o options) (world, error) {
			store := reap.Files{Dir: s.dir}
			return world{reaper: &reap.Reaper{Chef: s.chef, Sources: []reap.Source{{Place: place, EC2: s.fleet}}, Policy: o.policy, State: store, Saves: store,
				Holder: "me@here", Now: noon}}, nil
		}}
	code = cliapp.Run(context.Background(), p, newApp(d), nil)
	return code, out.String(), diag.String()
}

func TestPlanIsATableAndJSON(t *testing.T) {
	t.Parallel()
	s := standing(t)
	code, table, stderr := s.run("plan")
	for _, want := range []string{"VERDICT", "reap", id(4), "terminated", "4 nodes, 4 ours: 3 live, 1 to remove, 0 waiting, 0 unknown", "1 EC2 pages and 1 Chef searches"} {
		if code != 0 || !strings.Contains(table, want) {
			t.Errorf("exit %d, the table lacks %q:\n%s%s", code, want, table, stderr)
		}
	}
	if strings.Contains(table, id(1)) {
		t.Errorf("the table lists what stays:\n%s", table)
	}
	if _, all, _ := s.run("plan --all"); !strings.Contains(all, id(1)) {
		t.Errorf("--all leaves out what stays:\n%s", all)
	}
	code, text, _ := s.run("plan --output json")
	var p reap.Plan
	if err := json.Unmarshal([]byte(text), &p); err != nil || code != 0 || len(p.Decisions) != 1 || p.Decisions[0].Name != id(4) || p.Counts.Live != 3 {
		t.Errorf("exit %d, %v, the plan is %s", code, err, text)
	}
	if len(s.chef.names) != 4 {
		t.Errorf("a plan removed something: %v", s.chef.names)
	}
}

func TestExplainSaysWhy(t *testing.T) {
	t.Parallel()
	s := standing(t)
	if code, text, _ := s.run("explain " + id(4)); code != 0 || !strings.Contains(text, "EC2 calls its instance terminated") || !strings.Contains(text, account) {
		t.Errorf("exit %d:\n%s", code, text)
	}
	code, text, _ := s.run("explain --output json " + id(1))
	var d reap.Decision
	if err := json.Unmarshal([]byte(text), &d); err != nil || code != 0 || d.Verdict != reap.Keep || d.Reason != reap.Alive {
		t.Errorf("exit %d, %v:\n%s", code, err, text)
	}
	if code, _, stderr := s.run("explain web-1"); code != 4 || !strings.Contains(stderr, "web-1") {
		t.Errorf("an unknown name: exit %d:\n%s", code, stderr)
	}
}

// TestEachOutcomeHasItsExitCodeStatusAndMetrics runs once in each world.
func TestEachOutcomeHasItsExitCodeStatusAndMetrics(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil   func(*scene)
		flags   string
		code    int
		outcome string
	}{
		"removes":            {nil, "", 0, "ok"},
		"trips":              {nil, " --min-live 5", 4, "tripped"},
		"EC2 fails":          {func(s *scene) { s.fleet = nil }, "", 5, "failed"},
		"a delete fails":     {func(s *scene) { s.chef.fails = errors.New("busy") }, "", 7, "incomplete"},
		"a right is missing": {func(s *scene) { s.chef.fails = chefapi.ErrForbidden }, "", 3, "incomplete"},
		"a lost ledger":      {func(s *scene) { _ = os.Remove(filepath.Join(s.dir, "ledger.json")) }, "", 0, "looked"},
		"another reaper": {func(s *scene) {
			_ = os.WriteFile(filepath.Join(s.dir, "lease.json"), []byte(`{"holder":"other","until":"2026-11-23T12:05:00Z"}`), 0o600)
		}, "", 4, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := standing(t)
			if row.spoil != nil {
				row.spoil(s)
			}
			dir := t.TempDir()
			code, stdout, stderr := s.run("run --once --output json --status-file " + dir + "/status.json --metrics " + dir + "/metrics.log" + row.flags)
			var printed, kept reap.Status
			b, err := os.ReadFile(filepath.Join(dir, "status.json"))
			if err := errors.Join(err, json.Unmarshal(b, &kept), json.Unmarshal([]byte(stdout), &printed)); err != nil {
				t.Fatalf("%v in %s and %s", err, b, stdout)
			}
			if code != row.code || kept.ExitCode != code || kept.Outcome != row.outcome || printed.Outcome != row.outcome || (code != 0) != (stderr != "") {
				t.Errorf("exit %d, status file %+v, printed %+v; want %d and %s\n%s", code, kept, printed, row.code, row.outcome, stderr)
			}
			checkMetrics(t, filepath.Join(dir, "metrics.log"), float64(row.code), float64(kept.Removed))
		})
	}
}

// checkMetrics reads one line of CloudWatch's embedded metric format: each
// metric that it declares has a value.
func checkMetrics(t *testing.T, path string, code, reaped float64) {
	t.Helper()
	b, err := os.ReadFile(path)
	var doc map[string]any
	var head struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Namespace string
				Metrics   []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if err := errors.Join(err, json.Unmarshal(b, &doc), json.Unmarshal(b, &head)); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	if doc["ExitCode"] != code || doc["Reaped"] != reaped || head.AWS.Timestamp == 0 || len(head.AWS.CloudWatchMetrics) != 1 || head.AWS.CloudWatchMetrics[0].Namespace != "Bakehouse/Reaper" {
		t.Fatalf("the metrics are %s", b)
	}
	for _, m := range head.AWS.CloudWatchMetrics[0].Metrics {
		if _, is := doc[m.Name].(float64); !is {
			t.Errorf("metric %s has no value in %s", m.Name, b)
		}
	}
}

func TestPlanExitCodes(t *testing.T) {
	t.Parallel()
	s := standing(t)
	for line, want := range map[string]int{"plan --exit-code": fault.ExitCode(fault.Newf(fault.Changes, "", "x")), "plan --exit-code --min-live 9": 4, "plan": 0} {
		if code, _, stderr := s.run(line); code != want {
			t.Errorf("%s ends with %d, want %d: %s", line, code, want, stderr)
		}
	}
	s.fleet[id(4)] = "running"
	if code, _, stderr := s.run("plan --exit-code"); code != 0 {
		t.Errorf("nothing to remove ends with %d: %s", code, stderr)
	}
}

func TestUndoListsRuns(t *testing.T) {
	t.Parallel()
	s := standing(t)
	if code, _, stderr := s.run("undo"); code != 4 || !strings.Contains(stderr, "nothing was removed yet") {
		t.Errorf("before a removal: exit %d: %s", code, stderr)
	}
	if code, _, stderr := s.run("run --once"); code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	if code, text, _ := s.run("undo"); code != 0 || !strings.Contains(text, id(4)) {
		t.Errorf("after one: exit %d:\n%s", code, text)
	}
}

func TestAnUndoThatFailsPrintsNoTableAmongJSON(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := standing(t).run("undo 20261123T120000Z-nosuch --output json")
	if code == 0 || stdout != "" || !strings.Contains(stderr, `"exit_code"`) {
		t.Errorf("exit %d, printed %q: %s", code, stdout, stderr)
	}
}

// full is a device without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAFullDiskIsSaid(t *testing.T) {
	t.Parallel()
	if err := printReport(full{}, reap.Report{Removals: []reap.Removal{{Name: "a"}}}, nil); err == nil {
		t.Error("what could not be printed is not said")
	}
}

func TestMetricsThatCannotBeWrittenAreSaidAsSuch(t *testing.T) {
	t.Parallel()
	code, _, stderr := standing(t).run("run --once --metrics /dev/full")
	if code != 2 || !strings.Contains(stderr, "error: writing the metrics: ") || !strings.Contains(stderr, "next: correct --metrics") {
		t.Errorf("exit %d:\n%s", code, stderr)
	}
}
