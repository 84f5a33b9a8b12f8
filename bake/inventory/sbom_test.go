package inventory

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema is CycloneDX's own, which its library brings along.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatalf("looking for the library: %v", err)
	}
	c := jsonschema.NewCompiler()
	const at = "http://cyclonedx.org/schema/"
	for name, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json",
		"jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		b, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "schema", file))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err == nil {
			err = c.AddResource(at+name, doc)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile(at + "bom-1.6.schema.json")
	if err != nil {
		t.Fatalf("reading the schema: %v", err)
	}
	return s
}

func TestTheSBOMIsCycloneDXAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	i := sample(t)
	b, err := i.SBOM()
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if again, err := sample(t).SBOM(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("the same inventory gave other bytes: %v", err)
		}
	}
	golden(t, "sbom.json", b)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(doc); err != nil {
		t.Errorf("not a CycloneDX 1.6 document: %v", err)
	}
	var bad map[string]any
	if err := json.Unmarshal(b, &bad); err != nil {
		t.Fatal(err)
	}
	bad["serialNumber"] = "urn:uuid:nonsense"
	if schema(t).Validate(bad) == nil {
		t.Error("the schema lets nonsense pass: the check above says nothing")
	}
	back, err := Decode("x", b)
	if err != nil || cmp.Diff(i, back) != "" {
		t.Errorf("it does not come back: %v\n%s", err, cmp.Diff(i, back))
	}
}

func TestPackagesHaveTheirURL(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]struct {
		os OS
		p  Package
	}{
		"pkg:deb/ubuntu/nginx@1.24.0-2ubuntu7?arch=amd64&distro=ubuntu-24.04":       {OS{ID: "ubuntu", Version: "24.04"}, Package{Name: "nginx", Version: "1.24.0-2ubuntu7", Arch: "amd64"}},
		"pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=i386&distro=debian": {OS{ID: "debian"}, Package{Name: "libstdc++6", Version: "12.2.0-14+deb12u1", Arch: "i386"}},
		"pkg:deb/debian/vim@2:9.0~1-2?arch=all&distro=debian-12":                    {OS{ID: "debian", Version: "12"}, Package{Name: "vim", Version: "2:9.0~1-2", Arch: "all"}},
	} {
		if got := c.os.purl(c.p); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestTheSBOMOfAnotherToolIsReadForItsPackages(t *testing.T) {
	t.Parallel()
	bom := cdx.NewBOM()
	bom.Components = &[]cdx.Component{{Type: cdx.ComponentTypeLibrary, Name: "nginx", Version: "1.0", PackageURL: "pkg:deb/debian/nginx@1.0?arch=amd64"},
		{Type: cdx.ComponentTypeLibrary, Name: "left-pad", Version: "1.0", PackageURL: "pkg:npm/left-pad@1.0"}}
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).Encode(bom); err != nil {
		t.Fatal(err)
	}
	i, err := Decode("other.json", b.Bytes())
	if err != nil || len(i.Packages) != 1 || i.Packages[0].Arch != "amd64" {
		t.Fatalf("%+v, %v", i, err)
	}
	ours := with(t, func(i *Inventory) { i.Packages = i.Packages[:1] })
	d := Compare(Named{"theirs", i}, Named{"ours", ours})
	if len(d.System) != 0 || len(d.Settings) != 0 || len(d.Packages) != 1 || d.Packages[0].How != Up {
		t.Errorf("what it does not know counts as changed: %+v", d)
	}
}
