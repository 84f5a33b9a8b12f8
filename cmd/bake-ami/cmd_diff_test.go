package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"bakehouse/bake/ami"
	"bakehouse/bake/inventory"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/config"
)

// someImages answers DescribeImages by the image-id filter: id → bake.
type someImages map[string]string

func (s someImages) DescribeImages(_ context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	id := in.Filters[0].Values[0]
	if s[id] == "" {
		return &ec2.DescribeImagesOutput{}, nil
	}
	return &ec2.DescribeImagesOutput{Images: []types.Image{{ImageId: aws.String(id), Tags: []types.Tag{
		{Key: aws.String(ami.TagBakeID), Value: aws.String(s[id])}, {Key: aws.String(inventory.Tag), Value: aws.String("")}}}}}, nil
}

// Ids of images: of the first bake, of the second, of one without an inventory, of none.
const (
	firstAMI, secondAMI, bareAMI, noAMI = "ami-00000001", "ami-00000002", "ami-00000003", "ami-00000009"
	bakeOne, bakeTwo                    = "01JZ0000000000000000000001", "01JZ0000000000000000000002"
)

// diff runs the command on a state folder with two inventories.
func diff(t *testing.T, state string, args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	p := cliapp.Process{Args: append([]string{"bake-ami", "diff", "--state-dir", state}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Getenv: func(string) string { return "" }}
	d := deps{Process: p, now: time.Now, config: func(string, bool) (config.Config, error) { return config.Config{Region: "us-east-1"}, nil },
		images: func(_ context.Context, o *diffOptions) (images, error) {
			return images{someImages{firstAMI: bakeOne, secondAMI: bakeTwo, bareAMI: "01JZ0000000000000000000003"}, o.store}, nil
		}}
	code := cliapp.Run(t.Context(), p, newApp(d), nil)
	return ran{code: code, stdout: out.String(), stderr: errs.String()}
}

// stateWithTwo keeps two inventories, and the first as an SBOM file, too.
func stateWithTwo(t *testing.T) (state, sbom string) {
	t.Helper()
	state = t.TempDir()
	for _, i := range []inventory.Inventory{held(bakeOne, "1.0"), held(bakeTwo, "1.1")} {
		b, err := i.JSON()
		if err == nil {
			err = inventory.Store{Dir: state}.Put(t.Context(), i.BakeID, b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := held(bakeOne, "1.0").SBOM()
	if err == nil {
		err = os.WriteFile(filepath.Join(state, "one.cdx.json"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return state, filepath.Join(state, "one.cdx.json")
}

func TestDiffComparesAMIsAndFiles(t *testing.T) {
	t.Parallel()
	state, sbom := stateWithTwo(t)
	for _, old := range []string{firstAMI, sbom} {
		r := diff(t, state, old, secondAMI)
		if r.code != 0 || !strings.Contains(r.stdout, "Packages: 1 up\n  up       nginx  1.0 -> 1.1\n") {
			t.Errorf("%s: exit %d\n%s%s", old, r.code, r.stdout, r.stderr)
		}
	}
	page := filepath.Join(t.TempDir(), "d.html")
	r := diff(t, state, "--output", "json", "--exit-code", "--html", page, firstAMI, secondAMI)
	var d inventory.Diff
	if err := json.Unmarshal([]byte(r.stdout), &d); r.code != 10 || err != nil || len(d.Packages) != 1 {
		t.Errorf("exit %d, want 10: %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "nginx") {
		t.Errorf("page: %v\n%s", err, b)
	}
	same, err := held("01JZ0000000000000000000004", "1.0").JSON()
	if err == nil {
		err = os.WriteFile(filepath.Join(state, "same.json"), same, 0o600)
	}
	if r := diff(t, state, "--exit-code", sbom, filepath.Join(state, "same.json")); err != nil || r.code != 0 || !strings.Contains(r.stdout, "nothing changed") {
		t.Errorf("the same content: exit %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
	}
}

func TestDiffRefusesWhatItCannotCompare(t *testing.T) {
	t.Parallel()
	state, sbom := stateWithTwo(t)
	text := filepath.Join(state, "text")
	if err := os.WriteFile(text, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":           {nil, "OLD"},
		"one only":          {[]string{firstAMI}, "NEW"},
		"three":             {[]string{firstAMI, secondAMI, sbom}, "unexpected"},
		"the same AMI":      {[]string{firstAMI, firstAMI}, "the same"},
		"the same bake":     {[]string{firstAMI, sbom}, "same bake"},
		"unknown AMI":       {[]string{noAMI, firstAMI}, "no image of that id in us-east-1"},
		"without inventory": {[]string{firstAMI, bareAMI}, filepath.Join(state, "inventories", "01JZ0000000000000000000003.json")},
		"no file":           {[]string{firstAMI, "/no/such/file"}, "/no/such/file"},
		"no AMI's id":       {[]string{"ami-xyz", secondAMI}, "reading ami-xyz"},
		"no inventory file": {[]string{text, secondAMI}, "no JSON"},
		"a folder":          {[]string{state, secondAMI}, state},
		"page nowhere":      {[]string{"--html", "/no/such/x", firstAMI, secondAMI}, "--html"},
		"bad bucket":        {[]string{"--inventory", "bucket", firstAMI, secondAMI}, "--inventory"},
		"bad output":        {[]string{"--output", "xml", firstAMI, secondAMI}, "xml"},
	} {
		r := diff(t, state, c.args...)
		if r.code != 2 || !strings.Contains(r.stderr, c.want) || r.stdout != "" {
			t.Errorf("%s: exit %d\n%s%s, want %q", name, r.code, r.stdout, r.stderr, c.want)
		}
	}
}
