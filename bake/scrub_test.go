package bake

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestEveryRemovalHasItsProof(t *testing.T) {
	t.Parallel()
	for _, tr := range traces() {
		if !slices.Contains(proofFor()[tr.how], tr.proof) {
			t.Errorf("%s: removed by %q, which %q does not prove", tr.what, tr.how, tr.proof)
		}
		if tr.what == "" || len(tr.paths) == 0 {
			t.Errorf("%+v says nothing", tr)
		}
		for _, p := range tr.paths {
			if strings.ContainsAny(p, " \t\n'\\") || !(strings.HasPrefix(p, "/") || strings.HasPrefix(p, "~/")) {
				t.Errorf("%s: pattern %q: want an absolute one without blanks and quotes", tr.what, p)
			}
		}
	}
}

// box is a made-up file system for the guest's scripts to run on.
type box struct {
	t    *testing.T
	root string
}

func newBox(t *testing.T) box {
	t.Helper()
	b := box{t, t.TempDir()}
	b.write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n")
	b.write("/run/bakehouse/keep", "")
	b.write("/bin/systemctl", "#!/bin/sh\n")
	b.write("/bin/cloud-init", "#!/bin/sh\n")
	b.write("/bin/getent", "#!/bin/sh\nsed 's|:/|:"+b.root+"/|' "+b.root+"/etc/passwd\n")
	for _, tool := range []string{"systemctl", "cloud-init", "getent"} {
		if err := os.Chmod(b.root+"/bin/"+tool, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b box) write(path, content string) {
	b.t.Helper()
	full := filepath.Join(b.root, path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// run runs a guest script with its absolute paths moved into the box.
func (b box) run(text string) string {
	b.t.Helper()
	absolute := regexp.MustCompile(`(['" >=])/(etc|var|run|tmp|root|home|opt|srv|usr/local)([/'])`)
	text = absolute.ReplaceAllString(text, "${1}"+b.root+"/${2}${3}")
	// The scrub takes homes out of passwd, which does not know of the box.
	text = strings.ReplaceAll(text, "HOMES=$(cut -d: -f6", "HOMES=$(sed 's|:/|:"+b.root+"/|' "+b.root+"/etc/passwd | cut -d: -f6")
	text = strings.ReplaceAll(text, "cut -d: -f6 "+b.root+"/etc/passwd", "cut -d: -f6")
	cmd := exec.Command("sh", "-c", text)
	cmd.Dir = b.root
	cmd.Env = []string{"PATH=" + b.root + "/bin:" + os.Getenv("PATH")}
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.t.Fatalf("running the script: %v\n%s", err, out)
	}
	return strings.ReplaceAll(string(out), b.root, "")
}

// plant puts one file for every pattern of the table into the box, and returns
// them by trace.
func (b box) plant() map[string][]string {
	planted := map[string][]string{}
	for _, tr := range traces() {
		for _, p := range tr.paths {
			path := strings.NewReplacer("~", "/home/ubuntu", "*", "x", "[0-9]", "1").Replace(p)
			content := "x\n"
			switch {
			case tr.proof == noKeys:
				continue // planted by tests of their own: nothing removes them
			case tr.proof == noSecret:
				continue
			case tr.how == emptyDir || tr.how == blankTree || tr.how == byCloudInit:
				path += "/deep/file"
			}
			b.write(path, content)
			planted[tr.what] = append(planted[tr.what], path)
		}
	}
	return planted
}

func scrubScripts(t *testing.T, allow, keep []string) (scrub, verify string) {
	t.Helper()
	s, err := script("scrub")
	if err != nil {
		t.Fatal(err)
	}
	v, err := script("verify")
	if err != nil {
		t.Fatal(err)
	}
	return scrubScript(s), verifyScript(v, allow, keep)
}

func TestTheScrubRemovesEveryTraceOfTheTable(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.plant()
	b.write("/etc/bakehouse/agent.json", "{}")
	scrub, verify := scrubScripts(t, nil, []string{"/etc/bakehouse/agent.json"})
	b.run(scrub)
	found, err := parseVerification(b.run(verify))
	if err != nil || len(found) > 0 {
		t.Errorf("after the scrub: %v, %v", found, err)
	}
	if _, err := os.Stat(b.root + "/var/log/deep/file"); err != nil {
		t.Errorf("daemons lose their log files: %v", err)
	}
}

func TestTheVerificationSeesEveryTraceOfTheTable(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	planted := b.plant()
	b.write("/run/bakehouse/scrubbed", "") // later than all of them
	_, verify := scrubScripts(t, nil, []string{"/etc/bakehouse/agent.json"})
	found, err := parseVerification(b.run(verify))
	if err != nil {
		t.Fatal(err)
	}
	for what, paths := range planted {
		for _, p := range paths {
			if !slices.ContainsFunc(found, func(s survivor) bool { return s.what == what && strings.HasPrefix(p, s.path) }) {
				t.Errorf("%s %s was not seen", what, p)
			}
		}
	}
	if !slices.Contains(found, survivor{"damage: the scrub took", "/etc/bakehouse/agent.json"}) {
		t.Error("a missing agent.json was not seen")
	}
}

func TestPrivateKeysFailTheBakeUnlessAllowed(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	key := "-----BEGIN RSA PRIVATE KEY-----\nx\n"
	b.write("/run/bakehouse/scrubbed", "")
	b.write("/etc/ssl/private/ssl-cert-snakeoil.key", key)
	b.write("/opt/chef/embedded/lib/test.pem", key)
	b.write("/srv/web/tls/allowed.key", key)
	b.write("/srv/web/tls/forbidden.key", key)
	b.write("/srv/web/tls/cert.pem", "-----BEGIN CERTIFICATE-----\n")
	b.write("/home/ubuntu/env", "AWS_SECRET_ACCESS_KEY="+strings.Repeat("a", 40)+"\n")
	b.write("/home/ubuntu/docs", "aws_secret_access_key = YOURS\n")
	_, verify := scrubScripts(t, []string{"/srv/web/tls/allowed*"}, nil)
	found, err := parseVerification(b.run(verify))
	want := []survivor{{"private key", "/srv/web/tls/forbidden.key"}, {"AWS secret key", "/home/ubuntu/env"}}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("found %v, %v; want %v", found, err, want)
	}
}

func TestSurvivorsAreNamed(t *testing.T) {
	t.Parallel()
	err := survivors([]survivor{{"private key", "/srv/k"}})
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "private key /srv/k") || !strings.Contains(fault.NextOf(err), "--allow-key /srv/k") {
		t.Errorf("%v, next %q", err, fault.NextOf(err))
	}
	if survivors(nil) != nil {
		t.Error("nothing survived, and yet an error")
	}
	var many []survivor
	for i := range 20 {
		many = append(many, survivor{"history", fmt.Sprint("/h", i)})
	}
	if text := survivors(many).Error(); !strings.Contains(text, "and 15 more") {
		t.Errorf("twenty survivors read %q", text)
	}
}

func TestAVerificationThatStopsHalfwayProvesNothing(t *testing.T) {
	t.Parallel()
	if _, err := parseVerification("SURVIVED\ta\tb\n"); fault.KindOf(err) != fault.Check {
		t.Errorf("got %v", err)
	}
}

// A validator's key registers any name, and a client's key is somebody's
// identity: the scrub removes both, and an image that has one is not made.
func TestNoChefKeyIsLeftInAnImage(t *testing.T) {
	t.Parallel()
	const key = "-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\n"
	for _, path := range []string{"/etc/chef/validation.pem", "/etc/chef/client.pem", "/etc/cinc/validation.pem", "/etc/cinc/client.pem", "/etc/chef/acme-validator.pem", "/home/ubuntu/.chef/validation.pem"} {
		b := newBox(t)
		b.write(path, key)
		scrub, verify := scrubScripts(t, nil, nil)
		found, err := parseVerification(b.run(verify))
		if err != nil || !strings.Contains(fmt.Sprint(found), path) {
			t.Errorf("%s is not seen: %v, %v", path, found, err)
		}
		b.run(scrub)
		if _, err := os.Stat(b.root + path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s survives the scrub: %v", path, err)
		}
	}
}
