package autoscale

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/test/asg"
)

// cloud is a service of its own for one test.
type cloud struct {
	t   *testing.T
	aws *asg.Service
	w   World
	as  *as.Client
	now time.Time
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	c.aws = asg.New(func() time.Time { return c.now })
	server := httptest.NewServer(c.aws)
	t.Cleanup(server.Close)
	for i, id := range []string{"ami-1", "ami-2", "ami-3"} {
		c.aws.AddImage(asg.Image{ID: id, Created: c.now.AddDate(0, 0, i), Tags: map[string]string{"bakehouse:role": "web", "bakehouse:proof": "proven"}})
	}
	c.aws.AddTargetGroup(asg.TargetGroup{Name: "web", ID: "0123456789abcdef", LoadBalancers: []string{"app/shop/fedcba9876543210"}})
	c.aws.AddTargetGroup(asg.TargetGroup{Name: "idle", ID: "1123456789abcdef", LoadBalancers: []string{"net/shop/fedcba9876543210"}})
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &asg.Client{}, RetryMaxAttempts: 1, Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")}
	c.as = as.NewFromConfig(cfg)
	c.w = World{Groups: c.as, EC2: ec2.NewFromConfig(cfg), Alarms: cloudwatch.NewFromConfig(cfg), Balancers: elbv2.NewFromConfig(cfg), Parameters: ssm.NewFromConfig(cfg),
		Now: func() time.Time { return c.now }, Sleep: func(context.Context, time.Duration) error { return nil }}
	return c
}

// silent hears nothing.
type silent struct{}

func (silent) Started(Change) {}
func (silent) Done(Outcome)   {}

func (c *cloud) observe(s Spec) Observed {
	c.t.Helper()
	o, err := Observe(context.Background(), c.w, s)
	if err != nil {
		c.t.Fatal(err)
	}
	return o
}

func (c *cloud) plan(s Spec) (Plan, Observed) {
	c.t.Helper()
	o := c.observe(s)
	p, err := Diff(s, o, DiffOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return p, o
}

// apply makes the cloud match text and demands that nothing is left to do.
func (c *cloud) apply(text string) Plan {
	c.t.Helper()
	s := mustParse(c.t, text)
	p, o := c.plan(s)
	if _, err := p.Apply(context.Background(), c.w, o, silent{}); err != nil {
		c.t.Fatalf("%v\nof %+v", err, p.Changes)
	}
	if again, _ := c.plan(s); !again.Empty() {
		c.t.Errorf("a second plan is not empty: %s", summary(again))
	}
	return p
}

func summary(p Plan) []string {
	var out []string
	for _, c := range p.Changes {
		line := string(c.Kind) + " " + c.Name
		for _, f := range c.Fields {
			line += " [" + f.Path + ": " + f.Before + " -> " + f.After + "]"
		}
		out = append(out, line)
	}
	return out
}

func kinds(p Plan) []Kind {
	var out []Kind
	for _, c := range p.Changes {
		out = append(out, c.Kind)
	}
	return out
}
