package asg

import (
	"reflect"
	"testing"

	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
)

func TestEveryOperationIsAnsweredOrExcused(t *testing.T) {
	t.Parallel()
	excused := map[string]string{
		"Options":                      "a method of the client, not a call",
		"DescribeAccountSettings":      "settings of the account change nothing that is modelled",
		"PutAccountSetting":            "as above",
		"GetPredictiveScalingForecast": "predictive policies are kept, and forecast nothing",
		"LaunchInstances":              "it launches while it is called, which would hold the lock",
	}
	table := New(nil).autoScaling()
	client := reflect.TypeFor[*as.Client]()
	for m := range client.Methods() {
		_, answered := table[m.Name]
		switch _, why := excused[m.Name]; {
		case !answered && !why:
			t.Errorf("%s is neither answered nor excused", m.Name)
		case answered && why:
			t.Errorf("%s is answered and needs no excuse", m.Name)
		}
		delete(excused, m.Name)
	}
	for name := range excused {
		t.Errorf("the SDK has no %s", name)
	}
}
