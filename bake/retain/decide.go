// Package retain decides which baked images may go and takes them away. Who
// still uses an image is asked of everybody who could say, and as long as one
// of them cannot be asked, nothing goes.
package retain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"bakehouse/bake/ami"
	"bakehouse/internal/fault"
)

// Policy says which images may go. An image goes only when every rule lets it.
type Policy struct {
	Roles     []string      // of these roles alone
	Keep      int           // the newest so many of each role, architecture and environment stay
	OlderThan time.Duration // younger ones stay; 0: age does not matter
	// DespiteShares lets images go that other accounts may launch: whether they
	// do cannot be seen from here.
	DespiteShares bool
	// Templates is how many of each launch template's latest versions count as
	// use; the default version and those that groups name always do. 0: 20, as
	// EC2 counts.
	Templates int
}

// defaultTemplates is how far back EC2 looks for references by itself.
const defaultTemplates = 20

// Check refuses a policy that selects nothing or everything; fault.Usage.
func (p Policy) Check() error {
	switch {
	case len(p.Roles) == 0:
		return fault.Newf(fault.Usage, "add --role NAME", "checking inputs: nothing says whose images are to be pruned")
	case p.Keep < 0 || p.Keep > 10000:
		return fault.Newf(fault.Usage, "use 0 to 10000", "checking inputs: --keep %d is out of range", p.Keep)
	case p.Keep == 0 && p.OlderThan == 0:
		return fault.Newf(fault.Usage, "add --keep N, or --older-than AGE", "checking inputs: nothing says which images stay")
	case p.OlderThan < 0:
		return fault.Newf(fault.Usage, "use an age such as 30d", "checking inputs: --older-than is negative")
	case p.Templates < 0 || p.Templates > 10000:
		return fault.Newf(fault.Usage, "use 1 to 10000", "checking inputs: --template-versions %d is out of range", p.Templates)
	}
	return nil
}

// Reference is somebody who uses an image.
type Reference struct {
	ImageID string `json:"image_id"`
	Kind    string `json:"kind"`
	Name    string `json:"name"`
}

// The kinds of references.
const (
	KindInstance  = "instance"
	KindTemplate  = "launch template"
	KindGroup     = "Auto Scaling group"
	KindParameter = "SSM parameter"
	KindReference = "reference" // by DescribeImageReferences alone
	KindShare     = "share"
)

// Verdict says what becomes of an image, and why.
type Verdict struct {
	ami.Image
	Region     string      `json:"region"`
	Remove     bool        `json:"remove"`
	Reason     string      `json:"reason"`
	References []Reference `json:"references,omitempty"`
}

// Decide says what becomes of each image, in their order. It asks nobody: who
// uses an image stands in refs, and what is not listed there is not used.
func Decide(images []ami.Image, refs []Reference, p Policy, now time.Time) []Verdict {
	used := map[string][]Reference{}
	for _, r := range refs {
		if r.Kind != KindShare || !p.DespiteShares {
			used[r.ImageID] = append(used[r.ImageID], r)
		}
	}
	rank := ranks(images)
	var out []Verdict
	for _, k := range images {
		v := Verdict{Image: k, References: used[k.ID]}
		place, counted := rank[k.ID]
		age := now.Sub(k.Created)
		switch {
		case !slices.Contains(p.Roles, k.Role):
			v.Reason = "it is of role " + cmp.Or(k.Role, "(none)")
		case k.Unfinished:
			v.Reason = "it is unfinished: left to sweep"
		case !k.Finished():
			v.Reason = "its state is " + k.State
		case k.Protected:
			v.Reason = "it is protected against being deregistered"
		case len(v.References) > 0:
			v.Reason = "it is used by " + names(v.References)
		case counted && place < p.Keep:
			v.Reason = fmt.Sprintf("it is number %d of the newest %d", place+1, p.Keep)
		case k.Created.IsZero():
			v.Reason = "its age is not known"
		case age < p.OlderThan: // also one from the future, by a wrong clock
			v.Reason = "it is only " + span(age) + " old"
		default:
			v.Remove, v.Reason = true, "nobody uses it, it is "+span(age)+" old"+behind(place, counted)
		}
		out = append(out, v)
	}
	return out
}

func behind(place int, counted bool) string {
	if !counted {
		return " and failed its proof"
	}
	return fmt.Sprintf(" and %d newer ones are there", place)
}

// ranks numbers the images that count as good ones, the newest first, within
// role, architecture and environment: five images for arm64 are no stock of
// images for amd64. What failed its proof or is unfinished is nobody's stock.
func ranks(images []ami.Image) map[string]int {
	kin := map[string][]ami.Image{}
	for _, k := range images {
		if k.Finished() && k.Tags[ami.TagProof] != ami.ProofFailed {
			key := strings.Join([]string{k.Role, k.Arch, k.Environment}, "\x00")
			kin[key] = append(kin[key], k)
		}
	}
	out := map[string]int{}
	for _, list := range kin {
		slices.SortStableFunc(list, func(a, b ami.Image) int {
			return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.BakeID, a.BakeID), cmp.Compare(a.ID, b.ID))
		})
		for i, k := range list {
			out[k.ID] = i
		}
	}
	return out
}

// names joins references for people, the first three in full.
func names(refs []Reference) string {
	var out []string
	for _, r := range refs {
		if text := r.Kind + " " + r.Name; !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	if len(out) > 3 {
		out = append(out[:3:3], fmt.Sprintf("%d more", len(out)-3))
	}
	return strings.Join(out, ", ")
}

// span renders an age in days, or in hours when it is less than two days.
func span(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
	return d.Round(time.Minute).String()
}
