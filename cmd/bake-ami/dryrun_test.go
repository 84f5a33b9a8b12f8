package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"bakehouse/bake"
	"bakehouse/internal/agentconf"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

// shelf is S3 with one bucket; what it is asked for and has not is missing,
// unless code says otherwise.
type shelf struct {
	bucket string
	keys   []string
	code   string
}

func (s shelf) HeadBucket(_ context.Context, in *s3.HeadBucketInput, _ ...func(*s3.Options)) (*s3.HeadBucketOutput, error) {
	return nil, s.answer(aws.ToString(in.Bucket) == s.bucket)
}

func (s shelf) HeadObject(_ context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	return nil, s.answer(strings.Contains(strings.Join(s.keys, " "), aws.ToString(in.Key)))
}

func (s shelf) answer(there bool) error {
	switch {
	case s.code != "":
		return &smithy.GenericAPIError{Code: s.code, Message: "m"}
	case there:
		return nil
	}
	return &smithy.GenericAPIError{Code: "NotFound", Message: "m"}
}

// dryEC2 answers dry runs as allowed, but for one action.
func dryEC2(t *testing.T, refused string) *ec2.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || r.Form.Get("DryRun") != "true" {
			t.Errorf("%s is called for real", r.Form.Get("Action"))
		}
		code := "DryRunOperation"
		if r.Form.Get("Action") == refused {
			code = "UnauthorizedOperation"
		}
		w.WriteHeader(http.StatusPreconditionFailed)
		fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>m</Message></Error></Errors></Response>", code)
	}))
	t.Cleanup(srv.Close)
	return ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")})
}

// tried is one dry run of plans with an app.
func tried(t *testing.T, store objects, refused string, output cliapp.Output, plans int) (string, error) {
	t.Helper()
	var out bytes.Buffer
	d := deps{Process: cliapp.Process{Stdout: &out}, objects: func(context.Context, *options) (objects, error) { return store, nil }}
	p := bake.Plan{BakeID: "B1", Recipe: bake.Recipe{Role: "web", Roles: []string{"web"}, Environment: "prod", AgentEnv: map[string]string{"HTTPS_PROXY": "http://me:hunter2@proxy"}, Cookbooks: map[string]string{"web": "1.2.3"},
		Agent: agentconf.Config{App: &agentconf.App{Name: "web", Bucket: "builds", Channel: "production"}}}}
	p.Launch.Placement.InstanceType = "t3.small"
	all := []bake.Plan{p, p}
	err := d.tryPlans(t.Context(), bake.World{EC2: dryEC2(t, refused)}, options{output: output}, all[:plans])
	return out.String(), err
}

func TestADryRunTellsRightsAndWhatIsThere(t *testing.T) {
	t.Parallel()
	full := shelf{bucket: "builds", keys: []string{"web/channels/production.json"}}
	text, err := tried(t, full, "", cliapp.Plain, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"check        role web ", "cookbook web 1.2.3", "environment prod", "bucket builds ", "channel production of app web ", "right        ec2:RunInstances ", " allowed"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	text, err = tried(t, full, "", cliapp.JSON, 1)
	var one struct {
		BakeID string `json:"bake_id"`
		Checks []found
		Rights []bake.Right
	}
	if uerr := json.Unmarshal([]byte(text), &one); err != nil || uerr != nil || one.BakeID != "B1" || strings.Contains(text, "hunter2") || len(one.Checks) != 6 || len(one.Rights) < 10 {
		t.Errorf("%v, %v: %+v", err, uerr, one)
	}
	var two []json.RawMessage
	if text, err = tried(t, full, "", cliapp.JSON, 2); err != nil || json.Unmarshal([]byte(text), &two) != nil || len(two) != 2 {
		t.Errorf("two roles: %v\n%s", err, text)
	}
}

func TestADryRunFailsForWhatIsRefusedOrMissing(t *testing.T) {
	t.Parallel()
	full := shelf{bucket: "builds", keys: []string{"web/channels/production.json"}}
	for name, c := range map[string]struct {
		store   shelf
		refused string
		kind    fault.Kind
		says    string
	}{
		"refused":             {full, "RunInstances", fault.AWS, "refused are ec2:RunInstances"},
		"no bucket":           {shelf{}, "", fault.Check, "there is no bucket builds"},
		"no channel":          {shelf{bucket: "builds"}, "", fault.Check, "no channel production of app web"},
		"both: rights first":  {shelf{}, "CreateImage", fault.AWS, "refused are ec2:CreateImage"},
		"may not look: go on": {shelf{code: "AccessDenied"}, "", fault.Internal, ""},
		"S3 is down: go on":   {shelf{code: "InternalError"}, "", fault.Internal, ""},
	} {
		text, err := tried(t, c.store, c.refused, cliapp.Plain, 1)
		if (err == nil) != (c.says == "") || err != nil && (fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) || fault.NextOf(err) == "") {
			t.Errorf("%s: %v (kind %v)", name, err, fault.KindOf(err))
		}
		if !strings.Contains(text, "right ") {
			t.Errorf("%s: the plan is not printed", name)
		}
	}
}
