package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/config"
	"bakehouse/release"
)

// key runs keygen and returns the private key's file and the ring that trusts it.
func (b *bench) key(t *testing.T) (path string, ring release.Keyring) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sign.pem")
	ring, err := release.ParseKeyring([]string{strings.TrimSpace(b.ok(t, "keygen", path))})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("the private key's file: %v, %v", info, err)
	}
	return path, ring
}

// trusted wants both documents of a build on staging signed by a key of ring.
func (b *bench) trusted(t *testing.T, id string, ring release.Keyring) {
	t.Helper()
	for kind, key := range map[release.Kind]string{release.ManifestKind: release.ManifestKey("web", release.ID(id)), release.ChannelKind: release.ChannelKey("web", "staging")} {
		if _, err := ring.Verify(kind, b.bucket.objects[key]); err != nil {
			t.Errorf("%s: %v\n%s", key, err, b.bucket.objects[key])
		}
	}
}

func TestWhatIsPushedWithAKeyIsSigned(t *testing.T) {
	t.Parallel()
	b := newBench()
	path, ring := b.key(t)
	id := strings.TrimSpace(b.ok(t, "push", tree(t, "v1"), "--app", "web", "--channel", "staging", "--sign-key", path))
	b.trusted(t, id, ring)
	b.file.Apps["web"] = config.App{Bucket: "builds", Channel: "staging", SignKey: path}
	id = strings.TrimSpace(b.ok(t, "push", tree(t, "v2"), "--app", "web"))
	b.ok(t, "promote", id, "--app", "web")
	b.trusted(t, id, ring)
}

func TestASecondKeySignsBesideTheFirst(t *testing.T) {
	t.Parallel()
	b, dir := newBench(), tree(t, "v1")
	old, oldRing := b.key(t)
	new, newRing := b.key(t)
	id := strings.TrimSpace(b.ok(t, "push", dir, "--app", "web", "--channel", "staging", "--sign-key", old))
	if code, _, errs := b.run("promote", id, "--app", "web", "--sign-key", new); code != 4 || !strings.Contains(errs, "carries no good signature of key") {
		t.Errorf("promoting what the key has not signed: code %d\n%s", code, errs)
	}
	b.ok(t, "push", dir, "--app", "web", "--channel", "staging", "--sign-key", new)
	b.trusted(t, id, oldRing)
	b.trusted(t, id, newRing)
}

func TestSigningRefusals(t *testing.T) {
	t.Parallel()
	b, dir := newBench(), tree(t, "v1")
	path, _ := b.key(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	id := strings.TrimSpace(b.ok(t, "push", dir, "--app", "web", "--channel", "staging", "--sign-key", path))
	other := strings.TrimSpace(b.ok(t, "push", tree(t, "v2"), "--app", "web"))
	before := string(b.bucket.objects[release.ChannelKey("web", "staging")])
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"a key that exists":            {[]string{"keygen", path}, 2, "file exists"},
		"no key file":                  {[]string{"push", dir, "--app", "web", "--sign-key", "/nowhere"}, 2, "reading signing key /nowhere"},
		"a file that is no key":        {[]string{"push", dir, "--app", "web", "--sign-key", text}, 2, "no PEM block"},
		"an empty variable":            {[]string{"push", dir, "--app", "web", "--sign-key", "env:KEY"}, 2, "the variable is empty"},
		"taking the signature off":     {[]string{"promote", other, "--app", "web"}, 2, "channel staging of web is signed"},
		"a build that nobody signed":   {[]string{"promote", other, "--app", "web", "--sign-key", path}, 4, "carries no good signature"},
		"a manifest with other bounds": {[]string{"push", dir, "--app", "web", "--sign-key", path}, 4, "the build has"},
	} {
		if strings.Contains(name, "bounds") {
			key := release.ManifestKey("web", release.ID(id))
			b.bucket.objects[key] = []byte(strings.Replace(string(b.bucket.objects[key]), `"unpacked_size": 2`, `"unpacked_size": 99`, 1))
		}
		code, _, errs := b.run(c.args...)
		if code != c.code || !strings.Contains(errs, c.want) || strings.Contains(errs, "hush") || strings.Count(errs, "\n") > 5 {
			t.Errorf("%s: code %d, want %d and %q\n%s", name, code, c.code, c.want, errs)
		}
		if got := string(b.bucket.objects[release.ChannelKey("web", "staging")]); got != before {
			t.Errorf("%s: the channel changed to\n%s", name, got)
		}
	}
}
