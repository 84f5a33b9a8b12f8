package autoscale

import (
	"maps"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

func (c *cloud) tagsOf(alarm string) map[string]string {
	c.t.Helper()
	out, err := c.w.Alarms.ListTagsForResource(c.t.Context(), &cloudwatch.ListTagsForResourceInput{ResourceARN: c.alarmOf(alarm).AlarmArn})
	if err != nil {
		c.t.Fatal(err)
	}
	tags := map[string]string{}
	for _, t := range out.Tags {
		tags[*t.Key] = *t.Value
	}
	return tags
}

// calls counts those of an action since the last time.
func (c *cloud) calls(action string) (n int) {
	for _, call := range c.aws.Calls() {
		if call.Action == action {
			n++
		}
	}
	c.aws.Forget()
	return n
}

func TestTagsOfAlarmsComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	const name = "web|up|M"
	for _, step := range []struct {
		more string
		want map[string]string
	}{
		{"tags: {Team: shop, Tier: web}", map[string]string{"Team": "shop", "Tier": "web"}},
		{"tags: {Team: api, Cost: '7'}", map[string]string{"Team": "api", "Cost": "7"}},
		{"enabled: false", map[string]string{"Team": "api", "Cost": "7"}}, // absent: left alone
		{"tags: {}", map[string]string{}},
	} {
		c.apply(telling(step.more))
		if got := c.tagsOf(name); !maps.Equal(got, step.want) {
			t.Errorf("%s: the tags are %v", step.more, got)
		}
	}
}

// CloudWatch lists the tags of one alarm at a time, and an alarm's own tags
// are nobody's who does not ask.
func TestTagsAreReadOnlyWhereAFileHasThem(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(telling("enabled: true"))
	if n := c.calls("ListTagsForResource"); n != 0 {
		t.Errorf("a file without tags of alarms asks for them %d times", n)
	}
	s := mustParse(t, telling("tags: {Team: shop}"))
	c.plan(s)
	if n := c.calls("ListTagsForResource"); n != 1 {
		t.Errorf("one alarm with tags takes %d calls", n)
	}
}

func TestTagsThatAWSKeepsAreLeftAlone(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(telling("tags: {Team: shop}"))
	if _, err := c.w.Alarms.TagResource(c.t.Context(), &cloudwatch.TagResourceInput{ResourceARN: c.alarmOf("web|up|M").AlarmArn,
		Tags: []cwtypes.Tag{{Key: aws.String("aws:cloudformation:stack-name"), Value: aws.String("x")}}}); err != nil {
		t.Fatal(err)
	}
	if p := c.apply(telling("tags: {Team: shop}")); !p.Empty() {
		t.Errorf("the plan is %s", summary(p))
	}
}

func TestTagsOfAlarmsAreImported(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	c.apply(telling("tags: {Team: shop}"))
	_, s, _ := c.written("web")
	if a := s.Groups["web"].Alarms["up-M"]; !maps.Equal(a.Tags, map[string]string{"Team": "shop"}) {
		t.Errorf("the alarms are %v", slices.Collect(maps.Keys(s.Groups["web"].Alarms)))
	}
	if p, _ := c.plan(s); !p.Empty() {
		t.Errorf("a plan of the import: %s", summary(p))
	}
}
