package distribute

import (
	"slices"
	"strings"

	"bakehouse/internal/fault"
)

// Source is what is known of the image, be it made or only planned.
type Source struct {
	Region    string
	Account   string // that owns it; empty: not known yet
	Encrypted bool
	KMSKey    string // empty, of an encrypted one: the account's default key for EBS
}

// Check finds what cannot work, without asking anybody. Errors are
// fault.Usage and say what to do.
func (w Wishes) Check(s Source) error {
	if err := w.checkShare(s); err != nil {
		return err
	}
	for _, t := range w.Copies {
		switch {
		case t.Region == s.Region:
			return refuse("drop that copy", "a copy to %s is wished, which is where the image is made", t.Region)
		case s.Encrypted && t.KMSKey == "":
			return refuse("add a key of that region: "+t.Region+"=alias/NAME",
				"the image is encrypted, its key does not leave %s, and the copy to %s has no key", s.Region, t.Region)
		case strings.HasPrefix(t.KMSKey, "arn:") && strings.Split(t.KMSKey, ":")[3] != t.Region:
			return refuse("give a key of "+t.Region, "the copy to %s: KMS key %s is of another region", t.Region, t.KMSKey)
		}
	}
	return nil
}

// checkShare refuses what others could not use: a key that AWS manages cannot
// be given to them (docs.aws.amazon.com/kms, "AWS managed keys").
func (w Wishes) checkShare(s Source) error {
	if w.Share.Empty() {
		return nil
	}
	const next = "encrypt with a key of your own, or share nothing"
	switch {
	case s.Account != "" && slices.Contains(w.Share.Accounts, s.Account):
		return refuse("name other accounts only", "account %s owns the image, and needs no share of it", s.Account)
	case s.Encrypted && s.KMSKey == "":
		return refuse("name the key: --kms-key (bake.kms_key)",
			"the image is to be shared, and is encrypted with the account's default key, which others cannot use when it is AWS's own")
	case s.Encrypted && awsManagedAlias(s.KMSKey):
		return refuse(next, "the image is to be shared, and KMS key %s is managed by AWS: no other account can use it", s.KMSKey)
	}
	for _, t := range w.Copies {
		if awsManagedAlias(t.KMSKey) {
			return refuse(next, "the copy to %s is to be shared, and KMS key %s is managed by AWS: no other account can use it", t.Region, t.KMSKey)
		}
	}
	return nil
}

// awsManagedAlias knows the keys that AWS manages by their reserved alias.
func awsManagedAlias(key string) bool {
	return strings.HasPrefix(key, "alias/aws/") || strings.Contains(key, ":alias/aws/")
}

func refuse(next, format string, args ...any) error {
	return fault.Newf(fault.Usage, next, "checking inputs: "+format, args...)
}
