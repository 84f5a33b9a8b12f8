package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

// call runs boot-agent in this process.
func call(args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(args, &o, &e)
	return code, o.String(), e.String()
}

func TestHelpRepeatsTheExitCodes(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-h"}, {"--help"}, {"help"}, {"first-boot", "-h"}, {"status", "--help"}} {
		code, out, errOut := call(args...)
		if code != 0 || errOut != "" || !strings.Contains(out, fault.Help()) {
			t.Errorf("%q: exit %d, stderr %q, stdout\n%s", args, code, errOut, out)
		}
	}
}

func TestUsageErrorsAreShort(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{}, {"firstboot"}, {"--version"}, {"status", "--yaml"}, {"first-boot", "now"}, {"deploy", "--json"}, {"first-boot", "--retry-refused"}, {"deploy", "--config"}} {
		code, out, errOut := call(args...)
		if code != 2 || out != "" || strings.Count(errOut, "\n") > 5 || !strings.HasPrefix(errOut, "boot-agent: error: ") || !strings.Contains(errOut, "  next: ") {
			t.Errorf("%q: exit %d, stdout %q, stderr\n%s", args, code, out, errOut)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	if code, out, _ := call("version"); code != 0 || !strings.HasPrefix(out, "boot-agent ") || len(out) < len("boot-agent x\n") {
		t.Errorf("exit %d, stdout %q", code, out)
	}
}

func TestConfigurationThatIsMissingOrWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"unknown.json": `{"rolle":"web"}`, "empty.json": `{}`, "text.json": "role: web"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, errOut := call("first-boot", "--config", filepath.Join(dir, name))
		if code != 2 || strings.Count(errOut, "\n") != 2 {
			t.Errorf("%s: exit %d, stderr\n%s", name, code, errOut)
		}
	}
	missing := filepath.Join(dir, "none.json")
	for _, command := range []string{"first-boot", "deploy", "status"} {
		code, _, errOut := call(command, "--config", missing)
		if code != 2 || !strings.Contains(errOut, missing) {
			t.Errorf("%s without a configuration: exit %d, stderr\n%s", command, code, errOut)
		}
	}
}

func TestEnvironmentFileAsTheBakerWritesIt(t *testing.T) {
	t.Parallel()
	got, err := parseEnv("agent.env", "# comment\n\nHTTPS_PROXY=\"http://u:p\\\"\\\\@proxy:3128\"\nPLAIN=a=b\nEMPTY=\n")
	want := [][2]string{{"HTTPS_PROXY", `http://u:p"\@proxy:3128`}, {"PLAIN", "a=b"}, {"EMPTY", ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("read %q, %v; want %q", got, err, want)
	}
	if _, err := parseEnv("agent.env", "A=b\nnonsense\n"); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "agent.env:2") {
		t.Errorf("error is %v, want one with file and line", err)
	}
}
