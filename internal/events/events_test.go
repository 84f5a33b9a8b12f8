package events

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"bakehouse/internal/fault"
)

// queue gives its messages two a call; a call without one costs the clock the
// time that it waits.
type queue struct {
	now     time.Time
	bodies  []string
	receive error
	remove  error
	calls   []int32 // seconds that each receive would wait
	taken   int
}

func (q *queue) clock() time.Time { return q.now }

func (q *queue) ReceiveMessage(_ context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.calls = append(q.calls, in.WaitTimeSeconds)
	if q.receive != nil {
		q.now = q.now.Add(time.Hour)
		return nil, q.receive
	}
	if len(q.bodies) == 0 {
		q.now = q.now.Add(time.Duration(max(1, in.WaitTimeSeconds)) * time.Second)
		return &sqs.ReceiveMessageOutput{}, nil
	}
	n := min(2, len(q.bodies))
	out := &sqs.ReceiveMessageOutput{}
	for _, body := range q.bodies[:n] {
		out.Messages = append(out.Messages, types.Message{Body: &body, ReceiptHandle: aws.String("R")})
	}
	q.bodies = q.bodies[n:]
	return out, nil
}

func (q *queue) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if q.remove != nil {
		q.now = q.now.Add(time.Hour)
		return nil, q.remove
	}
	q.taken += len(in.Entries)
	return &sqs.DeleteMessageBatchOutput{}, nil
}

func newQueue(bodies ...string) (*queue, Queue) {
	q := &queue{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), bodies: bodies}
	return q, Queue{SQS: q, URL: "Q", Setting: "--queue", Now: q.clock}
}

func TestTheWaitIsALongPollAndEndsInTime(t *testing.T) {
	t.Parallel()
	fake, q := newQueue()
	begun := fake.now
	early, err := q.Wait(context.Background(), 50*time.Second)
	if early || err != nil || fake.now.Sub(begun) != 50*time.Second || !slices.Equal(fake.calls, []int32{20, 20, 10}) {
		t.Errorf("gives %v, %v after %v by calls of %v seconds", early, err, fake.now.Sub(begun), fake.calls)
	}
}

func TestNoWaitTakesWhatIsThere(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]bool{0: false, 3: true} {
		fake, q := newQueue(slices.Repeat([]string{"x"}, n)...)
		early, err := q.Wait(context.Background(), 0)
		if early != want || err != nil || fake.taken != n || slices.Max(fake.calls) != 0 {
			t.Errorf("of %d: gives %v, %v, took %d by calls of %v seconds", n, early, err, fake.taken, fake.calls)
		}
	}
}

func TestAllThatIsThereIsReadAndRemoved(t *testing.T) {
	t.Parallel()
	bodies := []string{"one", "", "three", "four", "five"}
	fake, q := newQueue(bodies...)
	var read []string
	q.Read = func(body string) { read = append(read, body) }
	early, err := q.Wait(context.Background(), time.Hour)
	if !early || err != nil || fake.taken != 5 || !slices.Equal(read, bodies) {
		t.Errorf("gives %v, %v; removed %d and read %q", early, err, fake.taken, read)
	}
}

func TestAFloodDoesNotKeepALookFromBeginning(t *testing.T) {
	t.Parallel()
	fake, q := newQueue(slices.Repeat([]string{"x"}, 5000)...)
	if early, err := q.Wait(context.Background(), time.Hour); !early || err != nil || len(fake.calls) != 1+drainMost {
		t.Errorf("gives %v, %v after %d calls", early, err, len(fake.calls))
	}
}

func TestAQueueThatFailsIsSaid(t *testing.T) {
	t.Parallel()
	denied := &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}
	for name, c := range map[string]struct {
		receive, remove error
		want, next      string
	}{
		"no queue":          {errors.New("no such queue"), nil, "receiving events from Q", "correct --queue"},
		"not allowed":       {denied, nil, "receiving events from Q", "allow sqs:ReceiveMessage on the queue"},
		"not allowed to go": {nil, denied, "removing events from Q", "allow sqs:DeleteMessage on the queue"},
	} {
		fake, q := newQueue("one")
		fake.receive, fake.remove = c.receive, c.remove
		early, err := q.Wait(context.Background(), time.Millisecond)
		if early || fault.KindOf(err) != fault.AWS || !strings.Contains(err.Error(), c.want) || fault.NextOf(err) != c.next {
			t.Errorf("%s: gives %v, %v, next %q", name, early, err, fault.NextOf(err))
		}
		if err := q.Drain(context.Background()); fault.KindOf(err) != fault.AWS && c.receive != nil {
			t.Errorf("%s: a drain gives %v", name, err)
		}
	}
}

func TestASignalEndsTheWait(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("SIGTERM")
	cancel(stop)
	_, q := newQueue()
	if early, err := q.Wait(ctx, time.Hour); early || !errors.Is(err, stop) {
		t.Errorf("gives %v, %v", early, err)
	}
}
