package inventory

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// The names of the properties by which an SBOM carries what CycloneDX has no
// field for.
const (
	prop        = "bakehouse:"
	propBakeID  = prop + "bake-id"
	propRole    = prop + "role"
	propArch    = prop + "architecture"
	propBase    = prop + "base-image"
	propBaseN   = prop + "base-name"
	propSerial  = prop + "base-serial"
	propKernel  = prop + "kernel"
	propSetting = prop + "setting:"
	propKind    = prop + "kind" // of a component: kindPackage and so on
	propStatus  = prop + "status"
	propSource  = prop + "source"
	propSrcVer  = prop + "source-version"
	propDigest  = prop + "content-digest"
)

const (
	kindPackage  = "package"
	kindCookbook = "cookbook"
	kindAgent    = "boot-agent"
	kindChef     = "chef-client"
	kindOS       = "distribution"
)

// SBOM renders the inventory as a CycloneDX 1.6 document in JSON. The same
// inventory gives the same bytes; what CycloneDX has no field for stands in
// properties, so that Decode gets the whole inventory back.
func (i Inventory) SBOM() ([]byte, error) {
	bom := cdx.NewBOM()
	bom.SerialNumber = serialNumber(i.BakeID)
	image := &cdx.Component{Type: cdx.ComponentTypeOS, BOMRef: "image", Name: i.ImageName, Version: i.BakeID}
	about := properties(propBakeID, i.BakeID, propRole, i.Role, propArch, i.Arch, propBase, i.BaseID, propBaseN, i.BaseName,
		propSerial, i.Serial, propKernel, i.Kernel)
	for _, k := range slices.Sorted(maps.Keys(i.Settings)) {
		about = append(about, cdx.Property{Name: propSetting + k, Value: i.Settings[k]})
	}
	bom.Metadata = &cdx.Metadata{Timestamp: i.BakedAt.UTC().Format("2006-01-02T15:04:05Z"), Component: image, Properties: &about,
		Tools: &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "bake-ami"}}}}
	all := i.components()
	var refs []string
	for _, c := range all {
		refs = append(refs, c.BOMRef)
	}
	bom.Components = &all
	bom.Dependencies = &[]cdx.Dependency{{Ref: "image", Dependencies: &refs}}
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("rendering the SBOM: %w", err)
	}
	return b.Bytes(), nil
}

// components lists all that is in the image.
func (i Inventory) components() []cdx.Component {
	distribution := component(cdx.ComponentTypeOS, kindOS, i.OS.ID, i.OS.Version)
	distribution.Description = i.OS.Name
	all := []cdx.Component{distribution, component(cdx.ComponentTypeApplication, kindAgent, "boot-agent", i.Agent),
		component(cdx.ComponentTypeApplication, kindChef, i.Chef.Name, i.Chef.Version)}
	for _, p := range i.Packages {
		c := component(cdx.ComponentTypeLibrary, kindPackage, p.Name, p.Version,
			propArch, p.Arch, propStatus, p.Status, propSource, p.Source, propSrcVer, p.SrcVer)
		c.PackageURL = i.OS.purl(p)
		c.BOMRef = c.PackageURL
		all = append(all, c)
	}
	for _, b := range i.Cookbooks {
		all = append(all, component(cdx.ComponentTypeLibrary, kindCookbook, b.Name, b.Version, propDigest, b.Digest))
	}
	return all
}

// component is one component; more are names and values of properties.
func component(typ cdx.ComponentType, kind, name, version string, more ...string) cdx.Component {
	p := properties(append([]string{propKind, kind}, more...)...)
	return cdx.Component{Type: typ, BOMRef: kind + ":" + name, Name: name, Version: version, Properties: &p}
}

// properties pairs names with values, and leaves out what has no value.
func properties(pairs ...string) []cdx.Property {
	var out []cdx.Property
	for k := 0; k < len(pairs); k += 2 {
		if pairs[k+1] != "" {
			out = append(out, cdx.Property{Name: pairs[k], Value: pairs[k+1]})
		}
	}
	return out
}

// purl is a package's URL (github.com/package-url/purl-spec, type deb).
func (o OS) purl(p Package) string {
	distro := o.ID
	if o.Version != "" {
		distro += "-" + o.Version
	}
	return "pkg:deb/" + escape(strings.ToLower(o.ID)) + "/" + escape(strings.ToLower(p.Name)) + "@" + escape(p.Version) +
		"?arch=" + escape(p.Arch) + "&distro=" + escape(distro)
}

// escape percent-encodes as the specification of purl says: all but letters,
// digits, ".", "-", "_", "~" and the colon.
func escape(s string) string {
	return strings.NewReplacer("+", "%20", "%3A", ":").Replace(url.QueryEscape(s))
}

// serialNumber makes a UUID (RFC 9562, version 8) of a bake's id.
func serialNumber(bakeID string) string {
	h := sha256.Sum256([]byte("bakehouse sbom " + bakeID))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", h[0:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

// fromSBOM reads an SBOM back. Of one that another tool wrote, the packages
// that have a purl of type deb are read.
func fromSBOM(name string, b []byte) (Inventory, error) {
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(b), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return Inventory{}, unreadable(name, err)
	}
	i := Inventory{Format: Format}
	if m := bom.Metadata; m != nil {
		i.fromMetadata(m)
	}
	for _, c := range deref(bom.Components) {
		i.fromComponent(c)
	}
	if len(i.Packages) == 0 {
		return i, unreadable(name, fmt.Errorf("the SBOM names no Debian package"))
	}
	if i.Arch == "" {
		i.Arch = i.commonArch()
	}
	slices.SortFunc(i.Packages, func(a, b Package) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch)) })
	return i, nil
}

func (i *Inventory) fromMetadata(m *cdx.Metadata) {
	if t, err := time.Parse(time.RFC3339, m.Timestamp); err == nil {
		i.BakedAt = t.UTC()
	}
	if m.Component != nil {
		i.ImageName = m.Component.Name
	}
	p := asMap(m.Properties)
	i.BakeID, i.Role, i.Arch, i.Kernel = p[propBakeID], p[propRole], p[propArch], p[propKernel]
	i.BaseID, i.BaseName, i.Serial = p[propBase], p[propBaseN], p[propSerial]
	for k, v := range p {
		if key, ok := strings.CutPrefix(k, propSetting); ok {
			if i.Settings == nil {
				i.Settings = map[string]string{}
			}
			i.Settings[key] = v
		}
	}
}

func (i *Inventory) fromComponent(c cdx.Component) {
	p := asMap(c.Properties)
	switch p[propKind] {
	case kindOS:
		i.OS = OS{ID: c.Name, Version: c.Version, Name: c.Description}
	case kindAgent:
		i.Agent = c.Version
	case kindChef:
		i.Chef = Chef{c.Name, c.Version}
	case kindCookbook:
		i.Cookbooks = append(i.Cookbooks, Cookbook{c.Name, c.Version, p[propDigest]})
	case kindPackage:
		i.Packages = append(i.Packages, Package{c.Name, c.Version, p[propArch], p[propStatus], p[propSource], p[propSrcVer]})
	default:
		if strings.HasPrefix(c.PackageURL, "pkg:deb/") {
			i.Packages = append(i.Packages, Package{Name: c.Name, Version: c.Version, Arch: archOf(c.PackageURL)})
		}
	}
}

// commonArch is what most packages are built for.
func (i Inventory) commonArch() string {
	n, best := map[string]int{}, ""
	for _, p := range i.Packages {
		if n[p.Arch]++; p.Arch != "all" && n[p.Arch] > n[best] {
			best = p.Arch
		}
	}
	return best
}

// archOf reads the architecture out of a purl.
func archOf(purl string) string {
	_, query, _ := strings.Cut(purl, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return ""
	}
	return values.Get("arch")
}

func asMap(all *[]cdx.Property) map[string]string {
	out := map[string]string{}
	for _, p := range deref(all) {
		out[p.Name] = p.Value
	}
	return out
}

func deref[T any](s *[]T) []T {
	if s == nil {
		return nil
	}
	return *s
}
