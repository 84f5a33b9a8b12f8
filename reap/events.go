package reap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"bakehouse/internal/awserr"
	"bakehouse/internal/fault"
)

// Queue is the part of SQS that the reaper uses; *sqs.Client has it.
type Queue interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// Events shortens the wait between two runs. A message says "look now" and
// nothing else: its text is not even read, so one that is missed, repeated,
// out of order or forged changes when a run begins and never what it does.
type Events struct {
	SQS    Queue
	URL    string
	Settle time.Duration // wait after the first message, for those that come with it
	Now    func() time.Time
}

const (
	longPoll   = 20 // seconds, SQS's longest
	queueDelay = 5 * time.Second
)

// Wait returns true when a message came, and false when max is over. A queue
// that fails is an error once max is over, so that events may fail and runs
// go on.
func (e Events) Wait(ctx context.Context, max time.Duration) (bool, error) {
	end := e.Now().Add(max)
	var failed error
	for {
		left := end.Sub(e.Now())
		if left <= 0 {
			return false, failed
		}
		n, err := e.receive(ctx, int32(min(longPoll, left/time.Second)))
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if failed = err; err != nil {
			if err := pause(ctx, min(queueDelay, left)); err != nil {
				return false, err
			}
			continue
		}
		if n > 0 {
			return true, e.drain(ctx)
		}
		if left < time.Second {
			return false, pause(ctx, left)
		}
	}
}

// drain takes what comes within Settle: a group that shrinks by ten sends ten
// messages, and one run deals with them.
func (e Events) drain(ctx context.Context) error {
	if err := pause(ctx, e.Settle); err != nil {
		return err
	}
	for range 100 {
		if n, err := e.receive(ctx, 0); n == 0 || err != nil {
			return err
		}
	}
	return nil
}

// receive takes up to ten messages off the queue and says how many.
func (e Events) receive(ctx context.Context, wait int32) (int, error) {
	out, err := e.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &e.URL, MaxNumberOfMessages: 10, WaitTimeSeconds: wait})
	if err != nil {
		return 0, e.failed("receiving events", "sqs:ReceiveMessage", err)
	}
	if len(out.Messages) == 0 {
		return 0, nil
	}
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &e.URL}
	for n, m := range out.Messages {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(n)), ReceiptHandle: m.ReceiptHandle})
	}
	if _, err := e.SQS.DeleteMessageBatch(ctx, in); err != nil {
		return 0, e.failed("removing events", "sqs:DeleteMessage", err)
	}
	return len(out.Messages), nil
}

func (e Events) failed(doing, action string, err error) error {
	next := "correct reaper.queue"
	if awserr.IsAuth(err) {
		next = "allow " + action + " on the queue"
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fault.New(fault.AWS, next, fmt.Errorf("%s from %s: %w", doing, e.URL, err))
}
