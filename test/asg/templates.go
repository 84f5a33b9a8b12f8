package asg

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// template is a launch template. Versions are numbered from 1.
type template struct {
	id, name string
	normal   int // the default version
	versions []*node
	labels   []string // their descriptions
}

// number is that of a version by number, $Latest or $Default ("" is the
// default); 0 when it is none of them.
func (t *template) number(which string) int {
	switch which {
	case "$Latest":
		return len(t.versions)
	case "", "$Default":
		return t.normal
	}
	n, err := strconv.Atoi(which)
	if err != nil {
		return 0
	}
	return n
}

// version finds one as number does.
func (t *template) version(which string) *node {
	n := t.number(which)
	if n < 1 || n > len(t.versions) {
		return nil
	}
	return t.versions[n-1]
}

func (s *Service) findTemplate(id, name string) *template {
	for _, t := range s.versions {
		if id != "" && t.id == id || id == "" && t.name == name {
			return t
		}
	}
	return nil
}

// ec2 is the table of actions.
func (s *Service) ec2() map[string]operation {
	return map[string]operation{
		"CreateLaunchTemplate":           s.createTemplate,
		"CreateLaunchTemplateVersion":    s.createVersion,
		"ModifyLaunchTemplate":           s.modifyTemplate,
		"DescribeLaunchTemplateVersions": s.describeVersions,
		"DeleteLaunchTemplate":           s.deleteTemplate,
		"DescribeImages":                 s.describeImages,
		"TerminateInstances":             s.terminateMachines,
	}
}

func (s *Service) createTemplate(in *node) (*node, error) {
	name := in.str("LaunchTemplateName")
	if s.versions[name] != nil {
		return nil, &refusal{"InvalidLaunchTemplateName.AlreadyExistsException", "a template of the name " + name + " is there", 400}
	}
	if err := checkData(in.get("LaunchTemplateData")); err != nil {
		return nil, err
	}
	t := &template{id: fmt.Sprintf("lt-%017x", s.next()), name: name, normal: 1}
	t.versions, t.labels = []*node{in.get("LaunchTemplateData")}, []string{in.str("VersionDescription")}
	s.versions[name] = t
	return fields("launchTemplate", t.summary()), nil
}

// checkData refuses user data that is not encoded, as EC2 does.
func checkData(data *node) error {
	if data == nil {
		return &refusal{"MissingParameter", "LaunchTemplateData is needed", 400}
	}
	if _, err := base64.StdEncoding.DecodeString(data.str("UserData")); err != nil {
		return &refusal{"InvalidUserData.Malformed", "user data is not base64", 400}
	}
	return nil
}

func (t *template) summary() *node {
	return fields("launchTemplateId", t.id, "launchTemplateName", t.name, "defaultVersionNumber", t.normal, "latestVersionNumber", len(t.versions))
}

func (s *Service) named(in *node) (*template, error) {
	t := s.findTemplate(in.str("LaunchTemplateId"), in.str("LaunchTemplateName"))
	if t == nil {
		return nil, &refusal{"InvalidLaunchTemplateName.NotFoundException", "there is no such launch template", 400}
	}
	return t, nil
}

// createVersion starts from SourceVersion, when one is given.
func (s *Service) createVersion(in *node) (*node, error) {
	t, err := s.named(in)
	if err != nil {
		return nil, err
	}
	if err := checkData(in.get("LaunchTemplateData")); err != nil {
		return nil, err
	}
	data := &node{}
	if source := in.str("SourceVersion"); source != "" {
		from := t.version(source)
		if from == nil {
			return nil, &refusal{"InvalidLaunchTemplateId.VersionNotFound", "there is no version " + source, 400}
		}
		data = from.copy()
	}
	data.merge(in.get("LaunchTemplateData"))
	t.versions, t.labels = append(t.versions, data), append(t.labels, in.str("VersionDescription"))
	return fields("launchTemplateVersion", t.describe(len(t.versions))), nil
}

func (s *Service) modifyTemplate(in *node) (*node, error) {
	t, err := s.named(in)
	if err != nil {
		return nil, err
	}
	if t.normal = in.number("SetDefaultVersion"); t.version("") == nil {
		return nil, &refusal{"InvalidLaunchTemplateId.VersionNotFound", "there is no such version", 400}
	}
	return fields("launchTemplate", t.summary()), nil
}

func (s *Service) deleteTemplate(in *node) (*node, error) {
	t, err := s.named(in)
	if err != nil {
		return nil, err
	}
	delete(s.versions, t.name)
	return fields("launchTemplate", t.summary()), nil
}

// describe renders version n as EC2 answers: lower camel case, lists in Sets.
func (t *template) describe(n int) *node {
	return fields("launchTemplateId", t.id, "launchTemplateName", t.name, "versionNumber", n, "versionDescription", t.labels[n-1], "defaultVersion", n == t.normal,
		"launchTemplateData", answered(t.versions[n-1], ""))
}

func answered(in *node, within string) *node {
	out := &node{text: in.text}
	for _, name := range in.names {
		k := in.kids[name]
		if !k.list {
			out.set(strings.ToLower(name[:1])+name[1:], answered(k, name))
			continue
		}
		items := list()
		for _, i := range k.items {
			items.items = append(items.items, answered(i, name))
		}
		set := listed(name, within)
		if set == "groupSet" {
			items.item = "groupId"
		}
		out.set(set, items)
	}
	return out
}

// listed is what EC2 calls a list in its answers, where it does not just end
// in Set.
func listed(name, within string) string {
	switch {
	case name == "LicenseSpecification":
		return "licenseSet"
	case name == "SecurityGroupId" && within == "NetworkInterface":
		return "groupSet"
	case name == "PrivateIpAddress" && within == "SecondaryInterface":
		return "privateIpAddressesSet"
	}
	return strings.ToLower(name[:1]) + name[1:] + "Set"
}

// describeVersions needs no name when it is asked for $Latest or $Default:
// then it covers all templates.
func (s *Service) describeVersions(in *node) (*node, error) {
	all := sorted(s.versions)
	if in.has("LaunchTemplateId") || in.has("LaunchTemplateName") {
		t, err := s.named(in)
		if err != nil {
			return nil, err
		}
		all = []*template{t}
	}
	var found []*node
	for _, t := range all {
		var numbers []int
		for i := range t.versions {
			numbers = append(numbers, i+1)
		}
		if asked := in.texts("LaunchTemplateVersion"); len(asked) > 0 {
			numbers = slices.DeleteFunc(numbers, func(n int) bool {
				return !slices.ContainsFunc(asked, func(which string) bool { return t.version(which) == t.versions[n-1] })
			})
		}
		for _, n := range numbers {
			found = append(found, t.describe(n))
		}
	}
	from, size := in.number("NextToken"), 200
	if in.has("MaxResults") {
		size = in.number("MaxResults")
	}
	to := min(from+size, len(found))
	out := fields("launchTemplateVersionSet", list(found[from:to]...))
	if to < len(found) {
		out.set("nextToken", text(strconv.Itoa(to)))
	}
	return out, nil
}

// describeImages knows image-id and tag filters; an unknown id simply is not
// in the answer, as with filters on EC2.
func (s *Service) describeImages(in *node) (*node, error) {
	found := list()
	for _, i := range sorted(s.images) {
		fits := true
		for _, f := range in.all("Filter") {
			values := f.texts("Value")
			name := f.str("Name")
			fits = fits && (name == "image-id" && slices.Contains(values, i.ID) || name == "state" && slices.Contains(values, "available") ||
				strings.HasPrefix(name, "tag:") && slices.Contains(values, i.Tags[strings.TrimPrefix(name, "tag:")]))
		}
		if !fits {
			continue
		}
		tags := list()
		for k, v := range i.Tags {
			tags.items = append(tags.items, fields("key", k, "value", v))
		}
		found.items = append(found.items, fields("imageId", i.ID, "imageState", "available", "creationDate", stamp(i.Created), "tagSet", tags))
	}
	return fields("imagesSet", found), nil
}

// terminateMachines ends made-up machines behind their groups' backs.
func (s *Service) terminateMachines(in *node) (*node, error) {
	if !s.madeUp {
		return nil, &refusal{"InvalidAction", "the machines are somebody else's", 400}
	}
	gone := list()
	for _, id := range in.texts("InstanceId") {
		gone.items = append(gone.items, fields("instanceId", id, "currentState", fields("code", 48, "name", ec2Terminated)))
	}
	s.touched[""] = true
	return fields("instancesSet", gone), s.machines.Terminate(context.Background(), in.texts("InstanceId"))
}
