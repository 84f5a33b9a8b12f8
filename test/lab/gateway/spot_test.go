package gateway

import (
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// noticed has machines that run, of which one is under notice.
type noticed struct{ still }

func (noticed) Interrupting(id string) (string, bool) { return "terminate", id == "i-2" }

func TestSpotRequestsFollowTheirInstances(t *testing.T) {
	t.Parallel()
	instance := func(id, lifecycle, state string) string {
		return "<item><instancesSet><item><instanceId>" + id + "</instanceId><instanceLifecycle>" + lifecycle + "</instanceLifecycle><instanceState><name>" + state + "</name></instanceState></item></instancesSet></item>"
	}
	_, server := front(t, noticed{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<Response><reservationSet>"+instance("i-1", "spot", "running")+instance("i-2", "spot", "running")+instance("i-3", "spot", "terminated")+
			instance("i-4", "", "running")+"</reservationSet></Response>")
	})
	client := ec2.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")})
	for filter, want := range map[string]map[string]string{
		"":                                   {"i-1": "active fulfilled", "i-2": "active marked-for-termination", "i-3": "closed instance-terminated-by-user"},
		"instance-id=i-2":                    {"i-2": "active marked-for-termination"},
		"instance-id=i-4":                    {},
		"status-code=marked-for-*":           {"i-2": "active marked-for-termination"},
		"status-code=fulfilled&instance-id=": {},
	} {
		in := &ec2.DescribeSpotInstanceRequestsInput{}
		all, err := url.ParseQuery(filter)
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range all {
			in.Filters = append(in.Filters, types.Filter{Name: &name, Values: values})
		}
		out, err := client.DescribeSpotInstanceRequests(t.Context(), in)
		if err != nil {
			t.Fatalf("%s: %v", filter, err)
		}
		got := map[string]string{}
		for _, r := range out.SpotInstanceRequests {
			got[aws.ToString(r.InstanceId)] = string(r.State) + " " + aws.ToString(r.Status.Code)
		}
		if len(got) != len(want) {
			t.Errorf("%q: %v, want %v", filter, got, want)
		}
		for id, is := range want {
			if got[id] != is {
				t.Errorf("%q: %s is %q, want %q", filter, id, got[id], is)
			}
		}
	}
	_, err := client.DescribeSpotInstanceRequests(t.Context(), &ec2.DescribeSpotInstanceRequestsInput{Filters: []types.Filter{{Name: aws.String("colour"), Values: []string{"red"}}}})
	if err == nil {
		t.Error("a filter that EC2 does not have is taken")
	}
}
