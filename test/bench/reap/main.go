//go:build bench

// Command reap measures chef-reaper on fleets that no lab can run: 50,000 nodes
// and 20,000 instances on servers shaped like Chef's and EC2's, and 2,500 nodes
// on goiardi, next to a loop that asks node by node. It prints a Markdown table:
// seconds, API calls, peak memory of the process. `make bench-reap` runs it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"bakehouse/internal/chefapi"
	"bakehouse/test/bench/page"
)

const (
	account = "111111111111"
	region  = "us-east-1"
)

// fleet is the size of one measurement.
type fleet struct {
	name              string
	nodes, live, dead int // the rest of the nodes' instances is absent
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-reap: error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	write := flag.String("write", "", "replace the section of `FILE` as well")
	flag.Parse()
	dir, err := os.MkdirTemp("", "bench-reap-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	load := page.Load()
	big, err := shaped(ctx, dir, fleet{"50,000 nodes, 20,000 instances, Chef-shaped server", 50_000, 19_000, 1_000})
	if err != nil {
		return err
	}
	small, err := onGoiardi(ctx, dir, fleet{"2,500 nodes, 1,000 instances, goiardi", 2_500, 900, 100})
	if err != nil {
		return err
	}
	text := heading(load) + table(append(big, small...))
	fmt.Print(text)
	for _, r := range append(big, small...) {
		if r.rss > maxRSS {
			return fmt.Errorf("%s, %s: %d MiB at its peak, want %d at most", r.fleet, r.what, r.rss, maxRSS)
		}
	}
	if *write == "" {
		return nil
	}
	return page.Replace(*write, "reap", text)
}

// ids makes instance ids that are spread as EC2's are.
func ids(n int) []string {
	all := make([]string, n)
	for i := range all {
		x := uint64(i+1) * 0x9e3779b97f4a7c15 // a bijection: no id twice
		x ^= x >> 29
		all[i] = fmt.Sprintf("i-0%016x", x)
	}
	return all
}

// shaped measures on the servers of this program.
func shaped(ctx context.Context, dir string, f fleet) ([]row, error) {
	names := ids(f.nodes)
	chef := &chefServer{names: slices.Sorted(slices.Values(names)), gone: map[string]bool{}, calls: map[string]int{}}
	server := httptest.NewServer(chef)
	defer server.Close()
	key, _, err := chefapi.GenerateKey()
	if err != nil {
		return nil, err
	}
	keyFile := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		return nil, err
	}
	m := measurement{fleet: f, dir: dir, names: names, chefURL: server.URL + "/organizations/acme", client: "reaper", key: keyFile,
		chefCalls: func() int { chef.mu.Lock(); defer chef.mu.Unlock(); return take(chef.calls) }}
	return m.all(ctx)
}

func take(calls map[string]int) (n int) {
	for k, c := range calls {
		n += c
		delete(calls, k)
	}
	return n
}

// measurement is one fleet with its servers.
type measurement struct {
	fleet
	dir, chefURL, client, key string
	names                     []string
	chefCalls                 func() int // since the last question; -1: not counted
}

func (m measurement) all(ctx context.Context) (rows []row, err error) {
	ec2 := &ec2Server{ids: m.names[:m.live+m.dead], dead: m.dead, calls: map[string]int{}}
	server := httptest.NewServer(ec2)
	defer server.Close()
	status := filepath.Join(m.dir, "status.json")
	limits := []string{"--max-deletions", "1000000", "--max-percent", "100", "--state", filepath.Join(m.dir, "state-"+fmt.Sprint(m.nodes))}
	once := append([]string{"run", "--once", "--status-file", status}, limits...)
	for _, step := range []struct {
		what    string
		args    []string
		removes int
	}{
		{"plan", append([]string{"plan", "--output", "json"}, limits...), 0},
		{"first run (looks, writes the ledger)", once, 0},
		{fmt.Sprintf("run that removes %d", m.dead), once, m.dead},
		{"run with nothing to do", once, 0},
	} {
		r := row{fleet: m.name, what: step.what, seen: "–"}
		if r.took, r.rss, err = m.reaper(ctx, server.URL, step.args); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
		r.chef, r.ec2 = m.chefCalls(), ec2.taken()
		if step.args[0] == "run" {
			if r.seen, err = outcome(status, step.removes); err != nil {
				return nil, fmt.Errorf("%s: %w", step.what, err)
			}
		}
		rows = append(rows, r)
	}
	loop, err := m.loop(ctx, server.URL, ec2)
	return append(rows, loop), err
}

// outcome reads a run's status file: it is an error unless the run removed what
// was dead, and nothing else. It returns how much of the fleet the search showed.
func outcome(file string, removes int) (string, error) {
	var st struct {
		Removed int
		Counts  struct{ Nodes int }
		Reading struct {
			Fetched int `json:"chef_fetched"`
		}
	}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err == nil && st.Removed != removes {
		err = fmt.Errorf("it removed %d, want %d", st.Removed, removes)
	}
	return fmt.Sprintf("%d of %d", st.Counts.Nodes-st.Reading.Fetched, st.Counts.Nodes), err
}

// reaper runs the built tool and returns its time and peak memory in MiB.
func (m measurement) reaper(ctx context.Context, aws string, args []string) (time.Duration, int64, error) {
	cmd := exec.CommandContext(ctx, "bin/chef-reaper", args...)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+aws, "AWS_REGION="+region, "AWS_ACCESS_KEY_ID=A", "AWS_SECRET_ACCESS_KEY=S", "AWS_EC2_METADATA_DISABLED=true",
		"CHEF_SERVER_URL="+m.chefURL, "CHEF_CLIENT_NAME="+m.client, "CHEF_CLIENT_KEY="+m.key)
	var out strings.Builder
	cmd.Stderr = &out
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("%w: %s", err, out.String())
	}
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Since(start), usage.Maxrss >> 10, nil
}

// loopSample bounds the loop: its cost is the same for every node.
const loopSample = 1000

// loop is what a script does: list the nodes, and for each fetch the node and
// ask EC2 for its instance.
func (m measurement) loop(ctx context.Context, aws string, ec2 *ec2Server) (row, error) {
	key, err := os.ReadFile(m.key)
	if err != nil {
		return row{}, err
	}
	chef, err := chefapi.New(chefapi.Config{ServerURL: m.chefURL, ClientName: m.client, Key: key})
	if err != nil {
		return row{}, err
	}
	start := time.Now()
	names, err := chef.NodeNames(ctx)
	if err != nil {
		return row{}, err
	}
	sample := min(loopSample, len(names))
	for _, name := range names[:sample] {
		if _, err := chef.Node(ctx, name); err != nil {
			return row{}, err
		}
		resp, err := http.PostForm(aws, map[string][]string{"Action": {"DescribeInstances"}, "Filter.1.Name": {"instance-id"}, "Filter.1.Value.1": {name}})
		if err != nil {
			return row{}, err
		}
		if err := resp.Body.Close(); err != nil {
			return row{}, err
		}
	}
	took := time.Since(start)
	m.chefCalls()
	scale := float64(len(names)) / float64(sample)
	return row{fleet: m.name, what: fmt.Sprintf("node-by-node loop, from %d nodes", sample), took: time.Duration(float64(took) * scale),
		chef: len(names) + 1, ec2: int(float64(ec2.taken()) * scale), seen: "–", loop: true}, nil
}
