// Package events shortens the wait between two looks at AWS: messages in an
// SQS queue, which EventBridge fills, say that it is time to look. What is
// done then follows from what AWS answers. A message that is missed, repeated,
// out of order or forged changes when a look begins.
package events

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
)

// SQS is the part of SQS that a queue needs; *sqs.Client has it.
type SQS interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// Queue is where messages come from. SQS, URL and Now are required.
type Queue struct {
	SQS     SQS
	URL     string
	Setting string        // what names the queue to its user, for advice
	Settle  time.Duration // wait after the first message, for those that come with it
	Now     func() time.Time
	// Read hears the text of every message before it is removed, once or more
	// often; nil reads none. Anybody who may send to the queue wrote it.
	Read func(body string)
	// Pause waits, or returns the cause for which ctx ended; nil is by the clock
	// on the wall.
	Pause func(ctx context.Context, d time.Duration) error
}

const (
	longPoll   = 20 // seconds, SQS's longest
	queueDelay = 5 * time.Second
	drainMost  = 100 // receives in a row, of ten messages at most
)

// Wait returns true when a message came, and false when most is over; with a
// most of 0 it takes only what is there. A queue that fails is an error once
// most is over, so that events may fail and looks go on.
func (q Queue) Wait(ctx context.Context, most time.Duration) (bool, error) {
	end := q.Now().Add(most)
	var failed error
	for asked := false; ; asked = true {
		left := end.Sub(q.Now())
		if asked && left <= 0 {
			return false, failed
		}
		n, err := q.receive(ctx, int32(max(0, min(longPoll, left/time.Second))))
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if failed = err; err != nil {
			if err := q.pause(ctx, min(queueDelay, left)); err != nil {
				return false, err
			}
			continue
		}
		if n > 0 {
			if err := q.pause(ctx, q.Settle); err != nil {
				return false, err
			}
			return true, q.Drain(ctx)
		}
		if left < time.Second {
			return false, q.pause(ctx, left)
		}
	}
}

// Drain takes what is there, without a wait: a group that shrinks by ten sends
// ten messages, and one look deals with them.
func (q Queue) Drain(ctx context.Context) error {
	for range drainMost {
		if n, err := q.receive(ctx, 0); n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// receive takes up to ten messages off the queue and says how many.
func (q Queue) receive(ctx context.Context, wait int32) (int, error) {
	out, err := q.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &q.URL, MaxNumberOfMessages: 10, WaitTimeSeconds: wait})
	if err != nil {
		return 0, q.failed("receiving events", "sqs:ReceiveMessage", err)
	}
	if len(out.Messages) == 0 {
		return 0, nil
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL}
	for n, m := range out.Messages {
		if q.Read != nil {
			q.Read(aws.ToString(m.Body))
		}
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(n)), ReceiptHandle: m.ReceiptHandle})
	}
	if _, err := q.SQS.DeleteMessageBatch(ctx, in); err != nil {
		return 0, q.failed("removing events", "sqs:DeleteMessage", err)
	}
	return len(out.Messages), nil
}

func (q Queue) failed(doing, action string, err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	next := ""
	if q.Setting != "" {
		next = "correct " + q.Setting
	}
	if awserr.IsAuth(err) {
		next = "allow " + action + " on the queue"
	}
	return fault.New(fault.AWS, next, fmt.Errorf("%s from %s: %w", doing, q.URL, awsfault.Brief(awserr.Unsent(err))))
}

// pause waits for d, or until ctx ends, whose cause it then returns.
func (q Queue) pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	if q.Pause != nil {
		return q.Pause(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
