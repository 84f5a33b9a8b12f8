package bake

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/ssh"

	"bakehouse/internal/agentconf"
	"bakehouse/internal/fault"
	"bakehouse/internal/host"
)

func TestUserDataPinsKeysAndArmsTheSelfDestruct(t *testing.T) {
	t.Parallel()
	hostKey, err := newKeyPair("host")
	if err != nil {
		t.Fatal(err)
	}
	userKey, err := newKeyPair("user")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2030, 5, 6, 7, 8, 9, 0, time.FixedZone("X", 3600))
	text, err := builderData(hostKey, userKey, at)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(text, "#cloud-config\n") || strings.Contains(text, userKey.privatePEM) {
		t.Errorf("not a cloud-config, or with our private key in it:\n%s", text)
	}
	var got userData
	if err := yaml.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey([]byte(got.HostKeys["ed25519_private"]))
	if err != nil || !bytes.Equal(key.PublicKey().Marshal(), hostKey.public.Marshal()) {
		t.Errorf("the host key does not come through YAML: %v", err)
	}
	if !got.DeleteKeys || !slices.Equal(got.Authorized, []string{userKey.publicLine}) {
		t.Errorf("user-data %+v", got)
	}
	boot := got.Boot[len(got.Boot)-1][2]
	if !strings.Contains(boot, "--on-calendar='2030-05-06 06:08:09 UTC'") || !strings.Contains(boot, "-ge 1904278089 ") {
		t.Errorf("self-destruct: %s", boot)
	}
	if out, err := exec.Command("sh", "-n", "-c", boot).CombinedOutput(); err != nil {
		t.Errorf("self-destruct is no shell: %s", out)
	}
}

func TestCloudVerdict(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"status":"done","errors":[]}`: "",
		`{"status":"degraded done","errors":[],"recoverable_errors":{"WARNING":["w"]}}`: "",
		`{"status":"disabled"}`:                                  "",
		`{"v1":{"datasource":"DataSourceEc2Local","errors":[]}}`: "",
		`{"v1":{"errors":["('locale', ...)"]}}`:                  "locale",
		`{"status":"error","errors":["no disk"]}`:                "no disk",
		`{"status":"error - done","errors":[]}`:                  "no reason given",
		`{"status":"running","errors":[]}`:                       "running",
		`status: done`:                                           "reading cloud-init's status",
	} {
		warnings, err := cloudVerdict([]byte(text))
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || fault.KindOf(err) != fault.Check) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if strings.Contains(text, "WARNING") && !slices.Equal(warnings, []string{"warning: w"}) {
			t.Errorf("warnings %v", warnings)
		}
	}
}

func TestConvergeFaultsNameTheCause(t *testing.T) {
	t.Parallel()
	lines := []string{"* package[nginx]", "[2030-01-01T00:00:00+00:00] FATAL: Chef::Exceptions::Package: No candidate", "done"}
	for _, c := range []struct {
		code  int
		lines []string
		want  string
		next  string
	}{
		{1, lines, "FATAL: Chef::Exceptions::Package: No candidate", "recipe"},
		{1, []string{"Errno::ENOSPC: No space left on device @ io_write"}, "disk is full", "--root-volume-gb"},
		{43, []string{"bad"}, "configuration is invalid", "recipe"},
		{172, nil, "licence", "Cinc"},
		{41, nil, "could not reboot", "reboot"},
		{1, nil, "none", "recipe"},
	} {
		err := convergeFault("web", c.code, c.lines)
		if fault.KindOf(err) != fault.Chef || !strings.Contains(err.Error(), c.want) || !strings.Contains(fault.NextOf(err), c.next) {
			t.Errorf("code %d: %v, next %q", c.code, err, fault.NextOf(err))
		}
	}
}

func TestAFullDiskIsNamedWhereverItShows(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	f.machine.copied = func(path string) error {
		if path == agentconf.BinaryPath {
			return &host.ExitError{Code: 1, Stderr: "cat: write error: No space left on device"}
		}
		return nil
	}
	_, err := f.Bake(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "disk is full") || !strings.Contains(fault.NextOf(err), "--root-volume-gb") {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
	if left := f.left(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTailKeepsTheEndAndDropsColours(t *testing.T) {
	t.Parallel()
	var passed []string
	w := &tail{pass: func(l string) { passed = append(passed, l) }}
	for range 50 {
		if _, err := io.WriteString(w, "\x1b[32mgre"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "en\x1b[0m\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, "last"); err != nil {
		t.Fatal(err)
	}
	w.end()
	if len(passed) != 51 || passed[0] != "green" || passed[50] != "last" || len(w.lines) != tailLines {
		t.Errorf("%d lines passed, first %q, last %q, %d kept", len(passed), passed[0], passed[len(passed)-1], len(w.lines))
	}
}

// A guest's program may print for ever without ending its line.
func TestTailKeepsNoLineWithoutEnd(t *testing.T) {
	t.Parallel()
	passed := 0
	w := &tail{pass: func(l string) { passed += len(l) }}
	for range 100 {
		if _, err := w.Write(bytes.Repeat([]byte("."), 10_000)); err != nil {
			t.Fatal(err)
		}
	}
	if kept := len(w.partial); kept > maxLine {
		t.Errorf("%d bytes are kept", kept)
	}
	if w.end(); passed != 1_000_000 {
		t.Errorf("%d bytes were passed on", passed)
	}
}

func TestClientRB(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	rb := p.clientRB()
	for _, want := range []string{"node_name '" + p.nodeName() + "'", "client_key '/run/bakehouse/chef/client.pem'", "chef_server_url 'http://chef'"} {
		if !strings.Contains(rb, want) {
			t.Errorf("client.rb lacks %q:\n%s", want, rb)
		}
	}
	if got := ruby(`a'b\c#{d}`); got != `'a\'b\\c#{d}'` {
		t.Errorf("ruby renders %s", got)
	}
	if env := (Plan{Recipe: Recipe{AgentEnv: map[string]string{"B": `x "y"`, "A": "1"}}}).agentEnv(); !strings.HasSuffix(string(env), "A=\"1\"\nB=\"x \\\"y\\\"\"\n") {
		t.Errorf("agent.env:\n%s", env)
	}
}

func TestTheImageHoldsTheAgentAndNoChefKeyTouchesTheDisk(t *testing.T) {
	t.Parallel()
	f := newFakes(t)
	p := f.plan(t)
	if _, err := f.Bake(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	conf, err := agentconf.Parse([]byte(f.machine.files[agentconf.ConfigPath]))
	if err != nil || conf.BakeID != p.BakeID || conf.Role != "web" || conf.Chef.ServerURL != "http://chef" || len(conf.Chef.RunList) != 1 {
		t.Errorf("agent.json: %+v, %v", conf, err)
	}
	for path, content := range f.machine.files {
		if strings.Contains(content, "PRIVATE KEY") && !strings.HasPrefix(path, "/run/") && !strings.Contains(content, "\x7fELF") {
			t.Errorf("%s holds a private key and is not on the tmpfs", path)
		}
	}
	last := f.machine.scripts[len(f.machine.scripts)-1]
	if !strings.Contains(last, "verify.sh") {
		t.Errorf("something ran in the builder after the verification: %s", last)
	}
}

func TestTarRepoStaysInsideTheRepository(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	err := errors.Join(os.MkdirAll(filepath.Join(dir, "cookbooks/web"), 0o755),
		os.WriteFile(filepath.Join(dir, "cookbooks/web/metadata.rb"), []byte("name 'web'"), 0o644),
		os.WriteFile(filepath.Join(dir, "secret.txt"), nil, 0o644))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarRepo(&b, dir); err != nil {
		t.Fatal(err)
	}
	head, err := tar.NewReader(&b).Next()
	if err != nil || head.Name != "cookbooks/web/metadata.rb" || head.Size != 10 {
		t.Errorf("%+v, %v", head, err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "cookbooks/web/passwd")); err != nil {
		t.Fatal(err)
	}
	if err := tarRepo(io.Discard, dir); err == nil {
		t.Error("a link to /etc/passwd was followed")
	}
}

func TestGuestScriptsAreShell(t *testing.T) {
	t.Parallel()
	entries, err := scripts.ReadDir("scripts")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := script(strings.TrimSuffix(e.Name(), ".sh"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-n")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", e.Name(), out)
		}
	}
}

func TestACopyIsToldOnlyWhenItTakesAWhile(t *testing.T) {
	t.Parallel()
	for size, want := range map[int64]string{37 << 10: "", 3 << 20: "3 of 3 MiB sent"} {
		last := ""
		m := &meter{r: bytes.NewReader(make([]byte, size)), total: size, tell: func(format string, args ...any) { last = fmt.Sprintf(format, args...) }}
		if _, err := io.Copy(io.Discard, m); err != nil || last != want {
			t.Errorf("%d bytes are told as %q (%v), want %q", size, last, err, want)
		}
	}
}
