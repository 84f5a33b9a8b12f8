package main

import (
	"testing"
	"time"

	"bakehouse/internal/config"
)

// fileForImages is a bakehouse.yaml with what every bake needs.
func fileForImages() config.Config {
	return config.Config{Region: "eu-west-1", Chef: config.Chef{ServerURL: "http://file", ClientName: "me", ClientKey: "/k", ValidatorKey: "ssm:/v"}}
}

func TestImageFlagsWinOverTheFile(t *testing.T) {
	t.Parallel()
	file := fileForImages()
	file.Image = config.Image{Name: "{role} of the file", Description: "d", DeprecateAfter: "90d", Protect: true}
	for _, c := range []struct {
		args  []string
		name  string
		age   time.Duration
		guard bool
	}{
		{nil, "{role} of the file", 90 * 24 * time.Hour, true},
		{[]string{"--image-name", "x", "--deprecate-after", "36h", "--protect=false"}, "x", 36 * time.Hour, false},
	} {
		r := run(t, file, nil, append([]string{"--role", "web"}, c.args...)...)
		if r.got == nil {
			t.Fatalf("%v: exit %d: %s", c.args, r.code, r.stderr)
		}
		if in := r.got.in; in.ImageName != c.name || in.DeprecateAfter != c.age || in.Protect != c.guard || in.Description != "d" {
			t.Errorf("%v: %+v", c.args, in.ImageInputs)
		}
	}
	for _, bad := range []string{"soon", "0d", "-1d", "90", "5y"} {
		if r := run(t, file, nil, "--role", "web", "--deprecate-after="+bad); r.code != 2 || r.got != nil {
			t.Errorf("--deprecate-after=%s: exit %d: %s", bad, r.code, r.stderr)
		}
	}
}

func TestExplainAndRebakeTakeTheBakesFlags(t *testing.T) {
	t.Parallel()
	if r := run(t, fileForImages(), nil, "explain", "--role", "web", "--base", "ami-1"); r.got == nil || r.got.in.Base != "ami-1" || !r.got.in.Rebake {
		t.Errorf("explain: exit %d, %+v: %s", r.code, r.got, r.stderr)
	}
	if r := run(t, fileForImages(), nil, "--role", "web", "--rebake"); r.got == nil || !r.got.in.Rebake {
		t.Errorf("--rebake: exit %d: %s", r.code, r.stderr)
	}
	for _, args := range [][]string{{"explain", "web"}, {"explain", "--role", "web", "--role", "db"}, {"explain", "--role", "web", "--bogus"}, {"explain", "--role", "web", "--output", "xml"}} {
		if r := run(t, fileForImages(), nil, args...); r.code != 2 || r.got != nil {
			t.Errorf("%v: exit %d: %s", args, r.code, r.stderr)
		}
	}
}
