package publish

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
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
	"bakehouse/internal/fault"
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

// published plans and applies.
func published(t *testing.T, p Publisher, w Wishes) (Plan, error) {
	t.Helper()
	plan, err := p.Plan(t.Context(), w, target())
	if err != nil {
		t.Fatal(err)
	}
	return p.Apply(t.Context(), plan)
}

func TestPublishingWritesAllThereIsAndTwiceIsOnce(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	home, away := fakes["home"], fakes["away"]
	home.parameters["/ami/web/current"] = &parameter{Value: "ami-old", Type: "String", DataType: "aws:ec2:image", version: 4, tags: map[string]string{}}
	plan, err := published(t, p, everything())
	if err != nil {
		t.Fatal(err)
	}
	if c := plan.Changes[0]; c.Was != "ami-old" || c.Now != "ami-new" || c.Version != 5 || c.Result != Done {
		t.Errorf("the first change is reported as %+v", c)
	}
	if home.parameters["/ami/web/current"].Value != "ami-new" || away.parameters["/ami/web/current"].Value != "ami-copy" || away.parameters["/ami/web/next"].DataType != "aws:ec2:image" {
		t.Errorf("parameters: %+v %+v", home.parameters, away.parameters)
	}
	for name, par := range home.parameters {
		if par.tags[ami.TagRole] != "web" || par.tags[ami.TagBakeID] != "B5" {
			t.Errorf("%s has the tags %v", name, par.tags)
		}
	}
	if !slices.Equal(home.versions, []string{"ami-first", "ami-old", "ami-new"}) || home.defaultOne != 3 || !slices.Contains(home.writes, "CreateLaunchTemplateVersion from 2") {
		t.Errorf("template: %v, default %d, %v", home.versions, home.defaultOne, home.writes)
	}
	if len(home.deprecated) != 2 || home.deprecated["ami-old"] != "2026-11-23T13:00:00Z" || home.deprecated["ami-newer"] != "" {
		t.Errorf("deprecated: %v", home.deprecated)
	}
	home.writes, away.writes = nil, nil
	again, err := published(t, p, everything())
	if err != nil || len(home.writes)+len(away.writes) > 0 || !again.Empty() {
		t.Errorf("publishing again: %v, wrote %v %v\n%s", err, home.writes, away.writes, again.Text())
	}
}

func TestWhatIsOldIsTouchedLast(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	if _, err := published(t, p, everything()); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, w := range fakes["home"].writes {
		word, _, _ := strings.Cut(w, " ")
		order = append(order, word)
	}
	want := []string{"PutParameter", "PutParameter", "CreateLaunchTemplateVersion", "ModifyLaunchTemplate", "EnableImageDeprecation", "EnableImageDeprecation"}
	if !slices.Equal(order, want) {
		t.Errorf("wrote %v", order)
	}
}

func TestAFailureSaysWhatIsDoneAndTheNextRunFinishes(t *testing.T) {
	t.Parallel()
	for action, done := range map[string]string{"PutParameter": "done: nothing", "CreateLaunchTemplateVersion": "done: parameter /ami/web/current (home)",
		"ModifyLaunchTemplate": "not done: launch template web (home), predecessor", "EnableImageDeprecation": "launch template web (home); not done: predecessor ami-old"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			fakes, p := newWorld(t)
			fakes["home"].refuse[action] = "UnauthorizedOperation"
			plan, err := published(t, p, everything())
			if fault.KindOf(err) != fault.Unpublished || !strings.Contains(err.Error(), done) || !strings.Contains(fault.NextOf(err), action) || plan.Empty() {
				t.Fatalf("%v (%s), want %q", err, fault.NextOf(err), done)
			}
			if action != "EnableImageDeprecation" && len(fakes["home"].deprecated) > 0 {
				t.Errorf("an earlier image was deprecated before the new one was published")
			}
			delete(fakes["home"].refuse, action)
			if plan, err = published(t, p, everything()); err != nil || !plan.Empty() || fakes["home"].defaultOne != len(fakes["home"].versions) || len(fakes["home"].versions) != 3 {
				t.Errorf("the second run: %v, versions %v\n%s", err, fakes["home"].versions, plan.Text())
			}
		})
	}
}

func TestAParameterThatAppearsMeanwhileIsOverwritten(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	plan, err := p.Plan(t.Context(), Wishes{Parameters: []string{"/x"}}, target())
	if err != nil {
		t.Fatal(err)
	}
	fakes["home"].parameters["/x"] = &parameter{Value: "ami-else", Type: "String", DataType: "aws:ec2:image", version: 1, tags: map[string]string{}}
	if _, err = p.Apply(t.Context(), plan); err != nil || fakes["home"].parameters["/x"].Value != "ami-new" || fakes["home"].parameters["/x"].tags[ami.TagRole] != "web" {
		t.Errorf("%v: %+v", err, fakes["home"].parameters["/x"])
	}
}

func TestAValueIsWaitedForUntilItShows(t *testing.T) {
	t.Parallel()
	old := func() *parameter {
		return &parameter{Value: "ami-old", Type: "String", DataType: "aws:ec2:image", version: 1, tags: map[string]string{}}
	}
	fakes, p := newWorld(t)
	fakes["home"].parameters["/x"], fakes["home"].slow = old(), 4
	if _, err := published(t, p, Wishes{Parameters: []string{"/x"}}); err != nil {
		t.Errorf("a value that shows late: %v", err)
	}
	fakes, p = newWorld(t)
	fakes["home"].parameters["/x"], fakes["home"].slow = old(), 1000
	if _, err := published(t, p, Wishes{Parameters: []string{"/x"}}); fault.KindOf(err) != fault.Unpublished || !strings.Contains(err.Error(), "does not show it") {
		t.Errorf("a value that SSM drops: %v", err)
	}
}

func TestATextParameterStaysOne(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	fakes["home"].parameters["/x"] = &parameter{Value: "ami-old", Type: "String", DataType: "text", version: 1, tags: map[string]string{}}
	if _, err := published(t, p, Wishes{Parameters: []string{"/x"}}); err != nil || fakes["home"].parameters["/x"].DataType != "text" {
		t.Errorf("%v: %+v", err, fakes["home"].parameters["/x"])
	}
}

func TestWishesThatCannotBeMetAreRefusedBeforeAnyChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		w       Wishes
		prepare func(*fakeAWS)
		want    string
	}{
		"no such template": {Wishes{LaunchTemplate: "db"}, func(*fakeAWS) {}, "no launch template db"},
		"no such id":       {Wishes{LaunchTemplate: "lt-00000000"}, func(*fakeAWS) {}, "no launch template lt-00000000"},
		"a secret": {Wishes{Parameters: []string{"/x"}}, func(f *fakeAWS) {
			f.parameters["/x"] = &parameter{Value: "s", Type: "SecureString", DataType: "text"}
		}, "SecureString"},
	} {
		fakes, p := newWorld(t)
		c.prepare(fakes["home"])
		_, err := p.Plan(t.Context(), c.w, target())
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), c.want) || len(fakes["home"].writes) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWishesAreCheckedWithoutAskingAnybody(t *testing.T) {
	t.Parallel()
	for want, w := range map[string]Wishes{
		"no name of an SSM":   {Parameters: []string{"/a b"}},
		"begins with /":       {Parameters: []string{"a/b"}},
		"AWS's own":           {Parameters: []string{"/aws/x"}},
		"given twice":         {Parameters: []string{"/x", "/x"}},
		"neither id nor name": {LaunchTemplate: "a b"},
		"no launch template":  {MakeDefault: true},
	} {
		if err := w.Check(); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), want) || fault.NextOf(err) == "" {
			t.Errorf("%+v: %v, want %q", w, err, want)
		}
	}
	if err := everything().Check(); err != nil {
		t.Error(err)
	}
}

func TestPredecessorsAreTheRolesEarlierImagesOfTheSameKind(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	of := ami.Image{ID: "ami-new", Role: "web", BakeID: "B5", Arch: "x86_64", Environment: "prod"}
	old := func(change func(*ami.Image)) ami.Image {
		k := ami.Image{ID: "ami-x", Role: "web", BakeID: "B1", Arch: "x86_64", Environment: "prod", State: "available"}
		change(&k)
		return k
	}
	for name, c := range map[string]struct {
		k    ami.Image
		want string // result and part of the reason; empty: not even named
	}{
		"earlier":              {old(func(*ami.Image) {}), "planned earlier image"},
		"the image":            {old(func(k *ami.Image) { k.ID = "ami-new" }), ""},
		"its copy":             {old(func(k *ami.Image) { k.BakeID = "B5" }), ""},
		"another role":         {old(func(k *ami.Image) { k.Role = "db" }), ""},
		"newer":                {old(func(k *ami.Image) { k.BakeID = "B6" }), "unchanged newer"},
		"another architecture": {old(func(k *ami.Image) { k.Arch = "arm64" }), "unchanged architecture"},
		"another environment":  {old(func(k *ami.Image) { k.Environment = "" }), "unchanged environment"},
		"unfinished":           {old(func(k *ami.Image) { k.Unfinished = true }), "unchanged sweep"},
		"deprecated before":    {old(func(k *ami.Image) { k.Deprecated = at.Add(-time.Hour) }), "unchanged is deprecated"},
		"deprecated too late":  {old(func(k *ami.Image) { k.Deprecated = at.Add(time.Hour) }), "planned deprecated at 2026-12-01"},
	} {
		got := Predecessors([]ami.Image{c.k}, of, Place{"home", "ami-new"}, at)
		if c.want == "" {
			if len(got) > 0 {
				t.Errorf("%s: %+v", name, got)
			}
			continue
		}
		result, why, _ := strings.Cut(c.want, " ")
		if len(got) != 1 || got[0].Result != result || !strings.Contains(got[0].Reason, why) {
			t.Errorf("%s: %+v, want %s", name, got, c.want)
		}
	}
}

func TestAnInterruptedRunStopsBetweenChanges(t *testing.T) {
	t.Parallel()
	fakes, p := newWorld(t)
	plan, err := p.Plan(t.Context(), everything(), target())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("terminated"))
	plan, err = p.Apply(ctx, plan)
	if fault.KindOf(err) != fault.Unpublished || !strings.Contains(err.Error(), "terminated") || len(fakes["home"].writes) > 0 || plan.Changes[0].Result != NotTried {
		t.Errorf("%v, wrote %v", err, fakes["home"].writes)
	}
}
