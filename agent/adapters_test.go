package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"bakehouse/internal/fault"
)

// metadataService plays IMDSv2: a token first, then a tree.
func metadataService(t *testing.T, tree map[string]string) *IMDS {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" {
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "300")
			fmt.Fprint(w, "token")
			return
		}
		if r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		value, ok := tree[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, value)
	}))
	t.Cleanup(srv.Close)
	return NewIMDS(srv.URL)
}

const identityDocument = `{"accountId":"123456789012","availabilityZone":"eu-west-1a","imageId":"ami-1","instanceId":"i-1","instanceType":"t3.micro","privateIp":"10.0.0.1","region":"eu-west-1","version":"2017-09-30"}`

func TestIMDSReadsIdentityAndTags(t *testing.T) {
	t.Parallel()
	m := metadataService(t, map[string]string{
		"/latest/meta-data/instance-id":                             "i-1",
		"/latest/dynamic/instance-identity/document":                identityDocument,
		"/latest/meta-data/tags/instance":                           "Name\naws:autoscaling:groupName\ngone",
		"/latest/meta-data/tags/instance/Name":                      "web 1",
		"/latest/meta-data/tags/instance/aws:autoscaling:groupName": "web-asg",
	})
	id, err := m.Identity(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if id.InstanceID != "i-1" || id.Region != "eu-west-1" || id.Zone != "eu-west-1a" || id.Group() != "web-asg" || id.Tags["Name"] != "web 1" || len(id.Tags) != 2 {
		t.Errorf("identity is %+v", id)
	}
	if got, err := m.InstanceID(context.Background()); got != "i-1" || err != nil {
		t.Errorf("instance id is %q, %v", got, err)
	}
}

func TestIMDSWithoutTags(t *testing.T) {
	t.Parallel()
	m := metadataService(t, map[string]string{"/latest/dynamic/instance-identity/document": identityDocument})
	id, err := m.Identity(context.Background())
	if err != nil || id.Tags != nil || id.Group() != "" {
		t.Errorf("identity is %+v, %v; want no tags and no error", id, err)
	}
}

// cloudAt makes a real Cloud that talks to a server of the test's.
func cloudAt(t *testing.T, h http.HandlerFunc) Cloud {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return NewCloud(AWS{Region: "eu-west-1", Endpoint: srv.URL, Keys: aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET", SessionToken: "SESSION"}, Agent: "bakehouse-boot-agent/1.2.3"})
}

func TestSecretsAreFetchedSigned(t *testing.T) {
	t.Parallel()
	c := cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		auth := r.Header.Get("Authorization")
		var in map[string]any
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Errorf("request body: %v", err)
		}
		switch target := r.Header.Get("X-Amz-Target"); {
		case r.Header.Get("User-Agent") != "bakehouse-boot-agent/1.2.3":
			t.Errorf("User-Agent is %q", r.Header.Get("User-Agent"))
		case r.Header.Get("X-Amz-Security-Token") != "SESSION":
			t.Error("the session token is missing")
		case target == "AmazonSSM.GetParameter" && in["Name"] == "/chef/validator" && in["WithDecryption"] == true && strings.Contains(auth, "/eu-west-1/ssm/aws4_request"):
			fmt.Fprint(w, `{"Parameter":{"Value":"from ssm"}}`)
		case target == "secretsmanager.GetSecretValue" && in["SecretId"] == "text" && strings.Contains(auth, "/eu-west-1/secretsmanager/aws4_request"):
			fmt.Fprint(w, `{"SecretString":"from manager"}`)
		case target == "secretsmanager.GetSecretValue" && in["SecretId"] == "binary":
			fmt.Fprint(w, `{"SecretBinary":"YnluYXJ5"}`)
		default:
			t.Errorf("unexpected request %s %v signed %s", target, in, auth)
		}
	})
	for ref, want := range map[string]string{"ssm:/chef/validator": "from ssm", "secretsmanager:text": "from manager", "secretsmanager:binary": "bynary"} {
		got, err := c.Secrets.Fetch(context.Background(), ref)
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v; want %q", ref, got, err, want)
		}
	}
}

func TestSecretThatIsRefused(t *testing.T) {
	t.Parallel()
	c := cloudAt(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"com.amazonaws.ssm#AccessDeniedException","message":"no right"}`)
	})
	_, err := c.Secrets.Fetch(context.Background(), "ssm:/chef/validator")
	var code interface{ ErrorCode() string }
	if fault.KindOf(err) != fault.AWS || !errors.As(err, &code) || code.ErrorCode() != "AccessDeniedException" || !strings.Contains(err.Error(), "no right") {
		t.Errorf("error is %v", err)
	}
	if !strings.Contains(fault.NextOf(err), "/chef/validator") {
		t.Errorf("next step is %q", fault.NextOf(err))
	}
}

func TestAnswerThatIsNoJSONDoesNotLeak(t *testing.T) {
	t.Parallel()
	c := cloudAt(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "PRIVATE KEY") })
	if _, err := c.Secrets.Fetch(context.Background(), "ssm:/x"); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("error is %v; want one without the answer's text", err)
	}
}

func TestAKeyBakedIntoTheImageIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "validator.pem")
	if err := os.WriteFile(path, []byte("key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, memory := range []bool{true, false} {
		s := &secrets{inMemory: func(string) (bool, error) { return memory, nil }}
		got, err := s.Fetch(context.Background(), "file:"+path)
		if memory && (err != nil || string(got) != "key") {
			t.Errorf("on a tmpfs: %q, %v", got, err)
		}
		if !memory && (fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "not on a tmpfs")) {
			t.Errorf("on a disk: %q, %v; want it refused", got, err)
		}
	}
}

func TestReferencesToSecrets(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "ssm:", "file:relative", "/etc/key.pem", "http://x"} {
		if _, _, err := splitRef(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestObjectsAreRead(t *testing.T) {
	t.Parallel()
	c := cloudAt(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/builds/web/channels/production.json" {
			t.Errorf("asked for %s, want the path style", r.URL.Path)
		}
		if agent := r.Header.Get("User-Agent"); !strings.Contains(agent, "bakehouse-boot-agent/1.2.3") {
			t.Errorf("User-Agent is %q", agent)
		}
		fmt.Fprint(w, "content")
	})
	r, err := c.Store.Open(context.Background(), "builds", "web/channels/production.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); string(b) != "content" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestObjectsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for code, tc := range map[string]struct {
		status  int
		kind    fault.Kind
		missing bool
	}{
		"NoSuchKey":    {http.StatusNotFound, fault.Internal, true},
		"NoSuchBucket": {http.StatusNotFound, fault.Usage, false},
		"AccessDenied": {http.StatusForbidden, fault.AWS, false},
	} {
		c := cloudAt(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>a long text</Message><RequestId>1</RequestId></Error>`, code)
		})
		_, err := c.Store.Open(context.Background(), "builds", "key")
		if fault.KindOf(err) != tc.kind || errors.Is(err, ErrNoObject) != tc.missing {
			t.Errorf("%s: error is %v (kind %d)", code, err, fault.KindOf(err))
		}
		if text := fmt.Sprint(err); !strings.Contains(text, "s3://builds/key") || !strings.Contains(text, code) || strings.Contains(text, "RequestID") {
			t.Errorf("%s: error reads %q, want object and code alone", code, text)
		}
	}
}

func TestParameterThatIsNotThereIsFinal(t *testing.T) {
	t.Parallel()
	c := cloudAt(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ParameterNotFound"}`)
	})
	_, err := c.Secrets.Fetch(context.Background(), "ssm:/chef/validator")
	if fault.KindOf(err) != fault.AWS || !isFinal(err) || !strings.Contains(fault.NextOf(err), "store the validator's key") {
		t.Errorf("error is %v, final %v, next %q", err, isFinal(err), fault.NextOf(err))
	}
}

func TestExecReportsHowAProgramEnded(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := Exec{}.Run(context.Background(), Command{Path: "sh", Args: []string{"-c", `echo "$GREETING"; echo err >&2; exit 37`}, Env: []string{"GREETING=hello"}, Out: &out})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 37 || out.String() != "hello\nerr\n" {
		t.Errorf("ended with %v and said %q", err, out.String())
	}
	if err := (Exec{}).Run(context.Background(), Command{Path: "sh", Args: []string{"-c", "kill -9 $$"}}); !errors.As(err, &exit) || exit.Code != 137 {
		t.Errorf("a killed program ended with %v, want 137", err)
	}
	if err := (Exec{}).Run(context.Background(), Command{Path: "/nonexistent"}); err == nil || errors.As(err, &exit) && exit.Code != 137 {
		t.Errorf("a program that is not there ended with %v", err)
	}
}

func TestExecStopsAProgramAndItsChildren(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	go func() {
		_, _ = io.ReadFull(pr, make([]byte, len("ready\n")))
		cancel()
		_, _ = io.Copy(io.Discard, pr)
	}()
	err := Exec{}.Run(ctx, Command{Path: "sh", Args: []string{"-c", "echo ready; sleep 1000 & wait"}, Out: pw})
	_ = pw.Close()
	if !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want the context's error", err)
	}
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	bytes, _, _, err := Filesystem{}.Free(t.TempDir())
	if err != nil || bytes == 0 {
		t.Errorf("free space is %d, %v", bytes, err)
	}
	if err := (Filesystem{}).Chown(t.TempDir(), "nobody-of-that-name"); err == nil {
		t.Error("chown to a user that does not exist succeeded")
	}
}
