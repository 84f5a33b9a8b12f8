package simulate

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	as "github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"bakehouse/autoscale"
	"bakehouse/test/asg"
)

// unmoved is a group whose sizes only the spot market moves.
const unmoved = `version: 2
region: us-east-1
groups:
  web:
    capacity: {mode: backstop, min: 3, max: 30, desired: initial:12, on_demand_base: 2}
    launch: {image: ami-1, type: t3.small}
    network: {zones: [us-east-1a, us-east-1b]}
`

// quiet hears nothing of an apply.
type quiet struct{}

func (quiet) Started(autoscale.Change) {}
func (quiet) Done(autoscale.Outcome)   {}

// onService plays the group on the Auto Scaling service, whose machines are
// there at once, and returns the on-demand and spot units in service at the
// end of each minute.
func onService(t *testing.T, minutes, lost, back int) (out [][2]int) {
	t.Helper()
	now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	service := asg.New(func() time.Time { return now })
	service.AddImage(asg.Image{ID: "ami-1", Created: now})
	server := httptest.NewServer(service)
	t.Cleanup(server.Close)
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("A", "B", "")}
	client := as.NewFromConfig(cfg)
	w := autoscale.World{Groups: client, EC2: ec2.NewFromConfig(cfg), Alarms: cloudwatch.NewFromConfig(cfg), Now: func() time.Time { return now },
		Sleep: func(context.Context, time.Duration) error { return nil }}
	ctx := context.Background()
	spec := mustSpec(t, unmoved)
	seen, err := autoscale.Observe(ctx, w, spec)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := autoscale.Diff(spec, seen, autoscale.DiffOptions{})
	if err == nil {
		_, err = plan.Apply(ctx, w, seen, quiet{})
	}
	if err != nil {
		t.Fatal(err)
	}
	pools := []asg.Pool{{Zone: "us-east-1a", Type: "t3.small", Spot: true}, {Zone: "us-east-1b", Type: "t3.small", Spot: true}}
	for minute := range minutes {
		for _, p := range pools {
			switch minute {
			case lost:
				service.Lose(p)
			case back:
				service.Offer(p, asg.Offer{Capacity: 100})
			}
		}
		now = now.Add(time.Minute)
		groups, err := client.DescribeAutoScalingGroups(ctx, &as.DescribeAutoScalingGroupsInput{})
		if err != nil {
			t.Fatal(err)
		}
		units := [2]int{}
		for _, g := range groups.AutoScalingGroups {
			for _, i := range g.Instances {
				if i.LifecycleState != types.LifecycleStateInService {
					continue
				}
				if *g.AutoScalingGroupName == "web" {
					units[1]++
				} else {
					units[0]++
				}
			}
		}
		out = append(out, units)
	}
	return out
}

// The service and the simulator were made apart, from AWS's documentation.
func TestTheModelAgreesWithTheService(t *testing.T) {
	t.Parallel()
	const minutes, lost, back = 90, 10, 45
	service := onService(t, minutes, lost, back)
	c := config(t, "constant:0", "model")
	c.Spec, c.Modes, c.Boot, c.Lag, c.For = mustSpec(t, unmoved), []Mode{Backstop}, 0, 0, minutes*time.Minute
	c.Market = func(pools []Pool) (Market, error) {
		return TraceMarket("t.csv", text("time,pool,price,available\n600,#1,,0\n600,#2,,0\n2700,#1,,1\n2700,#2,,1\n"), pools, Told{})
	}
	var model [][2]int
	c.Row = func(r Row) error {
		if (r.At+c.Step)%time.Minute == 0 {
			model = append(model, [2]int{r.OnDemand, r.Spot})
		}
		return nil
	}
	mustRun(t, c)
	// Up to a minute apart: the minute in which a datapoint is complete, and
	// that in which a group looks at its instances, are nobody's promise.
	const apart = 1
	for minute, want := range service {
		found := false
		for near := max(0, minute-apart); near <= min(minutes-1, minute+apart); near++ {
			found = found || model[near] == want
		}
		if !found {
			t.Errorf("minute %d: the service has %d units on demand and %d on spot, the model %v around then", minute, want[0], want[1],
				model[max(0, minute-apart):min(minutes, minute+apart+1)])
		}
	}
}
