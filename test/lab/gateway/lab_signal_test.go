//go:build lab

package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"bakehouse/test/lab/gateway"
)

// query sends a form as CloudFormation's clients do, and returns what came back.
func (b *bench) query(service string, values url.Values) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.ctx, http.MethodPost, b.url, strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	said, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(said)
}

func testStackSignals(b *bench) {
	const template = `{"Resources": {"Web": {"Type": "AWS::SSM::Parameter", "Properties": {"Name": "/stack/web", "Type": "String", "Value": "x"}}}}`
	if code, said := b.query("cloudformation", url.Values{"Action": {"CreateStack"}, "Version": {"2010-05-15"}, "StackName": {"shop"}, "TemplateBody": {template}}); code != 200 {
		b.t.Fatalf("making a stack: %d %s", code, said)
	}
	signal := func(stack, resource, status string) (int, string) {
		return b.query("cloudformation", url.Values{"Action": {"SignalResource"}, "Version": {"2010-05-15"}, "StackName": {stack},
			"LogicalResourceId": {resource}, "UniqueId": {"i-1"}, "Status": {status}})
	}
	for _, bad := range [][3]string{{"none", "Web", "SUCCESS"}, {"shop", "None", "SUCCESS"}, {"shop", "Web", "FINE"}} {
		if code, said := signal(bad[0], bad[1], bad[2]); code != http.StatusBadRequest || !strings.Contains(said, "ValidationError") {
			b.t.Errorf("signal %q: %d %s", bad, code, said)
		}
	}
	for _, status := range []string{"SUCCESS", "FAILURE"} { // the first one stands
		if code, said := signal("shop", "Web", status); code != 200 {
			b.t.Errorf("signal %s: %d %s", status, code, said)
		}
	}
	res, err := http.Get(b.url + "/_lab/lifecycle")
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var is struct{ Signals []gateway.Signal }
	if err := json.NewDecoder(res.Body).Decode(&is); err != nil || len(is.Signals) != 1 || is.Signals[0] != (gateway.Signal{Stack: "shop", Resource: "Web", ID: "i-1", Status: "SUCCESS"}) {
		b.t.Errorf("the lab has %+v (%v)", is.Signals, err)
	}
}
