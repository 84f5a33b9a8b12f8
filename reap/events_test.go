package reap

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"bakehouse/internal/events"
)

// queue gives its messages one call at a time; a call without one costs the
// clock the time that it waits.
type queue struct {
	mu     sync.Mutex
	now    time.Time
	bodies []string
	taken  int // messages deleted
}

func (q *queue) clock() time.Time { q.mu.Lock(); defer q.mu.Unlock(); return q.now }

func (q *queue) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.bodies) == 0 {
		q.now = q.now.Add(time.Duration(max(1, in.WaitTimeSeconds)) * time.Second)
		return &sqs.ReceiveMessageOutput{}, nil
	}
	body := q.bodies[0]
	q.bodies = q.bodies[1:]
	return &sqs.ReceiveMessageOutput{Messages: []types.Message{{Body: &body, ReceiptHandle: aws.String("R")}}}, nil
}

func (q *queue) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken += len(in.Entries)
	return &sqs.DeleteMessageBatchOutput{}, nil
}

// TestEventsChangeNothingButTiming runs the same world after each kind of
// message: the same node goes, whatever the messages say.
func TestEventsChangeNothingButTiming(t *testing.T) {
	t.Parallel()
	about := func(id, state string) string {
		return fmt.Sprintf(`{"detail-type":"EC2 Instance State-change Notification","detail":{"instance-id":%q,"state":%q}}`, id, state)
	}
	dead, live := fmt.Sprintf("i-%017x", 1), fmt.Sprintf("i-%017x", 2)
	for name, row := range map[string]struct {
		bodies []string
		early  bool
	}{
		"missed":                     {nil, false},
		"as it is":                   {[]string{about(dead, "terminated")}, true},
		"repeated":                   {slices.Repeat([]string{about(dead, "terminated")}, 25), true},
		"reordered":                  {[]string{about(dead, "terminated"), about(dead, "shutting-down"), about(dead, "running"), about(dead, "pending")}, true},
		"forged, of a live instance": {[]string{about(live, "terminated")}, true},
		"forged, no JSON at all":     {[]string{"rm -rf /", ""}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, r, all := started(t, 5)
			if all[0].id != dead || all[1].id != live {
				t.Fatalf("the world has %s and %s", all[0].id, all[1].id)
			}
			f.end(all[0])
			q := &queue{now: noon(), bodies: row.bodies}
			early, err := events.Queue{SQS: q, URL: "Q", Now: q.clock}.Wait(context.Background(), 5*time.Minute)
			if err != nil || early != row.early || q.taken != len(row.bodies) {
				t.Errorf("early: %v, %v, %d messages taken; want %v and all %d", early, err, q.taken, row.early, len(row.bodies))
			}
			if waited := q.clock().Sub(noon()); !row.early && waited < 5*time.Minute {
				t.Errorf("without a message the wait is over after %v", waited)
			}
			rep, err := r.Run(context.Background(), "after")
			if err != nil || len(rep.Removals) != 1 || rep.Removals[0].Name != dead || f.deleted != 2 {
				t.Errorf("removed %+v, %v; want %s with its client alone", rep.Removals, err, dead)
			}
		})
	}
}
