package distribute

import (
	"regexp"
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// Target is a region that wants a copy of the image.
type Target struct {
	Region string `json:"region"`
	KMSKey string `json:"kms_key,omitempty"` // of that region: id, ARN or alias/NAME; empty: as the image is
}

// String reads like "eu-west-1, encrypted with alias/images".
func (t Target) String() string {
	if t.KMSKey == "" {
		return t.Region
	}
	return t.Region + ", encrypted with " + t.KMSKey
}

// Wishes say where an image is to be, and who may use it.
type Wishes struct {
	Copies []Target `json:"copies,omitempty"`
	Share  Audience `json:"share"`
}

// Empty says that nothing is wished.
func (w Wishes) Empty() bool { return len(w.Copies) == 0 && w.Share.Empty() }

// Empty says that it is nobody.
func (a Audience) Empty() bool { return len(a.All()) == 0 }

// All lists accounts, organisations and units, in that order.
func (a Audience) All() []string { return slices.Concat(a.Accounts, a.Organizations, a.Units) }

// Without is the part of the audience that have does not hold.
func (a Audience) Without(have Audience) Audience {
	minus := func(all, have []string) (out []string) {
		for _, s := range all {
			if !slices.Contains(have, s) {
				out = append(out, s)
			}
		}
		return out
	}
	return Audience{minus(a.Accounts, have.Accounts), minus(a.Organizations, have.Organizations), minus(a.Units, have.Units)}
}

// ParseTargets reads REGION or REGION=KMSKEY; option names where they come
// from. Errors are fault.Usage.
func ParseTargets(option string, texts []string) ([]Target, error) {
	var out []Target
	for _, text := range texts {
		region, key, keyed := strings.Cut(text, "=")
		t := Target{region, key}
		switch {
		case !matches(region, `[a-z]{2}(-[a-z]+)+-[0-9]+`):
			return nil, fault.Newf(fault.Usage, "write it like eu-west-1, or eu-west-1=alias/images", "%s %q: %q is no AWS region", option, text, region)
		case keyed && !IsKey(key):
			return nil, fault.Newf(fault.Usage, "give a key id, an ARN or alias/NAME", "%s %q: KMS key %q has an unknown form", option, text, key)
		case slices.ContainsFunc(out, func(o Target) bool { return o.Region == region }):
			return nil, fault.Newf(fault.Usage, "name each region once", "%s %q: %s is named twice", option, text, region)
		}
		out = append(out, t)
	}
	return out, nil
}

// ParseAudience reads accounts and ARNs of organisations and their units.
// Errors are fault.Usage.
func ParseAudience(option string, texts []string) (a Audience, err error) {
	for _, text := range texts {
		to := &a.Accounts
		switch {
		case matches(text, `[0-9]{12}`):
		case matches(text, `arn:aws[a-z-]*:organizations::[0-9]{12}:organization/o-[a-z0-9]{10,32}`):
			to = &a.Organizations
		case matches(text, `arn:aws[a-z-]*:organizations::[0-9]{12}:ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}`):
			to = &a.Units
		default:
			return a, fault.Newf(fault.Usage, "give an account's 12 digits, or the ARN of an organisation or of one of its units",
				"%s %q is neither an account nor an organisation", option, text)
		}
		if slices.Contains(*to, text) {
			return a, fault.Newf(fault.Usage, "name each once", "%s %q is given twice", option, text)
		}
		*to = append(*to, text)
	}
	return a, nil
}

// IsKey says whether s has the form of a KMS key's id, ARN or alias.
func IsKey(s string) bool {
	return matches(s, `[0-9a-f-]{36}|mrk-[0-9a-f]{32}|alias/[A-Za-z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+`)
}

func matches(s, pattern string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(s)
}
