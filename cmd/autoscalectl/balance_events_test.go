package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

const queueURL = "https://sqs.us-east-1.amazonaws.com/123456789012/bakehouse-balance"

// spotID names the nth instance of the spot group.
func spotID(n int) string { return fmt.Sprintf("i-%017x", n) }

// event is what EventBridge puts into the queue about an instance.
func event(kind, id string, at time.Time) string {
	return fmt.Sprintf(`{"detail-type": %q, "source": "aws.ec2", "time": %q, "detail": {"instance-id": %q}}`, kind, at.Format(time.RFC3339), id)
}

const (
	warning        = "EC2 Spot Instance Interruption Warning"
	recommendation = "EC2 Instance Rebalance Recommendation"
)

// message is one that is in the queue from some moment on.
type message struct {
	at   time.Time
	body string
}

// inbox is the queue of a pair. A call without a message costs the pair's
// clock the time until the next one comes, or that it waits.
type inbox struct {
	*pair
	messages []message
	fail     error
	taken    int
}

func (q *inbox) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if err := q.called("sqs:ReceiveMessage"); err != nil || q.fail != nil {
		return nil, q.fail
	}
	until := q.now.Add(time.Duration(in.WaitTimeSeconds) * time.Second)
	out := &sqs.ReceiveMessageOutput{}
	if len(q.messages) > 0 && !q.messages[0].at.After(until) {
		if q.messages[0].at.After(q.now) {
			q.now = q.messages[0].at
		}
		out.Messages = append(out.Messages, sqstypes.Message{Body: &q.messages[0].body, ReceiptHandle: aws.String("R")})
		q.messages = q.messages[1:]
		return out, nil
	}
	q.now = until
	return out, nil
}

func (q *inbox) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.taken += len(in.Entries)
	return &sqs.DeleteMessageBatchOutput{}, q.called("sqs:DeleteMessage")
}

// listen has balance look every ten minutes for half an hour, with messages
// that come at seconds after noon.
func (p *pair) listen(messages []message, args ...string) (stdout, stderr string) {
	p.t.Helper()
	p.inbox.messages = messages
	p.end = p.now.Add(30 * time.Minute)
	code, out, errs := p.run(backed, append([]string{"--every", "10m", "--queue", queueURL}, args...)...)
	if code != 0 || len(p.inbox.messages) != 0 {
		p.t.Errorf("it ends with %d, %d messages left:\n%s%s", code, len(p.inbox.messages), out, errs)
	}
	return out, errs
}

// after is a moment, as looks are told by it.
func (p *pair) after(seconds int) time.Time {
	return time.Date(2026, 11, 23, 12, 0, seconds, 0, time.UTC)
}

// TestEventsOfBalanceChangeNothingButTiming: three minutes after noon EC2
// gives two instances a notice. Whatever the messages say, and whether any
// comes, the same is done about it; they change when.
func TestEventsOfBalanceChangeNothingButTiming(t *testing.T) {
	t.Parallel()
	const when = 180
	for name, c := range map[string]struct {
		bodies []string
		early  bool
	}{
		"missed":                         {nil, false},
		"as it is":                       {[]string{event(warning, spotID(0), noticed()), event(warning, spotID(1), noticed())}, true},
		"repeated":                       {slices.Repeat([]string{event(warning, spotID(0), noticed())}, 40), true},
		"out of order":                   {[]string{event("EC2 Instance-terminate Lifecycle Action", spotID(0), noticed()), event(warning, spotID(0), noticed().Add(-time.Hour))}, true},
		"of the group":                   {[]string{event("EC2 Instance Terminate Successful", spotID(0), noticed())}, true},
		"forged, of one that stays":      {[]string{event(warning, spotID(7), noticed())}, true},
		"forged, a recommendation":       {[]string{event(recommendation, spotID(7), noticed())}, true},
		"forged, no JSON":                {[]string{"", "set desired capacity 1000"}, true},
		"forged, of instances elsewhere": {[]string{event(warning, "i-ffffffffffffffff0", noticed())}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			var messages []message
			for _, body := range c.bodies {
				messages = append(messages, message{p.after(when), body})
			}
			p.spot = func() {
				if !p.now.Before(p.after(when)) {
					p.noticed = []string{spotID(0), spotID(1)}
				}
			}
			out, errs := p.listen(messages)
			if p.desired != 2 || strings.Count(out, "(done)") != 1 || !strings.Contains(out, "backstop 0 -> 2 (done)") || strings.Contains(errs, "error") || p.inbox.taken != len(c.bodies) {
				t.Errorf("the backstop is %d:\n%s%s", p.desired, out, errs)
			}
			at := p.after(600)
			if c.early {
				at = p.after(when)
			}
			if !strings.HasPrefix(out[strings.Index(out, "\n")+1:], at.Format(time.RFC3339)) {
				t.Errorf("it was done at another time than %s:\n%s", at.Format(time.TimeOnly), out)
			}
		})
	}
}

// noticed is when EC2 gives its notices.
func noticed() time.Time { return time.Date(2026, 11, 23, 12, 3, 0, 0, time.UTC) }

// TestAFloodOfEventsIsBounded sends a message each second: looks are never
// closer than 5 seconds, and nothing is written.
func TestAFloodOfEventsIsBounded(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	var messages []message
	for s := range 300 {
		messages = append(messages, message{p.after(s), "x"})
	}
	out, _ := p.listen(messages)
	for i := range p.looks[1:] {
		if d := p.looks[i+1].Sub(p.looks[i]); d < balanceLeast {
			t.Errorf("two looks are %v apart", d)
		}
	}
	if n := len(p.looks); n > 66 || slices.Contains(p.calls, "autoscaling:SetDesiredCapacity") || strings.Count(out, "\n") != 1 {
		t.Errorf("%d looks, and it says\n%s", n, out)
	}
}

// TestEC2MayAnswerAMomentAfterItsEvent: the look that an event starts sees no
// notice yet; another follows without a further event.
func TestEC2MayAnswerAMomentAfterItsEvent(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.spot = func() {
		if !p.now.Before(p.after(62)) {
			p.noticed = []string{spotID(0)}
		}
	}
	out, _ := p.listen([]message{{p.after(60), event(warning, spotID(0), p.after(60))}})
	if !strings.Contains(out, "12:01:05Z web: backstop 0 -> 1 (done)") {
		t.Errorf("it says\n%s", out)
	}
}

// TestRecommendationsStartTheBackstopOnlyEarly: two recommendations come, and
// one of a stranger; nothing is lost.
func TestRecommendationsStartTheBackstopOnlyEarly(t *testing.T) {
	t.Parallel()
	messages := func(p *pair) []message {
		return []message{{p.after(60), event(recommendation, spotID(0), p.after(60))}, {p.after(60), event(recommendation, spotID(1), p.after(60))},
			{p.after(61), event(recommendation, "i-ffffffffffffffff0", p.after(60))}}
	}
	p := newPair(t)
	out, _ := p.listen(messages(p))
	if !strings.Contains(out, "12:01:00Z web: backstop stays at 0: spot has 10 of 10 units in service, 2 of them at risk") || p.desired != 0 {
		t.Errorf("without --early the backstop is %d, and it says\n%s", p.desired, out)
	}
	p = newPair(t)
	out, _ = p.listen(messages(p), "--early")
	// The alarm of the group would act ten minutes after the growth: a minute
	// before, nothing is left of it.
	if !strings.Contains(out, "12:01:30Z web: backstop 0 -> 2 (done)") || !strings.Contains(out, "12:10:30Z web: backstop 2 -> 0 (done)") || strings.Count(out, "(done)") != 2 {
		t.Errorf("with --early the backstop is %d, and it says\n%s", p.desired, out)
	}
}

// TestBalanceLooksWhenAHoldIsOver does not wait for its next turn.
func TestBalanceLooksWhenAHoldIsOver(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--every", "10m"}, {"--every", "10m", "--queue", queueURL}} {
		p := newPair(t)
		p.desired = 3
		p.end = p.now.Add(time.Hour)
		if _, out, _ := p.run(backed, args...); !strings.Contains(out, "12:05:00Z web: backstop 3 -> 0 (done)") {
			t.Errorf("%v: it says\n%s", args, out)
		}
	}
}

func TestAQueueThatIsNotOursEndsBalance(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"AccessDenied": "allow sqs:ReceiveMessage on the queue", "AWS.SimpleQueueService.NonExistentQueue": "correct --queue"} {
		p := newPair(t)
		p.inbox.fail = &smithy.GenericAPIError{Code: code, Message: "no"}
		if exit, _, errs := p.run(backed, "--every", "15s", "--queue", queueURL); exit != 5 || !strings.Contains(errs, want) || len(p.looks) != 0 {
			t.Errorf("%s: it ends with %d after %d looks: %s", code, exit, len(p.looks), errs)
		}
	}
	// One that fails is said, and looks go on by the clock.
	p := newPair(t)
	p.inbox.fail = &smithy.GenericAPIError{Code: "InternalFailure", Message: "not now"}
	p.end = p.now.Add(2 * time.Minute)
	if exit, _, errs := p.run(backed, "--every", "15s", "--queue", queueURL); exit != 0 || len(p.looks) < 7 || !strings.Contains(errs, "receiving events from "+queueURL) {
		t.Errorf("it ends with %d after %d looks: %s", exit, len(p.looks), errs)
	}
}

func TestBalanceRefusesAQueueThatCannotBe(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"it goes with --every TIME, not with --once": {"--once", "--queue", queueURL},
		"--early needs --queue URL":                  {"--every", "15s", "--early"},
		"balancing web early: its own alarm takes an excess away after 10m0s, which a hold of 9m0s leaves no time for": {"--every", "15s", "--queue", queueURL, "--early", "--hold", "9m"},
		"--queue bakehouse-balance: want the URL": {"--every", "15s", "--queue", "bakehouse-balance"},
		"--queue ftp://x/y: want the URL":         {"--every", "15s", "--queue", "ftp://x/y"},
		"--queue : want the URL":                  {"--every", "15s", "--queue", ""},
	} {
		p := newPair(t)
		if code, _, errs := p.run(backed, args...); code != 2 || !strings.Contains(errs, want) || len(p.calls) != 0 {
			t.Errorf("%v: code %d, calls %v, %s", args, code, p.calls, errs)
		}
	}
}

func TestThePolicyListsTheCallsOfEvents(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.listen([]message{{p.after(1), "x"}})
	got := slices.DeleteFunc(slices.Clone(p.calls), func(c string) bool { return !strings.HasPrefix(c, "sqs:") })
	slices.Sort(got)
	if want := policy(t, "HearEvents"); !slices.Equal(slices.Compact(got), want) {
		t.Errorf("with --queue balance calls\n%v\nand docs/iam/autoscalectl.json allows\n%v", slices.Compact(got), want)
	}
}
