// Package inventory is the noun for what an image holds: its packages,
// cookbooks, kernel, agent and settings. It reads them from what a guest says,
// keeps them where any machine finds them, renders them as a CycloneDX SBOM,
// and says what changed between two images.
package inventory

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"bakehouse/internal/fault"
)

// Path is where the inventory lies in an image, for everybody to read.
const Path = "/usr/share/bakehouse/inventory.json"

// Tag of images: SHA-256 of the inventory, as Path holds it.
const Tag = "bakehouse:inventory"

// Format is the version of the inventory's form. A later one may be read by
// this version of the tool only if it says so.
const Format = 1

// Inventory is what one bake put into its image.
type Inventory struct {
	Format    int       `json:"format"`
	BakeID    string    `json:"bake_id"`
	Role      string    `json:"role"`
	ImageName string    `json:"image_name"`
	BakedAt   time.Time `json:"baked_at"`
	BaseID    string    `json:"base_image"`
	BaseName  string    `json:"base_name,omitempty"`
	Facts
	Cookbooks []Cookbook        `json:"cookbooks"`
	Settings  map[string]string `json:"settings"` // no secrets: anybody on an instance may read them
}

// Facts is what the guest itself says.
type Facts struct {
	OS       OS        `json:"os"`
	Arch     string    `json:"arch"`                  // dpkg's: amd64, arm64
	Serial   string    `json:"base_serial,omitempty"` // build of the cloud image
	Kernel   string    `json:"kernel,omitempty"`      // that the image boots; empty: none is installed
	Agent    string    `json:"agent"`                 // version of boot-agent
	Chef     Chef      `json:"chef"`
	Packages []Package `json:"packages"` // by name, then architecture
}

// OS is the distribution by os-release(5).
type OS struct {
	ID      string `json:"id"`
	Version string `json:"version,omitempty"` // VERSION_ID; rolling ones have none
	Name    string `json:"name"`              // PRETTY_NAME
}

// Chef is the client that converged the image.
type Chef struct {
	Name    string `json:"name"` // its package, or its program
	Version string `json:"version"`
}

// Package is one package that dpkg knows to be there.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	Status  string `json:"status,omitempty"`         // empty: installed; else how far it got, as half-configured
	Source  string `json:"source,omitempty"`         // empty: as the name
	SrcVer  string `json:"source_version,omitempty"` // empty: as the version
}

// Cookbook is one cookbook of the converge.
type Cookbook struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest,omitempty"` // of its files, where known
}

// JSON renders the inventory, always in the same way.
func (i Inventory) JSON() ([]byte, error) {
	i.Format = Format
	i.BakedAt = i.BakedAt.UTC().Truncate(time.Second)
	b, err := json.MarshalIndent(i, "", " ")
	if err != nil {
		return nil, fmt.Errorf("rendering the inventory: %w", err)
	}
	return append(b, '\n'), nil
}

// Digest is the value of Tag for an inventory's bytes.
func Digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Decode reads an inventory from any file that holds one: an inventory, an
// SBOM of CycloneDX, or the report of one bake. name is for messages. Errors
// are fault.Usage.
func Decode(name string, b []byte) (Inventory, error) {
	var kind struct {
		BOM       string           `json:"bomFormat"`
		Format    int              `json:"format"`
		Inventory *json.RawMessage `json:"inventory"`
		Bakes     []struct {
			Inventory *json.RawMessage `json:"inventory"`
		} `json:"bakes"`
		Report string `json:"result"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return Inventory{}, unreadable(name, fmt.Errorf("it is no JSON: %w", err))
	}
	switch {
	case kind.BOM == "CycloneDX":
		return fromSBOM(name, b)
	case kind.Inventory != nil:
		return decode(name, *kind.Inventory)
	case len(kind.Bakes) == 1 && kind.Bakes[0].Inventory != nil:
		return decode(name, *kind.Bakes[0].Inventory)
	case len(kind.Bakes) > 1:
		return Inventory{}, fault.Newf(fault.Usage, "name the AMIs instead, or the SBOM of each role", "reading %s: it is the report of %d bakes", name, len(kind.Bakes))
	case kind.Format > 0:
		return decode(name, b)
	case kind.Report != "":
		return Inventory{}, fault.Newf(fault.Usage, "name the report of a bake that made an image", "reading %s: it is a report without an inventory", name)
	}
	return Inventory{}, unreadable(name, fmt.Errorf("it is neither an inventory, an SBOM of CycloneDX nor a report"))
}

func unreadable(name string, err error) error {
	return fault.New(fault.Usage, "name an AMI, or a file that bake-ami wrote: a report, an SBOM or an inventory", fmt.Errorf("reading %s: %w", name, err))
}

// decode reads the inventory's own form, strictly.
func decode(name string, b []byte) (Inventory, error) {
	var i Inventory
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&i); err != nil {
		return i, unreadable(name, err)
	}
	switch {
	case i.Format > Format:
		return i, fault.Newf(fault.Usage, "use the bake-ami that baked the image, or a later one", "reading %s: its format is %d, and this bake-ami knows %d", name, i.Format, Format)
	case i.BakeID == "" || len(i.Packages) == 0:
		return i, unreadable(name, fmt.Errorf("it names no bake, or no package"))
	}
	return i, nil
}
