package autoscale

import (
	"slices"
	"strings"
	"testing"
)

const templated = `version: 2
region: us-east-1
defaults: {capacity: {min: 1, max: 4, cooldown: 60}, launch: {image: ami-1, type: t3.small}, network: {zones: [us-east-1a]}}
templates:
  big: {capacity: {max: 20}, launch: {type: m5.large, monitoring: true}}
  any: {launch: {requirements: {vcpus: {min: 2}, memory_mib: {min: 4096}}}, tags: {Kind: any}}
groups:
  web: {use: [big], capacity: {min: 2}}
  job: {use: [big, any], tags: {Kind: job}}
  one: {use: [any, big]}
`

func TestAGroupStandsOnTemplatesTheLaterTheStronger(t *testing.T) {
	t.Parallel()
	s := mustParse(t, templated)
	web, job, one := s.Groups["web"], s.Groups["job"], s.Groups["one"]
	if c := *web.Capacity; *c.Min != 2 || *c.Max != 20 || *c.Cooldown != 60 || *web.Launch.Type != "m5.large" || web.Use != nil {
		t.Errorf("web is %+v", summary(Plan{Changes: []Change{{Fields: compare("web", web, nil)}}}))
	}
	if job.Launch.Type != nil || *job.Launch.Requirements.CPUs.Min != 2 || !*job.Launch.Monitoring || *job.Tags["Kind"].Value != "job" {
		t.Errorf("requirements do not push out the type: %+v", job.Launch)
	}
	if *one.Launch.Type != "m5.large" || one.Launch.Requirements != nil || *one.Tags["Kind"].Value != "any" {
		t.Errorf("a later template does not win: %+v", one.Launch)
	}
	newCloud(t).apply(templated)
}

func TestAnErrorPointsToWhereTheValueStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, now, want string }{
		{"{max: 20}", "{max: 0}", "autoscale.yaml:3:23: groups.job.capacity.min: min 1 is over max 0"},
		{"use: [any, big]", "use: [any, bog]", `autoscale.yaml:10:20: groups.one.use.1: there is no template "bog" in this file`},
		{"big: {", "big: {use: [any], ", "autoscale.yaml:5:9: templates.big.use: only a group stands on templates"},
		{"defaults: {", "defaults: {use: [any], ", "autoscale.yaml:3:12: defaults.use: only a group stands on templates"},
		{"type: m5.large", "metadata: {tokens: maybe}", `autoscale.yaml:5:50: groups.job.launch.metadata.tokens: expected one of optional, required, got "maybe"`},
		{"image: ami-1", "image: web", `autoscale.yaml:3:63: groups.job.launch.image: expected ami-ID, ssm:/NAME or role:NAME, got "web"`},
		{"zones: [us-east-1a]", "zones: [us-east-1a, eu-west-1b]", `autoscale.yaml:3:124: groups.job.network.zones.1: "eu-west-1b" is no zone of region us-east-1`},
		{"cooldown: 60", "cooldwn: 60", `autoscale.yaml:3:39: unknown key "cooldwn" in defaults.capacity, did you mean "cooldown"?`},
	} {
		if _, err := Parse("autoscale.yaml", []byte(strings.Replace(templated, c.old, c.now, 1))); err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

func TestFilesOfSeveralRegions(t *testing.T) {
	t.Parallel()
	file := func(name, region, group string) File {
		return File{name, []byte(strings.NewReplacer("us-east-1", region, "web:", group+":").Replace("owner: shop\n" + base))}
	}
	all, err := ParseFiles([]File{file("a.yaml", "us-east-1", "web"), file("b.yaml", "us-west-2", "web"), file("c.yaml", "us-east-1", "api")})
	if err != nil || len(all) != 3 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	some := Together(all)
	if len(some) != 2 || some[0].Region != "us-east-1" || !slices.Equal(some[0].Names(), []string{"api", "web"}) || some[1].Region != "us-west-2" || len(all[0].Groups) != 1 {
		t.Errorf("together they are %v", some)
	}
	for _, c := range []struct {
		files []File
		want  string
	}{
		{[]File{file("a.yaml", "us-east-1", "web"), file("b.yaml", "us-east-1", "web")}, "b.yaml:5:3: group web of region us-east-1 stands in a.yaml:5:3, too"},
		{[]File{{"a.yaml", []byte(backstopFile)}, file("b.yaml", "us-east-1", "web-backstop")}, "b.yaml:5:3: group web-backstop of region us-east-1 stands in a.yaml:5:3, too"},
		{[]File{file("a.yaml", "us-east-1", "web"), {"b.yaml", []byte("version: 2\n")}}, "b.yaml: the file names no region"},
	} {
		if _, err := ParseFiles(c.files); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}
