package hostsim

import (
	"context"
	"time"
)

// Queue is one Service Bus queue, received from in peek-lock mode.
//
// Receive is never called by two goroutines at once; the others may be, and
// while a Receive is under way. Every method returns soon after its context
// ends.
type Queue interface {
	// Receive waits for one message, which is locked to the caller until its
	// LockedUntil. It returns a nil message and an error when the queue cannot be
	// reached or ctx ends; the host then waits a little and calls again, and the
	// queue is to connect again by itself.
	Receive(ctx context.Context) (*Message, error)
	// Complete removes the message. It is an error if the lock was lost: the
	// message is then somebody else's, or will be.
	Complete(ctx context.Context, m *Message) error
	// Abandon unlocks the message, so that it is received again at once with a
	// DeliveryCount one higher, or is dead-lettered if that is over the queue's
	// maximum. It is an error if the lock was lost.
	Abandon(ctx context.Context, m *Message) error
	// RenewLock extends the lock by the queue's lock duration and returns its new
	// end. It is an error if the lock was lost.
	RenewLock(ctx context.Context, m *Message) (time.Time, error)
}

// Message is one delivery of a Service Bus message. An empty string and a zero
// time stand for a property that the message does not have.
//
// How it is posted to the handler is the host's own way: Data holds the body as
// a JSON string that holds a JSON string; Metadata holds numbers and strings as
// JSON in a string, times without fractions of a second and, where the name
// ends in Utc, without a zone. If the body is a JSON object, its top-level
// properties other than arrays are written over the metadata, whatever the case
// of their names: MessageId in Metadata is then what the sender's body says.
type Message struct {
	Body                  []byte
	MessageID             string
	SequenceNumber        int64
	DeliveryCount         uint32 // 1 for the first delivery
	LockToken             string // a UUID
	LockedUntil           time.Time
	EnqueuedTime          time.Time
	ExpiresAt             time.Time
	ContentType           string
	CorrelationID         string
	Subject               string
	To                    string
	ReplyTo               string
	SessionID             string
	ReplyToSessionID      string
	PartitionKey          string
	DeadLetterSource      string
	ApplicationProperties map[string]any

	// Origin is the Queue's own: what it needs to settle the message.
	Origin any
}
