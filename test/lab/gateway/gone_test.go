package gateway

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// still has machines that run, and copies them at once.
type still struct{ noMachines }

func (still) State(string) (string, bool)                          { return running, true }
func (still) Snapshot(context.Context, string, string, bool) error { return nil }

// The caller dies while EC2 works on its call: the call takes effect, all of
// it. A copy of an image that has its files and lacks its tags is nobody's.
func TestACallTakesEffectWholeAlsoWhenItsCallerIsGone(t *testing.T) {
	t.Parallel()
	ctx, die := context.WithCancel(t.Context())
	var seen []string
	g, _ := front(t, still{}, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		seen = append(seen, r.Form.Get("Action"))
		die() // with the first of the calls that the gateway makes of one
		answer := map[string]string{
			"CreateImage":       "<imageId>ami-1</imageId>",
			"DescribeImages":    `<imagesSet><item><imageId>ami-1</imageId><name>other</name><blockDeviceMapping><item><ebs><snapshotId>snap-1</snapshotId></ebs></item></blockDeviceMapping></item></imagesSet>`,
			"DescribeInstances": `<reservationSet><item><instancesSet><item><instanceId>i-1</instanceId><instanceState><name>running</name></instanceState></item></instancesSet></item></reservationSet>`,
		}[r.Form.Get("Action")]
		_, _ = io.WriteString(w, "<Response>"+answer+"</Response>")
	})
	form := "Action=CreateImage&InstanceId=i-1&Name=one&TagSpecification.1.ResourceType=snapshot&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1.Value=v"
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form)).WithContext(ctx)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/ec2/aws4_request, Signature=0")
	g.ServeHTTP(httptest.NewRecorder(), r)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if last := seen[len(seen)-1]; last != "CreateTags" {
		t.Errorf("the gateway did %v and then stopped", seen)
	}
}
