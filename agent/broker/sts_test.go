package broker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"bakehouse/internal/enrol"
)

const identityAnswer = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/web/i-0123456789abcdef0</Arn><UserId>AROA1:i-0123456789abcdef0</UserId><Account>123456789012</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>`

func TestSTSIsAskedWithTheBoundHeaders(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(enrol.AudienceHeader) != testAudience || r.Header.Get(enrol.KeyHeader) != "sum" || r.Method != http.MethodGet || r.Header.Get("Authorization") != "" {
			t.Errorf("STS is asked %s %v", r.Method, r.Header)
		}
		fmt.Fprint(w, identityAnswer)
	}))
	defer srv.Close()
	got, err := AskSTS(srv.Client(), "test")(context.Background(), Call{URL: srv.URL + "/?x=y", Audience: testAudience, KeySum: "sum"})
	if err != nil || got.Account != testAccount || !strings.HasSuffix(got.ARN, "/web/"+testInstance) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAnswersOfSTS(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status  int
		body    string
		refused bool
	}{
		"not signed so":  {403, `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>`, true},
		"a redirect":     {302, "", true},
		"busy":           {429, "", false},
		"broken":         {500, "", false},
		"another answer": {200, "<x/>", false},
	} {
		_, err := readCaller(tc.status, []byte(tc.body))
		var refused *Refusal
		if err == nil || errors.As(err, &refused) != tc.refused || tc.status == 403 && !strings.Contains(err.Error(), "SignatureDoesNotMatch") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnErrorOfTheNetworkHoldsNoURL(t *testing.T) {
	t.Parallel()
	_, err := AskSTS(http.DefaultClient, "test")(context.Background(), Call{URL: "http://127.0.0.1:1/?X-Amz-Signature=5ecre7"})
	if err == nil || strings.Contains(err.Error(), "5ecre7") {
		t.Errorf("error is %v", err)
	}
}

// TestAFunctionURLIsAnswered plays Lambda's runtime API.
func TestAFunctionURLIsAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body, err := json.Marshal(w.request())
	if err != nil {
		t.Fatal(err)
	}
	post := `{"version":"2.0","rawPath":"` + enrol.Path + `","requestContext":{"http":{"method":"POST","sourceIp":"10.0.0.1"}},"isBase64Encoded":%v,"body":%q}`
	events := []string{
		fmt.Sprintf(post, true, base64.StdEncoding.EncodeToString(body)),
		fmt.Sprintf(post, false, string(body)),
		`{"rawPath":"/healthz","requestContext":{"http":{"method":"GET"}}}`,
		`{"Records":[]}`,
		fmt.Sprintf(post, true, "%"),
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var got []result
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/2018-06-01/runtime/invocation/next" && n < len(events):
			rw.Header().Set("Lambda-Runtime-Aws-Request-Id", fmt.Sprint("id", n))
			fmt.Fprint(rw, events[n])
			n++
		case r.URL.Path == fmt.Sprintf("/2018-06-01/runtime/invocation/id%d/response", n-1):
			var res result
			b, _ := io.ReadAll(r.Body)
			if err := json.Unmarshal(b, &res); err != nil {
				t.Error(err)
			}
			got = append(got, res)
			rw.WriteHeader(http.StatusAccepted)
		default:
			cancel()
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	if err := ServeLambda(ctx, srv.Client(), strings.TrimPrefix(srv.URL, "http://"), w.handler()); err != nil {
		t.Fatal(err)
	}
	want := []int{201, 200, 200, 400, 400}
	for i, code := range want {
		if len(got) != len(want) || got[i].StatusCode != code {
			t.Fatalf("answers %+v, want %v", got, want)
		}
	}
	if got[0].Headers["Content-Type"] != "application/json" || !strings.Contains(w.log.String(), `"source":"10.0.0.1"`) {
		t.Errorf("answer %+v, log %s", got[0], w.log.String())
	}
}

func TestARuntimeAPIThatFailsEndsTheFunction(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	if err := ServeLambda(context.Background(), srv.Client(), strings.TrimPrefix(srv.URL, "http://"), http.NotFoundHandler()); err == nil {
		t.Error("no error")
	}
}
