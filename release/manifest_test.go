package release

import (
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

const someID = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

func TestManifestComesBackAsItWas(t *testing.T) {
	t.Parallel()
	m := NewManifest("web", Packed{ID: someID, Size: 5, UnpackedSize: 9, Files: 2}, created())
	m.Commit, m.BuildURL, m.PackedBy = "abc", "http://ci/1", "ann@host"
	b, err := m.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseManifest(b); err != nil || got != m {
		t.Errorf("got %+v (%v), want %+v", got, err, m)
	}
}

func TestChannelCountsUpAndRemembers(t *testing.T) {
	t.Parallel()
	first := FirstChannel("web", "production").Next(someID, created(), "ann")
	other := ID(strings.Repeat("0", 64))
	second := first.Next(other, created(), "bob")
	if second.Serial != 2 || second.Previous != someID || second.Build != other || second.PromotedBy != "bob" || first.Previous != "" {
		t.Errorf("second promotion is %+v", second)
	}
	b, err := second.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseChannel(b); err != nil || got != second {
		t.Errorf("got %+v (%v), want %+v", got, err, second)
	}
}

func TestDocumentsAreParsedStrictly(t *testing.T) {
	t.Parallel()
	const manifest = `{"format":1,"id":"` + someID + `","app":"web","size":5,"unpacked_size":9,"files":2,"created_at":"2026-03-04T05:06:07Z"}`
	const channel = `{"format":1,"app":"web","name":"production","build":"` + someID + `","serial":3,"promoted_at":"2026-03-04T05:06:07Z"}`
	asManifest := func(s string) error { _, err := ParseManifest([]byte(s)); return err }
	asChannel := func(s string) error { _, err := ParseChannel([]byte(s)); return err }
	cases := []struct {
		name     string
		parse    func(string) error
		text     string
		old, new string
		want     string // "" for no error
	}{
		{"manifest", asManifest, manifest, "", "", ""},
		{"manifest with a newer key", asManifest, manifest, `"size"`, `"signature":{},"size"`, ""},
		{"manifest of a newer format", asManifest, manifest, `"format":1`, `"format":2`, "format is 2, this version reads 1"},
		{"manifest without id", asManifest, manifest, `"id"`, `"ie"`, `parsing build id ""`},
		{"manifest with upper-case id", asManifest, manifest, "2cf2", "2CF2", "want 64 lower-case hex digits"},
		{"manifest with another app name", asManifest, manifest, `"web"`, `"../web"`, `"../web" is not allowed`},
		{"manifest without size", asManifest, manifest, `"size":5`, `"size":0`, "size is 0"},
		{"manifest with negative size", asManifest, manifest, `"unpacked_size":9`, `"unpacked_size":-9`, "unpacked_size is -9"},
		{"manifest without files", asManifest, manifest, `"files":2`, `"files":0`, "files is 0"},
		{"manifest with text for a number", asManifest, manifest, `"files":2`, `"files":"2"`, "cannot unmarshal string"},
		{"manifest without time", asManifest, manifest, `"created_at"`, `"created"`, "created_at is missing"},
		{"manifest cut off", asManifest, manifest, `"}`, "", "the JSON ends too early"},
		{"two manifests", asManifest, manifest, `Z"}`, `Z"}{}`, "more follows after the JSON object"},
		{"a list", asManifest, "[]", "", "", "cannot unmarshal array"},
		{"channel", asChannel, channel, "", "", ""},
		{"channel without serial", asChannel, channel, `"serial":3`, `"serial":0`, "serial is 0"},
		{"channel with a bad build", asChannel, channel, "2cf2", "", "parsing build id"},
		{"channel with a bad previous", asChannel, channel, `"serial"`, `"previous":"x","serial"`, "previous: parsing build id"},
		{"channel without name", asChannel, channel, `"production"`, `""`, "checking name of channel"},
		{"channel without time", asChannel, channel, `"promoted_at"`, `"promoted"`, "promoted_at is missing"},
	}
	for _, c := range cases {
		err := c.parse(strings.Replace(c.text, c.old, c.new, 1))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if err := asManifest(manifest + strings.Repeat(" ", MaxDocument)); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a manifest of more than %d bytes: %v", MaxDocument, err)
	}
}

func TestNamesStaySafeInKeys(t *testing.T) {
	t.Parallel()
	for _, ok := range []string{"web", "a", "web-2.eu_1", strings.Repeat("a", 63)} {
		if err := CheckName("app", ok); err != nil {
			t.Errorf("%q was refused: %v", ok, err)
		}
	}
	for _, bad := range []string{"", "Web", "a/b", "..", ".a", "-a", "a b", "a\n", strings.Repeat("a", 64), "ä"} {
		if err := CheckName("app", bad); err == nil || fault.KindOf(err) != fault.Usage {
			t.Errorf("%q: %v, want a usage fault", bad, err)
		}
	}
	if k := ManifestKey("web", someID); k != "web/builds/"+someID+"/manifest.json" {
		t.Errorf("manifest key is %s", k)
	}
	if k := ChannelKey("web", "production"); k != "web/channels/production.json" {
		t.Errorf("channel key is %s", k)
	}
}
