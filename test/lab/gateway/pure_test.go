package gateway

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

func TestTrueState(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		moto, machine string
		known, start  bool
		want          string
	}{
		{running, "", false, false, pending},
		{running, pending, true, false, pending},
		{running, running, true, false, running},
		{running, stopping, true, false, stopping}, // the guest powers itself off
		{running, stopped, true, true, pending},    // start accepted, not acted on
		{running, terminated, true, false, terminated},
		{stopped, running, true, false, stopping},
		{stopped, stopped, true, false, stopped},
		{stopped, shuttingDown, true, false, shuttingDown},
		{stopped, "", false, false, stopped},
		{terminated, running, true, false, shuttingDown},
		{terminated, stopped, true, false, shuttingDown},
		{terminated, terminated, true, false, terminated},
		{terminated, "", false, false, terminated},
	} {
		if got := trueState(tc.moto, tc.machine, tc.known, tc.start); got != tc.want {
			t.Errorf("trueState(%+v) is %s", tc, got)
		}
	}
}

func TestXMLRoundTripKeepsTheDocument(t *testing.T) {
	t.Parallel()
	const doc = `<?xml version="1.0" encoding="UTF-8"?>` + "\n" +
		`<R xmlns="http://x/" a="&#34;q&#34;"><set><item><name>a &amp; b &lt;c&gt;</name><empty/></item><item/></set></R>`
	n, err := parseXML([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(n.bytes()); got != doc {
		t.Errorf("round trip: %s", got)
	}
	if n.value("set", "item", "name") != "a & b <c>" || n.value("no", "such") != "" || len(n.items("set")) != 2 {
		t.Errorf("reading: %+v", n)
	}
	n.set("v", "set", "item", "made", "deep")
	n.at("set").drop("nothing")
	if n.value("set", "item", "made", "deep") != "v" {
		t.Error("set does not make what is missing")
	}
}

func TestXMLRefusesBrokenDocuments(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{"", "<a>", "<a></b>", "</a>", "<a/><b/>", "{}", "<a"} {
		if n, err := parseXML([]byte(doc)); err == nil {
			t.Errorf("%q parsed as %+v", doc, n)
		}
	}
}

func TestScrubKeepsWhatIsPrivate(t *testing.T) {
	t.Parallel()
	n, err := parseXML([]byte(`<r><i><publicIp>54.1.2.3</publicIp><privateIp>172.31.0.4</privateIp><association><publicIp>1</publicIp></association>` +
		`</i><association><routeTableId>rtb</routeTableId></association></r>`))
	if err != nil {
		t.Fatal(err)
	}
	scrubPublicAddresses(n)
	got := string(n.bytes())
	if strings.Contains(got, "54.1.2.3") || !strings.Contains(got, "172.31.0.4") || !strings.Contains(got, "rtb") {
		t.Errorf("scrubbed to %s", got)
	}
}

func TestIndexedForms(t *testing.T) {
	t.Parallel()
	f := url.Values{
		"Filter.1.Name": {"state"}, "Filter.1.Value.1": {"available"}, "Filter.1.Value.2": {"failed"},
		"Filter.2.Name": {"tag:a"}, "Filter.2.Value.1": {"b"}, "Filter.10.Name": {"state"}, "Filter.10.Value.1": {"x*"}, "Owner.1": {"self"},
	}
	taken := takeFilters(f, func(name string) bool { return name == "state" })
	want := url.Values{"Filter.1.Name": {"tag:a"}, "Filter.1.Value.1": {"b"}, "Owner.1": {"self"}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if len(taken) != 2 || !taken[0].matches("failed") || taken[0].matches("pending") || !taken[1].matches("xyz") {
		t.Errorf("taken %+v", taken)
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		pattern, v string
		want       bool
	}{
		{"ubuntu/*/24.04-*", "ubuntu/images/24.04-1", true}, {"*", "a/b", true}, {"a?c", "abc", true},
		{"a?c", "ac", false}, {"[a]*", "[a]b", true}, {"[a]*", "ab", false}, {`a\*`, `a\b`, true},
	} {
		if got := glob(tc.pattern, tc.v); got != tc.want {
			t.Errorf("glob(%q, %q) is %v", tc.pattern, tc.v, got)
		}
	}
}

func TestTakeSnapshotTags(t *testing.T) {
	t.Parallel()
	f := url.Values{
		"TagSpecification.1.ResourceType": {"snapshot"}, "TagSpecification.1.Tag.1.Key": {"a"}, "TagSpecification.1.Tag.1.Value": {"b"},
		"TagSpecification.2.ResourceType": {"image"}, "TagSpecification.2.Tag.1.Key": {"c"}, "TagSpecification.2.Tag.1.Value": {"d"},
	}
	tags := takeSnapshotTags(f)
	want := url.Values{
		"TagSpecification.1.ResourceType": {"image"}, "TagSpecification.1.Tag.1.Key": {"c"}, "TagSpecification.1.Tag.1.Value": {"d"},
	}
	if diff := cmp.Diff(want, f); diff != "" || len(tags) != 1 || tags[0].Get("Key") != "a" {
		t.Errorf("left (-want +got):\n%s, took %v", diff, tags)
	}
}

func TestCBORBecomesJSON(t *testing.T) {
	t.Parallel()
	body, err := cbor.Marshal(map[string]any{
		"Name": "a", "When": cbor.Tag{Number: 1, Content: 1790000000.5}, "List": []any{1, -2, true, nil},
		"Gone": nil, "Big": math.Inf(1), "Deep": map[string]any{"x": 0.25},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := cborToJSON(body)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"Big":"Infinity","Deep":{"x":0.25},"List":[1,-2,true,null],"Name":"a","When":1790000000.5}`
	if string(out) != want {
		t.Errorf("got %s", out)
	}
	if out, err := cborToJSON(nil); err != nil || string(out) != "{}" {
		t.Errorf("an empty body: %s, %v", out, err)
	}
	for _, bad := range [][]byte{{0xff}, {0xa1, 0x01, 0x02}} {
		if out, err := cborToJSON(bad); err == nil {
			t.Errorf("% x became %s", bad, out)
		}
	}
}

func TestJSONBecomesCBOR(t *testing.T) {
	t.Parallel()
	out, code, err := jsonToCBOR([]byte(`{"Timestamps":[1.5,2],"Threshold":3,"A":{"StateUpdatedTimestamp":7,"Text":"t"},"F":0.5}`))
	if err != nil || code != "" {
		t.Fatal(err, code)
	}
	var got map[string]any
	if err := cbor.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	times, _ := got["Timestamps"].([]any)
	if len(times) != 2 || !times[0].(time.Time).Equal(time.UnixMilli(1500)) {
		t.Errorf("times came as %v", got["Timestamps"])
	}
	if got["Threshold"] != uint64(3) || got["F"] != 0.5 {
		t.Errorf("numbers came as %v", got)
	}
	if _, code, err := jsonToCBOR([]byte(`{"__type":"com.amazonaws#ResourceNotFound"}`)); err != nil || code != "ResourceNotFound" {
		t.Errorf("code %q, %v", code, err)
	}
	if out, _, err := jsonToCBOR(nil); err != nil || len(out) != 1 {
		t.Errorf("an empty reply: % x, %v", out, err)
	}
}

func TestParseCallNamesServiceAndAction(t *testing.T) {
	t.Parallel()
	const scope = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/%s/aws4_request, SignedHeaders=host, Signature=0"
	for _, tc := range []struct{ method, url, service, body, header, want string }{
		{"POST", "/", "ec2", "Action=RunInstances", "", "ec2 RunInstances"},
		{"POST", "/", "autoscaling", "Action=DescribeAutoScalingGroups", "", "autoscaling DescribeAutoScalingGroups"},
		{"POST", "/", "ssm", "{}", "X-Amz-Target: AmazonSSM.GetParameter", "ssm GetParameter"},
		{"POST", "/service/GraniteServiceVersion20100801/operation/ListMetrics", "monitoring", "", "Smithy-Protocol: rpc-v2-cbor", "cloudwatch ListMetrics"},
		{"PUT", "/b", "s3", "", "", "s3 CreateBucket"},
		{"PUT", "/b/k?partNumber=1&uploadId=x", "s3", "", "", "s3 UploadPart"},
		{"POST", "/b/k?uploads", "s3", "", "", "s3 CreateMultipartUpload"},
		{"PUT", "/b/k", "s3", "", "X-Amz-Copy-Source: /b/l", "s3 CopyObject"},
		{"GET", "/b?list-type=2", "s3", "", "", "s3 ListObjectsV2"},
		{"PUT", "/b?publicAccessBlock", "s3", "", "", "s3 PutPublicAccessBlock"},
		{"GET", "/b/k", "", "", "", "s3 GetObject"},
		{"GET", "/2015-03-31/functions", "lambda", "", "", "lambda GET /2015-03-31/functions"},
	} {
		r := httptest.NewRequest(tc.method, tc.url, strings.NewReader(tc.body))
		if tc.service != "" {
			r.Header.Set("Authorization", strings.Replace(scope, "%s", tc.service, 1))
		}
		if strings.HasPrefix(tc.body, "Action") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		if name, value, ok := strings.Cut(tc.header, ": "); ok {
			r.Header.Set(name, value)
		}
		c, err := parseCall(r)
		if got := c.service + " " + c.action; err != nil || got != tc.want {
			t.Errorf("%s %s: %q, %v, want %q", tc.method, tc.url, got, err, tc.want)
		}
		if tc.service != "" && (c.region != "eu-west-1" || c.accessKey != "AKID") {
			t.Errorf("%s: scope read as %s %s", tc.url, c.region, c.accessKey)
		}
	}
}

func TestErrorsSpeakTheCallersProtocol(t *testing.T) {
	t.Parallel()
	e := &apiError{Code: "Some.Code", Message: "a <b>"}
	for proto, want := range map[protocol]string{
		protoEC2:   "<Response><Errors><Error><Code>Some.Code</Code><Message>a &lt;b&gt;</Message>",
		protoQuery: "<ErrorResponse><Error><Type>Sender</Type><Code>Some.Code</Code>",
		protoREST:  "<Error><Code>Some.Code</Code>",
		protoJSON:  `"__type":"Some.Code"`,
	} {
		rep := renderError(&call{protocol: proto, id: "r"}, e)
		if rep.status != http.StatusBadRequest || !strings.Contains(string(rep.body), want) {
			t.Errorf("protocol %d: %d %s", proto, rep.status, rep.body)
		}
		if code := errorCode("", rep.body); code != "Some.Code" {
			t.Errorf("protocol %d: recorded as %q", proto, code)
		}
	}
	var got map[string]string
	rep := renderError(&call{protocol: protoCBOR}, e)
	if err := cbor.Unmarshal(rep.body, &got); err != nil || got["__type"] != "Some.Code" || rep.header.Get("Smithy-Protocol") == "" {
		t.Errorf("CBOR: %v, %v", got, err)
	}
}

func TestRecordsAreOneLineEach(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	r := newRecorder(&out)
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, action := range []string{"A", "B", "C"} {
		r.add(&call{service: "ec2", action: action, accessKey: "AKID"}, &tap{ResponseWriter: httptest.NewRecorder(), status: 200}, began, began.Add(1500*time.Microsecond))
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var last Record
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 3 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if last.Seq != 3 || last.Action != "C" || last.Caller != "AKID" || last.Millis != 1.5 {
		t.Errorf("last record is %+v", last)
	}
	if got, _ := r.since(1, time.Time{}); len(got) != 2 {
		t.Errorf("since 1: %+v", got)
	}
	if got, _ := r.since(0, began.Add(time.Second)); len(got) != 0 {
		t.Errorf("since later: %+v", got)
	}
}

func TestToolOf(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"aws-sdk-go-v2/1.48.0 os/linux bakehouse-bake-ami/1.2.3 api/ec2#1": "bakehouse-bake-ami/1.2.3",
		"bakehouse-boot-agent/dev": "bakehouse-boot-agent/dev",
		"aws-cli/2.0":              "",
	} {
		if got := toolOf(agent); got != want {
			t.Errorf("toolOf(%q) is %q", agent, got)
		}
	}
}
