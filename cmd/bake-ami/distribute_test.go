package main

import (
	"reflect"
	"strings"
	"testing"

	"bakehouse/bake/distribute"
	"bakehouse/internal/config"
)

func TestCopiesAndSharesComeFromFlagsOrTheFile(t *testing.T) {
	t.Parallel()
	file := fileForImages()
	file.Image = config.Image{CopyTo: map[string]string{"us-west-2": "alias/images", "eu-west-1": ""}, ShareWith: []string{"444455556666"}}
	want := distribute.Wishes{Copies: []distribute.Target{{Region: "eu-west-1"}, {Region: "us-west-2", KMSKey: "alias/images"}},
		Share: distribute.Audience{Accounts: []string{"444455556666"}}}
	if r := run(t, file, nil, "--role", "web"); r.got == nil || !reflect.DeepEqual(r.got.in.Distribute, want) {
		t.Errorf("of the file: %+v %s", r.got, r.stderr)
	}
	want = distribute.Wishes{Copies: []distribute.Target{{Region: "eu-central-1"}}, Share: distribute.Audience{Accounts: []string{"777788889999"}}}
	if r := run(t, file, nil, "--role", "web", "--copy-to", "eu-central-1", "--share-with", "777788889999"); r.got == nil || !reflect.DeepEqual(r.got.in.Distribute, want) {
		t.Errorf("flags: %+v %s", r.got, r.stderr)
	}
	file.Image.CopyTo = map[string]string{"mars": ""}
	for says, args := range map[string][]string{
		`image.copy_to "mars"`:            {"--role", "web"},
		`--copy-to "x"`:                   {"--role", "web", "--copy-to", "x"},
		`--share-with "x"`:                {"--role", "web", "--copy-to", "eu-west-1", "--share-with", "x"},
		"nothing says where to copy to":   {"copy", "ami-1"},
		"nothing says whom to share with": {"share", "ami-1"},
		`"web" is no image id`:            {"copy", "--to", "eu-west-1", "web"},
		`--with "1"`:                      {"share", "--with", "1", "ami-1"},
		"--timeout":                       {"copy", "--timeout", "3h", "--to", "eu-west-1", "ami-1"},
	} {
		if r := run(t, file, nil, args...); r.code != 2 || r.got != nil || !strings.Contains(r.stderr, says) {
			t.Errorf("%v: exit %d, want 2 and %q: %s", args, r.code, says, r.stderr)
		}
	}
}
