package retain

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// fakeAWS answers the calls of retention: EC2 and Auto Scaling by the query
// protocol, Systems Manager by JSON.
type fakeAWS struct {
	mu        sync.Mutex
	images    []string // ids, the first the newest; each a day older than the one before
	instances map[string]string
	// versions are launch template versions: "TEMPLATE NUMBER" → image.
	versions   map[string]string
	groups     []string          // XML of the groups
	parameters map[string]string // of the data type aws:ec2:image
	told       map[string]string // image → what DescribeImageReferences says
	shared     map[string]string // image → account
	snapshots  []string          // that are there
	refuse     map[string]string // action → error code
	calls      []string
	onCall     func(action string)
}

// still is a clock that moves only when somebody sleeps.
type still struct{ t time.Time }

func (c *still) Now() time.Time { return c.t }
func (c *still) Sleep(_ context.Context, d time.Duration) error {
	c.t = c.t.Add(d)
	return nil
}

func newFake(t *testing.T) (*fakeAWS, Pruner) {
	t.Helper()
	f := &fakeAWS{instances: map[string]string{}, versions: map[string]string{}, parameters: map[string]string{}, told: map[string]string{},
		shared: map[string]string{}, refuse: map[string]string{}}
	for _, id := range []string{"ami-1", "ami-2", "ami-3", "ami-4", "ami-5"} {
		f.images, f.snapshots = append(f.images, id), append(f.snapshots, "snap-"+id)
	}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	key := credentials.NewStaticCredentialsProvider("k", "s", "")
	api := API{EC2: ec2.New(ec2.Options{Region: "r", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{}, Credentials: key}),
		Groups: autoscaling.New(autoscaling.Options{Region: "r", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{}, Credentials: key}),
		SSM:    ssm.New(ssm.Options{Region: "r", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{}, Credentials: key})}
	return f, Pruner{Region: func(string) API { return api }, Clock: &still{date()}, Say: func(string) {}}
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
		f.json(w, action, body)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	action := form.Get("Action")
	if code := f.call(action); code != "" {
		w.WriteHeader(http.StatusBadRequest)
		shape := "<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors></Response>"
		if strings.Contains(action, "AutoScaling") {
			shape = "<ErrorResponse><Error><Code>%s</Code><Message>no</Message></Error></ErrorResponse>"
		}
		fmt.Fprintf(w, shape, code)
		return
	}
	out, code := f.answer(action, form)
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>no</Message></Error></Errors></Response>", code)
		return
	}
	if strings.Contains(action, "AutoScaling") || strings.Contains(action, "LaunchConf") {
		out = "<" + action + "Result>" + out + "</" + action + "Result>"
	}
	fmt.Fprintf(w, "<%sResponse>%s</%sResponse>", action, out, action)
}

func (f *fakeAWS) call(action string) (refuse string) {
	f.calls = append(f.calls, action)
	if f.onCall != nil {
		f.onCall(action)
	}
	return f.refuse[action]
}

func (f *fakeAWS) json(w http.ResponseWriter, action string, body []byte) {
	if code := f.call(action); code != "" {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":%q}`, code)
		return
	}
	var in struct {
		Names            []string
		ParameterFilters []struct{ Key string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	list := []map[string]any{}
	for name, value := range f.parameters {
		if action == "GetParameters" && slices.Contains(in.Names, name) || action == "DescribeParameters" && in.ParameterFilters[0].Key == "DataType" && !strings.HasPrefix(name, "/resolved") {
			list = append(list, map[string]any{"Name": name, "Value": value, "Version": 3})
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(map[string]any{"Parameters": list})
}

func (f *fakeAWS) answer(action string, p url.Values) (body, code string) {
	var b strings.Builder
	item := func(format string, args ...any) { fmt.Fprintf(&b, "<item>"+format+"</item>", args...) }
	switch action {
	case "DescribeImages":
		for i, id := range f.images {
			if p.Get("Filter.1.Name") == "image-id" && !strings.Contains(p.Encode(), id) {
				continue
			}
			item(`<imageId>%s</imageId><imageState>available</imageState><creationDate>%s</creationDate><tagSet><item><key>bakehouse:role</key><value>web</value></item><item><key>bakehouse:bake-id</key><value>b%d</value></item></tagSet>`+
				`<blockDeviceMapping><item><ebs><snapshotId>snap-%s</snapshotId></ebs></item></blockDeviceMapping>`, id, date().Add(-time.Duration(i+1)*day).Format(time.RFC3339), 9-i, id)
		}
		return "<imagesSet>" + b.String() + "</imagesSet>", ""
	case "DescribeInstances":
		for id, image := range f.instances {
			item("<instancesSet><item><instanceId>%s</instanceId><imageId>%s</imageId></item></instancesSet>", id, image)
		}
		return "<reservationSet>" + b.String() + "</reservationSet>", ""
	case "DescribeLaunchTemplateVersions":
		return f.templateVersions(p)
	case "DescribeAutoScalingGroups":
		return "<AutoScalingGroups>" + strings.Join(f.groups, "") + "</AutoScalingGroups>", ""
	case "DescribeLaunchConfigurations":
		return "<LaunchConfigurations><member><LaunchConfigurationName>old</LaunchConfigurationName><ImageId>ami-5</ImageId></member></LaunchConfigurations>", ""
	case "DescribeImageReferences":
		for image, what := range f.told {
			item("<imageId>%s</imageId><resourceType>imagebuilder:ImageRecipe</resourceType><arn>%s</arn>", image, what)
		}
		return "<imageReferenceSet>" + b.String() + "</imageReferenceSet>", ""
	case "DescribeImageAttribute":
		if who := f.shared[p.Get("ImageId")]; who != "" {
			return "<launchPermission><item><userId>" + who + "</userId></item></launchPermission>", ""
		}
		return "", ""
	case "DeregisterImage":
		f.images = slices.DeleteFunc(f.images, func(id string) bool { return id == p.Get("ImageId") })
		return "<return>true</return>", "" // as moto: the snapshots stay
	case "DeleteSnapshot":
		f.snapshots = slices.DeleteFunc(f.snapshots, func(id string) bool { return id == p.Get("SnapshotId") })
		return "<return>true</return>", ""
	}
	return "", "InvalidAction"
}

func (f *fakeAWS) templateVersions(p url.Values) (body, code string) {
	one := p.Get("LaunchTemplateId")
	var b strings.Builder
	for key, image := range f.versions {
		template, number, _ := strings.Cut(key, " ")
		latest := number != "1" // in this fake, version 1 is an old one
		if one == "" && latest || template == one && p.Get("LaunchTemplateVersion.1") == number {
			fmt.Fprintf(&b, "<item><launchTemplateName>%s</launchTemplateName><versionNumber>%s</versionNumber><launchTemplateData><imageId>%s</imageId></launchTemplateData></item>", template, number, image)
		}
	}
	if one != "" && b.Len() == 0 {
		return "", "InvalidLaunchTemplateId.VersionNotFound"
	}
	return "<launchTemplateVersionSet>" + b.String() + "</launchTemplateVersionSet>", ""
}

// called says how often an action was called.
func (f *fakeAWS) called(action string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == action {
			n++
		}
	}
	return n
}
