package distribute

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

const (
	org  = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
	unit = "arn:aws:organizations::111122223333:ou/o-abcdefghij/ou-ab12-cdefgh34"
)

func TestTargetsAreReadStrictly(t *testing.T) {
	t.Parallel()
	got, err := ParseTargets("--to", []string{"eu-west-1", "us-gov-west-1=alias/images", "ap-south-1=arn:aws:kms:ap-south-1:111122223333:key/abc"})
	want := []Target{{"eu-west-1", ""}, {"us-gov-west-1", "alias/images"}, {"ap-south-1", "arn:aws:kms:ap-south-1:111122223333:key/abc"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for text, says := range map[string]string{
		"eu-west":                   `"eu-west" is no AWS region`,
		"":                          "is no AWS region",
		"=alias/x":                  "is no AWS region",
		"eu-west-1=":                `KMS key "" has an unknown form`,
		"eu-west-1=images":          `KMS key "images" has an unknown form`,
		"eu-west-1=alias/a,b":       "unknown form",
		"eu-west-1,eu-central-1":    "is no AWS region",
		"https://eu-west-1=alias/x": "is no AWS region",
	} {
		_, err := ParseTargets("--to", []string{text})
		wantUsage(t, err, says)
	}
	_, err = ParseTargets("--to", []string{"eu-west-1", "eu-west-1=alias/x"})
	wantUsage(t, err, "eu-west-1 is named twice")
}

func TestAudiencesAreReadStrictly(t *testing.T) {
	t.Parallel()
	got, err := ParseAudience("--with", []string{"444455556666", org, unit})
	if want := (Audience{[]string{"444455556666"}, []string{org}, []string{unit}}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"", "all", "12345", "44445555666a", "4444555566667", "arn:aws:iam::444455556666:root", strings.TrimSuffix(org, "j"), unit + "/x", "*"} {
		_, err := ParseAudience("--with", []string{text})
		wantUsage(t, err, "is neither an account nor an organisation")
	}
	_, err = ParseAudience("--with", []string{org, org})
	wantUsage(t, err, "is given twice")
}

func TestWhatCannotWorkIsRefusedFirst(t *testing.T) {
	t.Parallel()
	plain := Source{Region: "us-east-1", Account: "111122223333"}
	encrypted := func(key string) Source {
		return Source{Region: "us-east-1", Account: "111122223333", Encrypted: true, KMSKey: key}
	}
	west, keyed := []Target{{"us-west-2", ""}}, []Target{{"us-west-2", "alias/images"}}
	others := Audience{Accounts: []string{"444455556666"}}
	for name, c := range map[string]struct {
		wishes Wishes
		source Source
		says   string // "": nothing is wrong
	}{
		"nothing":                            {Wishes{}, encrypted(""), ""},
		"plain to a region":                  {Wishes{Copies: west}, plain, ""},
		"plain, encrypted there":             {Wishes{Copies: keyed, Share: others}, plain, ""},
		"encrypted to a region with a key":   {Wishes{Copies: keyed}, encrypted(""), ""},
		"encrypted with ours, shared":        {Wishes{Share: others}, encrypted("alias/ours"), ""},
		"AWS's key there, not shared":        {Wishes{Copies: []Target{{"us-west-2", "alias/aws/ebs"}}}, plain, ""},
		"where it is":                        {Wishes{Copies: []Target{{"us-east-1", ""}}}, plain, "which is where the image is made"},
		"encrypted to a region without one":  {Wishes{Copies: west}, encrypted("alias/ours"), "the copy to us-west-2 has no key"},
		"a key of elsewhere":                 {Wishes{Copies: []Target{{"us-west-2", "arn:aws:kms:us-east-1:111122223333:key/a"}}}, plain, "is of another region"},
		"shared, default key":                {Wishes{Share: others}, encrypted(""), "the account's default key"},
		"shared, AWS's key":                  {Wishes{Share: others}, encrypted("alias/aws/ebs"), "is managed by AWS"},
		"shared, AWS's key by ARN":           {Wishes{Share: others}, encrypted("arn:aws:kms:us-east-1:111122223333:alias/aws/ebs"), "is managed by AWS"},
		"shared with units, AWS's key there": {Wishes{Copies: []Target{{"us-west-2", "alias/aws/ebs"}}, Share: Audience{Units: []string{unit}}}, plain, "the copy to us-west-2 is to be shared"},
		"shared with its owner":              {Wishes{Share: Audience{Accounts: []string{"111122223333"}}}, plain, "owns the image"},
	} {
		if err := c.wishes.Check(c.source); c.says == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		} else if c.says != "" {
			wantUsage(t, err, c.says)
		}
	}
}

func TestGrantsNameWhoMayLaunch(t *testing.T) {
	t.Parallel()
	got := Grants("arn:aws-cn:kms:cn-north-1:1:key/a", Audience{[]string{"444455556666"}, []string{org}, []string{unit}})
	if len(got) != 3 || !strings.Contains(got[0], `"arn:aws-cn:iam::444455556666:root"`) || !strings.Contains(got[0], `"kms:CreateGrant"`) ||
		!strings.Contains(got[1], `{"StringEquals":{"aws:PrincipalOrgID":["o-abcdefghij"]}}`) || !strings.Contains(got[2], `o-abcdefghij/*/ou-ab12-cdefgh34/*`) {
		t.Errorf("grants are %s", strings.Join(got, "\n"))
	}
}

func wantUsage(t *testing.T, err error, says string) {
	t.Helper()
	if fault.KindOf(err) != fault.Usage || err == nil || !strings.Contains(err.Error(), says) || fault.NextOf(err) == "" {
		t.Errorf("error %v, next %q; want a refusal that says %q", err, fault.NextOf(err), says)
	}
}
