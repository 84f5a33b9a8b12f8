package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/bake/ami"
)

// parameter is one in the fake.
type parameter struct {
	Value, Type, DataType string
	tags                  map[string]string
	version               int
}

// fakeAWS is one region's EC2 (query protocol) and SSM (JSON), as far as
// publishing asks them.
type fakeAWS struct {
	mu          sync.Mutex
	parameters  map[string]*parameter
	versions    []string // images of the versions of the template "web", lt-0123456789abcdef0
	defaultOne  int
	deprecated  map[string]string // image → time
	refuse      map[string]string
	slow        int // how often a new value does not show
	writes      []string
	putRequests []map[string]any
}

type still struct{ t time.Time }

func (c *still) Now() time.Time { return c.t }
func (c *still) Sleep(ctx context.Context, d time.Duration) error {
	c.t = c.t.Add(d)
	return context.Cause(ctx)
}

const templateID = "lt-0123456789abcdef0"

// newWorld makes fakes of two regions; the template is in home alone.
func newWorld(t *testing.T) (map[string]*fakeAWS, Publisher) {
	t.Helper()
	fakes, apis := map[string]*fakeAWS{}, map[string]API{}
	key := credentials.NewStaticCredentialsProvider("k", "s", "")
	for _, region := range []string{"home", "away"} {
		f := &fakeAWS{parameters: map[string]*parameter{}, deprecated: map[string]string{}, refuse: map[string]string{}, defaultOne: 1}
		if region == "home" {
			f.versions = []string{"ami-first", "ami-old"}
		}
		srv := httptest.NewServer(f)
		t.Cleanup(srv.Close)
		fakes[region] = f
		apis[region] = API{EC2: ec2.New(ec2.Options{Region: region, BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{}, Credentials: key}),
			SSM: ssm.New(ssm.Options{Region: region, BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{}, Credentials: key})}
	}
	return fakes, Publisher{Region: func(r string) API { return apis[r] }, Clock: &still{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}, Say: func(string) {}}
}

func target() Target {
	return Target{Places: []Place{{"home", "ami-new"}, {"away", "ami-copy"}}, Owner: "arn:me",
		Image: ami.Image{ID: "ami-new", Role: "web", BakeID: "B5", Arch: "x86_64"}}
}

func everything() Wishes {
	return Wishes{Parameters: []string{"/ami/web/current", "/ami/web/next"}, LaunchTemplate: "web", MakeDefault: true, Deprecate: true, After: time.Hour}
}

func (f *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		_, action, _ := strings.Cut(target, ".")
		var in map[string]any
		if err := json.Unmarshal(body, &in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		out, code := f.ssm(action, in)
		if code != "" {
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]any{"__type": code, "message": "no"}
		}
		_ = json.NewEncoder(w).Encode(out)
		return
	}
	p, err := url.ParseQuery(string(body))
	action := p.Get("Action")
	out, code := f.ec2(action, p)
	if err != nil || code != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors></Response>", code)
		return
	}
	fmt.Fprintf(w, "<%sResponse>%s</%sResponse>", action, out, action)
}

func (f *fakeAWS) ssm(action string, in map[string]any) (map[string]any, string) {
	if code := f.refuse[action]; code != "" {
		return nil, code
	}
	name, _ := in["Name"].(string)
	have := f.parameters[name]
	switch action {
	case "GetParameter":
		if have == nil {
			return nil, "ParameterNotFound"
		}
		value := have.Value
		if f.slow > 0 && have.version > 1 {
			f.slow--
			value = "ami-not-yet"
		}
		return map[string]any{"Parameter": map[string]any{"Name": name, "Value": value, "Type": have.Type, "DataType": have.DataType, "Version": have.version}}, ""
	case "AddTagsToResource":
		f.writes = append(f.writes, action)
		for _, t := range in["Tags"].([]any) {
			m := t.(map[string]any)
			f.parameters[in["ResourceId"].(string)].tags[m["Key"].(string)] = m["Value"].(string)
		}
		return map[string]any{}, ""
	}
	overwrite, _ := in["Overwrite"].(bool)
	tags, _ := in["Tags"].([]any)
	switch {
	case overwrite && len(tags) > 0:
		return nil, "ValidationException"
	case have != nil && !overwrite:
		return nil, "ParameterAlreadyExists"
	case have == nil:
		have = &parameter{tags: map[string]string{}}
		f.parameters[name] = have
	}
	f.writes, f.putRequests = append(f.writes, action+" "+name), append(f.putRequests, in)
	have.Value, have.Type, have.DataType = in["Value"].(string), in["Type"].(string), in["DataType"].(string)
	have.version++
	for _, t := range tags {
		m := t.(map[string]any)
		have.tags[m["Key"].(string)] = m["Value"].(string)
	}
	return map[string]any{"Version": have.version}, ""
}

func (f *fakeAWS) ec2(action string, p url.Values) (body, code string) {
	if code := f.refuse[action]; code != "" {
		return "", code
	}
	item := func(s string) string { return "<item>" + s + "</item>" }
	switch action {
	case "DescribeLaunchTemplates":
		if p.Get("LaunchTemplateId.1") != "" && p.Get("LaunchTemplateId.1") != templateID {
			return "", "InvalidLaunchTemplateId.NotFound"
		}
		if len(f.versions) == 0 || p.Get("Filter.1.Value.1") != "" && p.Get("Filter.1.Value.1") != "web" {
			return "<launchTemplates/>", ""
		}
		return "<launchTemplates>" + item(fmt.Sprintf("<launchTemplateId>%s</launchTemplateId><launchTemplateName>web</launchTemplateName><latestVersionNumber>%d</latestVersionNumber><defaultVersionNumber>%d</defaultVersionNumber>",
			templateID, len(f.versions), f.defaultOne)) + "</launchTemplates>", ""
	case "DescribeLaunchTemplateVersions":
		n, err := strconv.Atoi(p.Get("LaunchTemplateVersion.1"))
		if err != nil || n > len(f.versions) {
			return "", "InvalidLaunchTemplateId.VersionNotFound"
		}
		return "<launchTemplateVersionSet>" + item("<launchTemplateData><imageId>"+f.versions[n-1]+"</imageId></launchTemplateData>") + "</launchTemplateVersionSet>", ""
	case "CreateLaunchTemplateVersion":
		f.writes = append(f.writes, action+" from "+p.Get("SourceVersion"))
		f.versions = append(f.versions, p.Get("LaunchTemplateData.ImageId"))
		return fmt.Sprintf("<launchTemplateVersion><versionNumber>%d</versionNumber></launchTemplateVersion>", len(f.versions)), ""
	case "ModifyLaunchTemplate":
		f.writes = append(f.writes, action)
		f.defaultOne, _ = strconv.Atoi(p.Get("SetDefaultVersion"))
		return "", ""
	case "EnableImageDeprecation":
		f.writes = append(f.writes, action+" "+p.Get("ImageId"))
		f.deprecated[p.Get("ImageId")] = p.Get("DeprecateAt")
		return "<return>true</return>", ""
	case "DescribeImages":
		out := ""
		for id, bake := range map[string]string{"ami-old": "B3", "ami-older": "B2", "ami-newer": "B6"} {
			out += item("<imageId>" + id + "</imageId><imageState>available</imageState><architecture>x86_64</architecture><deprecationTime>" + f.deprecated[id] +
				"</deprecationTime><tagSet><item><key>bakehouse:role</key><value>web</value></item><item><key>bakehouse:bake-id</key><value>" + bake + "</value></item></tagSet>")
		}
		return "<imagesSet>" + out + "</imagesSet>", ""
	}
	return "", "InvalidAction"
}
