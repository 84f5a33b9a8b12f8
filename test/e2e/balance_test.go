//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"bakehouse/test/lab/gateway"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// balancedFile is a group on spot with a backstop, from an image. An instance
// is in service when its app serves: the agent says so to the hook. The
// group's own alarms look for longer than the test lasts.
const balancedFile = `version: 2
region: us-east-1
owner: e2e-balance
groups:
  bal:
    capacity: {mode: backstop, min: 2, max: 4, backstop: {up_after: 20, down_after: 40}}
    launch:
      image: %s
      type: t3.small
      profile: web
      metadata: {tokens: required, tags: enabled}
      user_data: |
        #cloud-config
        bootcmd:
        - [ruby, -rjson, -e, 'f = "/etc/bakehouse/agent.json"; c = JSON.parse(File.read(f)); c["group"] = {"launch_hook" => "ready"}; File.write(f, JSON.pretty_generate(c))']
    mixed: {types: [t3.small]}
    network: {zones: [us-east-1a]}
    hooks:
      ready: {on: launching, timeout: 120, default: ABANDON}
`

// balance is a backstop group whose spot comes and goes, and the controller
// that a queue wakes.
type balance struct {
	*scaling
	ctx   context.Context
	queue string // its URL
	sqs   *sqs.Client
	spot  []string // ids of the first spot instances

	mu      sync.Mutex
	samples []balanceSample
}

// balanceSample is both halves at one moment.
type balanceSample struct {
	spot, backstop, running int // spot in service, the backstop's desired capacity, and what of it is in service
	lost                    bool
}

// TestTheBackstopServesWhileSpotIsAway takes the spot pool of a group of real
// guests away and gives it back. The controller looks only every ten minutes
// of its own accord: what it does in time, events have woken it for.
func TestTheBackstopServesWhileSpotIsAway(t *testing.T) {
	b := &balance{scaling: newScaling(t), ctx: deadline(t, 12*time.Minute), sqs: sqs.NewFromConfig(s.world.AWS)}
	b.removed("bal", "bal-backstop")
	b.write(balancedFile, s.told.report.ImageID)
	b.settled()
	b.spot = b.guests("bal", 2, ec2types.InstanceLifecycleTypeSpot)
	b.opensQueue()
	stopped := b.balances()
	b.watches()
	b.isEarly()
	back := b.losesSpot()
	back()
	b.isReleased()
	if o := stopped(); o.Code != 0 || o.Stderr != "" && strings.Contains(o.Stderr, "error") || !strings.Contains(o.Stdout, `"spot_at_risk":1`) {
		t.Errorf("balance ends with %d after\n%s%s", o.Code, o.Stdout, o.Stderr)
	}
	b.keptItsBounds()
	b.ends(0, "plan", "--exit-code", "FILE")
}

// guests waits until n instances of a group serve, all bought one way, and
// returns their ids.
func (b *balance) guests(group string, n int, bought ec2types.InstanceLifecycleType) (ids []string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%d of %s in service", n, group), func(g map[string]astypes.AutoScalingGroup) error {
		if all := g[group].Instances; len(all) != n || inService(g[group]) != n {
			return fmt.Errorf("of %d instances %d are", len(all), inService(g[group]))
		}
		ids = nil
		for _, i := range g[group].Instances {
			ids = append(ids, aws.ToString(i.InstanceId))
		}
		return nil
	})
	out, err := s.world.EC2.DescribeInstances(b.ctx, &ec2.DescribeInstancesInput{InstanceIds: ids})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, r := range out.Reservations {
		for _, i := range r.Instances {
			if i.InstanceLifecycle != bought {
				b.t.Errorf("%s of %s is bought as %q, want %q", aws.ToString(i.InstanceId), group, i.InstanceLifecycle, bought)
			}
			if _, err := s.world.Answers(b.ctx, aws.ToString(i.PrivateIpAddress)); err != nil {
				b.t.Errorf("%s of %s is in service and does not serve: %v", aws.ToString(i.InstanceId), group, err)
			}
		}
	}
	return ids
}

func (b *balance) opensQueue() {
	b.t.Helper()
	q, err := b.sqs.CreateQueue(b.ctx, &sqs.CreateQueueInput{QueueName: aws.String("bakehouse-balance")})
	if err != nil {
		b.t.Fatal(err)
	}
	b.queue = aws.ToString(q.QueueUrl)
	b.t.Cleanup(func() {
		if _, err := b.sqs.DeleteQueue(s.ctx, &sqs.DeleteQueueInput{QueueUrl: &b.queue}); err != nil {
			b.t.Error(err)
		}
	})
}

// tells puts an event into the queue, as EventBridge would.
func (b *balance) tells(source, kind, id string) {
	b.t.Helper()
	detail := map[string]string{"instance-id": id}
	if source == "aws.autoscaling" {
		detail = map[string]string{"EC2InstanceId": id, "AutoScalingGroupName": "bal"}
	}
	body, err := json.Marshal(map[string]any{"version": "0", "id": id, "detail-type": kind, "source": source, "account": "123456789012",
		"time": time.Now().UTC().Format(time.RFC3339), "region": "us-east-1", "resources": []string{}, "detail": detail})
	if err == nil {
		_, err = b.sqs.SendMessage(b.ctx, &sqs.SendMessageInput{QueueUrl: &b.queue, MessageBody: aws.String(string(body))})
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// balances starts the controller and waits for its first look. The function
// it returns stops it and says how it ended.
func (b *balance) balances() func() story.Outcome {
	b.t.Helper()
	tool := b.tool
	tool.Args = []string{"balance", b.file, "--every", "10m", "--queue", b.queue, "--early", "--hold", "15s", "--grace", "5s", "--output", "json"}
	started, ended := make(chan *os.Process, 1), make(chan story.Outcome, 1)
	tool.Started = func(p *os.Process) { started <- p }
	ctx, cancel := context.WithCancel(b.ctx)
	go func() {
		o, _ := s.world.Run(ctx, tool) // an outcome without a code tells as much
		ended <- o
	}()
	var once sync.Once
	var outcome story.Outcome
	b.t.Cleanup(func() {
		cancel()
		if once.Do(func() { outcome = <-ended }); b.t.Failed() {
			b.t.Logf("balance said\n%s%s", outcome.Stdout, outcome.Stderr)
		}
	})
	var process *os.Process
	select {
	case process = <-started:
	case <-b.ctx.Done():
		b.t.Fatal(context.Cause(b.ctx))
	}
	b.until("the first look", func(g map[string]astypes.AutoScalingGroup) error {
		for _, tag := range g["bal-backstop"].Tags {
			if aws.ToString(tag.Key) == "bakehouse:balance" {
				return nil
			}
		}
		return errors.New("the backstop has no tag of balance")
	})
	return func() story.Outcome {
		if err := process.Signal(syscall.SIGTERM); err != nil {
			b.t.Fatal(err)
		}
		once.Do(func() { outcome = <-ended })
		return outcome
	}
}

// halves reads both groups in one call.
func (b *balance) halves(ctx context.Context) (map[string]astypes.AutoScalingGroup, error) {
	out, err := b.groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{"bal", "bal-backstop"}})
	if err != nil {
		return nil, err
	}
	all := map[string]astypes.AutoScalingGroup{}
	for _, g := range out.AutoScalingGroups {
		all[aws.ToString(g.AutoScalingGroupName)] = g
	}
	return all, nil
}

// until waits for a state of the halves.
func (b *balance) until(what string, is func(map[string]astypes.AutoScalingGroup) error) {
	b.t.Helper()
	began := time.Now()
	err := story.Until(b.ctx, 100*time.Millisecond, func() error {
		g, err := b.halves(b.ctx)
		if err != nil {
			return err
		}
		return is(g)
	})
	if err != nil {
		b.t.Fatalf("waiting for %s: %v\n%s%s", what, err, b.activities("bal"), b.activities("bal-backstop"))
	}
	b.t.Logf("%s came after %.1f s", what, time.Since(began).Seconds())
}

// wants waits until the backstop's desired capacity is n.
func (b *balance) wants(n int) {
	b.t.Helper()
	b.until(fmt.Sprintf("a backstop of %d", n), func(g map[string]astypes.AutoScalingGroup) error {
		if got := int(aws.ToInt32(g["bal-backstop"].DesiredCapacity)); got != n {
			return fmt.Errorf("its desired capacity is %d", got)
		}
		return nil
	})
}

// inService counts the members of a group that serve and are well.
func inService(g astypes.AutoScalingGroup) (n int) {
	for _, i := range g.Instances {
		if i.LifecycleState == astypes.LifecycleStateInService && aws.ToString(i.HealthStatus) == "Healthy" {
			n++
		}
	}
	return n
}

// watches notes both halves, again and again, until the test ends.
func (b *balance) watches() {
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = story.Until(ctx, 200*time.Millisecond, func() error { // it ends when ctx does
			g, err := b.halves(ctx)
			if err == nil {
				b.notes(g)
			}
			return errors.New("there is more to see")
		})
	}()
	b.t.Cleanup(func() { cancel(); <-done })
}

func (b *balance) notes(g map[string]astypes.AutoScalingGroup) {
	n := balanceSample{spot: inService(g["bal"]), backstop: int(aws.ToInt32(g["bal-backstop"].DesiredCapacity)), running: inService(g["bal-backstop"])}
	n.lost = !slices.ContainsFunc(g["bal"].Instances, func(i astypes.Instance) bool { return slices.Contains(b.spot, aws.ToString(i.InstanceId)) })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.samples = append(b.samples, n)
}

// isEarly recommends to replace one of the two: the backstop serves beside
// them, before anything is lost.
func (b *balance) isEarly() {
	b.t.Helper()
	b.tells("aws.ec2", "EC2 Instance Rebalance Recommendation", b.spot[0])
	b.wants(1)
	b.guests("bal-backstop", 1, "")
	if still := b.guests("bal", 2, ec2types.InstanceLifecycleTypeSpot); !slices.Equal(still, b.spot) {
		b.t.Errorf("the spot instances are %v, they were %v", still, b.spot)
	}
}

// losesSpot takes the pool away: no launch finds any, and both instances get
// their notice, and are taken only when the backstop serves in their place.
// The function it returns gives the pool back.
func (b *balance) losesSpot() (back func()) {
	b.t.Helper()
	id, err := setRule(b.ctx, gateway.Rule{Service: "ec2", Action: "RunInstances", Params: map[string]string{"InstanceMarketOptions.MarketType": "spot"},
		Times: -1, Code: "InsufficientInstanceCapacity", Status: http.StatusInternalServerError, Message: "There is no Spot capacity available that matches your request."})
	if err != nil {
		b.t.Fatal(err)
	}
	back = sync.OnceFunc(func() {
		if _, err := control(s.ctx, http.MethodDelete, fmt.Sprintf("faults?id=%d", id), nil); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(back)
	for _, id := range b.spot {
		if err := interrupt(b.ctx, id, "10m"); err != nil {
			b.t.Fatal(err)
		}
		b.tells("aws.ec2", "EC2 Spot Instance Interruption Warning", id)
	}
	b.wants(2)
	b.guests("bal-backstop", 2, "")
	for _, id := range b.spot { // a second notice takes the place of the first
		if err := interrupt(b.ctx, id, "1s"); err != nil {
			b.t.Fatalf("before it is taken: %v", err)
		}
	}
	b.until("the end of spot", func(g map[string]astypes.AutoScalingGroup) error {
		if n := len(g["bal"].Instances); n > 0 {
			return fmt.Errorf("the spot group has %d instances", n)
		}
		return nil
	})
	b.until("a launch that finds no spot", func(map[string]astypes.AutoScalingGroup) error {
		if all := b.activities("bal"); !strings.Contains(all, "no Spot capacity available") {
			return errors.New("there is none")
		}
		return nil
	})
	b.guests("bal-backstop", 2, "")
	return back
}

// isReleased waits for new spot instances, and for the end of the backstop.
func (b *balance) isReleased() {
	b.t.Helper()
	for _, id := range b.guests("bal", 2, ec2types.InstanceLifecycleTypeSpot) {
		b.tells("aws.autoscaling", "EC2 Instance Launch Successful", id)
	}
	b.wants(0)
	b.until("the end of the backstop", func(g map[string]astypes.AutoScalingGroup) error {
		if n := len(g["bal-backstop"].Instances); n > 0 {
			return fmt.Errorf("it has %d instances", n)
		}
		return nil
	})
	b.guests("bal", 2, ec2types.InstanceLifecycleTypeSpot)
}

// keptItsBounds judges what was seen at any moment: the group as a whole is
// never above its max, and what stands in for spot stays until spot serves.
func (b *balance) keptItsBounds() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	away, back, most := 0, false, 0
	for i, n := range b.samples {
		if n.spot+max(n.backstop, n.running) > 4 && !b.t.Failed() {
			b.t.Errorf("sample %d: %d on spot and a backstop of %d (%d serve) are more than 4", i, n.spot, n.backstop, n.running)
		}
		if n.lost {
			away++
			back = back || n.spot == 2
			if n.backstop < 2 && !back {
				b.t.Fatalf("sample %d: the backstop is %d before spot is back: %+v", i, n.backstop, n)
			}
		}
		most = max(most, n.spot+n.running)
	}
	if away == 0 || !back {
		b.t.Errorf("of %d samples %d are without the first spot instances; spot is back: %v", len(b.samples), away, back)
	}
	b.t.Logf("%d samples, at most %d in service", len(b.samples), most)
}
