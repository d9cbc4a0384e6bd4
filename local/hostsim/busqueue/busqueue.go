// Package busqueue is the Functions host's end of a Service Bus queue: a
// [hostsim.Queue] over the Azure SDK's client, so that the host stand-in talks
// AMQP to whatever broker the client was made for.
//
// It is faithful to the trigger in receiving in peek-lock mode, one message at
// a time and without prefetching. It leaves out sessions, topics and
// receive-and-delete. The SDK's receiver connects again by itself, at the next
// call, when the broker has gone away and come back; how long one call tries is
// the client's RetryOptions, and the wait between calls is the host's.
package busqueue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azservicebus"
	"github.com/google/uuid"

	"portcullis/local/hostsim"
)

// closeTimeout bounds the farewell to the broker, which may be gone already.
const closeTimeout = time.Second

// Queue receives from one queue. It is an io.Closer.
type Queue struct {
	receiver *azservicebus.Receiver
	name     string
}

var _ hostsim.Queue = (*Queue)(nil)

// Open returns the queue called name, without connecting to it yet: a queue
// that does not exist is an error of Receive. Closing it does not close the
// client.
func Open(client *azservicebus.Client, name string) (*Queue, error) {
	r, err := client.NewReceiverForQueue(name, &azservicebus.ReceiverOptions{ReceiveMode: azservicebus.ReceiveModePeekLock})
	if err != nil {
		return nil, fmt.Errorf("open the queue %s: %w", name, err)
	}
	return &Queue{receiver: r, name: name}, nil
}

// Receive waits for one message.
func (q *Queue) Receive(ctx context.Context) (*hostsim.Message, error) {
	messages, err := q.receiver.ReceiveMessages(ctx, 1, nil)
	if err != nil {
		return nil, fmt.Errorf("receive from %s: %w", q.name, err)
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("receive from %s: no message", q.name)
	}
	return message(messages[0]), nil
}

// Complete removes the message.
func (q *Queue) Complete(ctx context.Context, m *hostsim.Message) error {
	origin, err := q.origin(m)
	if err != nil {
		return err
	}
	return q.receiver.CompleteMessage(ctx, origin, nil)
}

// Abandon unlocks the message for another delivery.
func (q *Queue) Abandon(ctx context.Context, m *hostsim.Message) error {
	origin, err := q.origin(m)
	if err != nil {
		return err
	}
	return q.receiver.AbandonMessage(ctx, origin, nil)
}

// RenewLock extends the message's lock and returns its new end.
func (q *Queue) RenewLock(ctx context.Context, m *hostsim.Message) (time.Time, error) {
	origin, err := q.origin(m)
	if err != nil {
		return time.Time{}, err
	}
	if err := q.receiver.RenewMessageLock(ctx, origin, nil); err != nil {
		return time.Time{}, err
	}
	if origin.LockedUntil == nil {
		return time.Time{}, errors.New("renewed lock without an end")
	}
	return *origin.LockedUntil, nil
}

// Close ends the receiver.
func (q *Queue) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := q.receiver.Close(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("close the queue %s: %w", q.name, err)
	}
	return nil
}

// origin returns the SDK's message behind m.
func (q *Queue) origin(m *hostsim.Message) (*azservicebus.ReceivedMessage, error) {
	origin, ok := m.Origin.(*azservicebus.ReceivedMessage)
	if !ok {
		return nil, fmt.Errorf("message %s was not received from the queue %s", m.MessageID, q.name)
	}
	return origin, nil
}

// message translates the SDK's message.
func message(r *azservicebus.ReceivedMessage) *hostsim.Message {
	return &hostsim.Message{
		Body:                  r.Body,
		MessageID:             r.MessageID,
		SequenceNumber:        value(r.SequenceNumber),
		DeliveryCount:         r.DeliveryCount,
		LockToken:             uuid.UUID(r.LockToken).String(),
		LockedUntil:           value(r.LockedUntil),
		EnqueuedTime:          value(r.EnqueuedTime),
		ExpiresAt:             value(r.ExpiresAt),
		ContentType:           value(r.ContentType),
		CorrelationID:         value(r.CorrelationID),
		Subject:               value(r.Subject),
		To:                    value(r.To),
		ReplyTo:               value(r.ReplyTo),
		SessionID:             value(r.SessionID),
		ReplyToSessionID:      value(r.ReplyToSessionID),
		PartitionKey:          value(r.PartitionKey),
		DeadLetterSource:      value(r.DeadLetterSource),
		ApplicationProperties: r.ApplicationProperties,
		Origin:                r,
	}
}

// value returns what p points to, or the zero value for nil.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
