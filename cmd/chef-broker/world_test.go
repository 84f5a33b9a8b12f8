package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"bakehouse/internal/fault"
)

const (
	homeAccount  = "123456789012"
	otherAccount = "210987654321"
	otherRole    = "arn:aws:iam::210987654321:role/bakehouse-broker"
	theirs       = "i-0123456789abcdef0"
)

// cloud plays STS, EC2 and the Parameter Store of two accounts: which one is
// told by the key that signs.
type cloud struct {
	mu    sync.Mutex
	calls []string // "KEY ACTION …"
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ := strings.Cut(rest, "/")
	c.mu.Lock()
	defer c.mu.Unlock()
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		c.parameter(w, key, body)
		return
	}
	form, _ := url.ParseQuery(string(body))
	c.calls = append(c.calls, key+" "+form.Get("Action")+" "+form.Get("RoleArn")+form.Get("Filter.1.Value.1"))
	w.Header().Set("Content-Type", "text/xml")
	switch form.Get("Action") {
	case "GetCallerIdentity":
		fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>%s</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`, homeAccount)
	case "AssumeRole":
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>ASIAOTHER</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	case "DescribeInstances":
		if key != "ASIAOTHER" {
			fmt.Fprint(w, `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet/></DescribeInstancesResponse>`)
			return
		}
		fmt.Fprintf(w, `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><ownerId>%s</ownerId><instancesSet><item><instanceId>%s</instanceId><imageId>ami-1</imageId><instanceState><name>running</name></instanceState><privateIpAddress>10.0.0.9</privateIpAddress><launchTime>2026-01-02T03:04:05.000Z</launchTime></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`, otherAccount, theirs)
	}
}

func (c *cloud) parameter(w http.ResponseWriter, key string, body []byte) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	_ = json.Unmarshal(body, &in)
	c.calls = append(c.calls, fmt.Sprintf("%s GetParameter %s %v", key, in.Name, in.WithDecryption))
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if strings.Contains(in.Name, "none") {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"__type":"ParameterNotFound"}`)
		return
	}
	fmt.Fprintf(w, `{"Parameter":{"Name":%q,"Value":"the key"}}`, in.Name)
}

func newCloud(t *testing.T) (*cloud, aws.Config) {
	t.Helper()
	c := &cloud{}
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	return c, aws.Config{Region: "eu-west-1", BaseEndpoint: &srv.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIAHOME", "s", "")}
}

func TestTheBrokersOwnKeyComesFromAStore(t *testing.T) {
	t.Parallel()
	for ref, asks := range map[string]string{
		"ssm:/bakehouse/chef/broker":                 "AKIAHOME GetParameter /bakehouse/chef/broker true",
		"secretsmanager:bakehouse/chef/broker":       "AKIAHOME GetParameter /aws/reference/secretsmanager/bakehouse/chef/broker true",
		"ssm:arn:aws:ssm:eu-west-1:1:parameter/x/yz": "AKIAHOME GetParameter arn:aws:ssm:eu-west-1:1:parameter/x/yz true",
	} {
		c, cfg := newCloud(t)
		key, err := readKey(context.Background(), cfg, ref)
		if err != nil || string(key) != "the key" || len(c.calls) != 1 || c.calls[0] != asks {
			t.Errorf("%s: %q, %v; calls %q, want %q", ref, key, err, c.calls, asks)
		}
	}
	_, cfg := newCloud(t)
	for _, ref := range []string{"ssm:/none", "secretsmanager:none"} {
		if _, err := readKey(context.Background(), cfg, ref); fault.KindOf(err) == fault.Internal || !strings.Contains(fmt.Sprint(err), ref) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	if _, err := readKey(context.Background(), cfg, "/nonexistent/key"); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "/nonexistent/key") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestAnInstanceOfAnotherAccountIsLookedUpWithItsRole asks as the broker does
// when such an instance registers.
func TestAnInstanceOfAnotherAccountIsLookedUpWithItsRole(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c, cfg := newCloud(t)
	accounts, err := enterAll(ctx, cfg, options{accounts: []string{homeAccount, otherAccount}, accountRoles: map[string]string{otherAccount: otherRole}})
	if err != nil {
		t.Fatal(err)
	}
	look := fleet(accounts)
	in, err := look(ctx, otherAccount, "eu-west-1", theirs)
	if err != nil || in.ID != theirs || in.State != "running" || in.ImageID != "ami-1" || in.PrivateIP != "10.0.0.9" || in.Launched.IsZero() {
		t.Errorf("the other account's instance: %+v, %v", in, err)
	}
	if in, err := look(ctx, homeAccount, "eu-west-1", theirs); err != nil || in.ID != "" {
		t.Errorf("it is no instance of the broker's own account: %+v, %v", in, err)
	}
	want := []string{"AKIAHOME GetCallerIdentity ", "AKIAHOME AssumeRole " + otherRole, "ASIAOTHER DescribeInstances " + theirs, "AKIAHOME DescribeInstances " + theirs}
	if strings.Join(c.calls, "\n") != strings.Join(want, "\n") {
		t.Errorf("calls %q, want %q", c.calls, want)
	}
}

func TestAnAccountWithoutARoleIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	_, cfg := newCloud(t)
	_, err := enterAll(context.Background(), cfg, options{accounts: []string{otherAccount}})
	if fault.KindOf(err) != fault.Usage || !strings.Contains(fault.NextOf(err), "--account-role "+otherAccount) {
		t.Errorf("error is %v, next %q", err, fault.NextOf(err))
	}
}

func TestHelpRepeatsTheExitCodes(t *testing.T) {
	t.Parallel()
	code, out := run(context.Background(), t, "--help", nil, nil, nil)
	if code != 0 || !strings.Contains(out, fault.Help()) {
		t.Errorf("exit %d, help\n%s", code, out)
	}
}
