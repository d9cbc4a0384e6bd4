package bussim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"portcullis/local/bussim/amqp"
)

const serverBusy = "com.microsoft:server-busy"

// faults are what tests want to go wrong in an entity.
type faults struct {
	held                  bool
	drop, duplicate, busy int
}

// take uses up one of n.
func (f *faults) take(n *int) bool {
	if *n == 0 {
		return false
	}
	*n--
	return true
}

func (f *faults) refuseSend() error {
	if f.take(&f.busy) {
		return problem(serverBusy, "the request was terminated because the entity is being throttled")
	}
	return nil
}

// Refuse closes new connections on arrival until it is called with false.
func (b *Broker) Refuse(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = on
}

// DropConnections breaks all connections without a word and returns how many
// there were. Messages locked on them stay locked until their locks expire.
func (b *Broker) DropConnections() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.conns)
	b.cut()
	return n
}

// Hold stops deliveries from a queue until it is called with false. Requests
// by sequence number and peeks still work.
func (b *Broker) Hold(queue string, on bool) error {
	return b.adjust(queue, func(e *entity) {
		e.faults.held = on
		e.pump()
	})
}

// DropNext loses the next n deliveries of a queue between broker and
// receiver: they are locked and come back when the lock expires.
func (b *Broker) DropNext(queue string, n int) error {
	return b.adjust(queue, func(e *entity) { e.faults.drop = n })
}

// DuplicateNext leaves a second copy of each of the next n delivered messages
// in the queue: same message id, sequence number of its own.
func (b *Broker) DuplicateNext(queue string, n int) error {
	return b.adjust(queue, func(e *entity) { e.faults.duplicate = n })
}

// BusyNext refuses the next n sends and schedule requests to a queue as
// com.microsoft:server-busy.
func (b *Broker) BusyNext(queue string, n int) error {
	return b.adjust(queue, func(e *entity) { e.faults.busy = n })
}

func (b *Broker) adjust(queue string, do func(*entity)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.entity(queue)
	if e == nil {
		return fmt.Errorf("no queue %q", queue)
	}
	do(e)
	return nil
}

// State is what a message waits for. Its values are those of
// x-opt-message-state.
type State int

// The states of messages.
const (
	Active State = iota
	Deferred
	Scheduled
)

func (s State) String() string {
	if s < Active || s > Scheduled {
		return "State(" + strconv.Itoa(int(s)) + ")"
	}
	return [...]string{"active", "deferred", "scheduled"}[s]
}

// Counts are the numbers of messages in a queue. A locked message counts as
// locked only.
type Counts struct{ Active, Locked, Scheduled, Deferred, DeadLettered int }

// Message is what a test wants to know of a message. Times are zero when
// they do not apply. Values of application properties are of the types of
// package amqp.
type Message struct {
	ID                     string
	SequenceNumber         int64
	EnqueuedSequenceNumber int64
	State                  State
	Locked                 bool
	DeliveryCount          int // failed deliveries
	EnqueuedTime           time.Time
	ScheduledTime          time.Time
	LockedUntil            time.Time
	ExpiresAt              time.Time
	DeadLetterSource       string
	ApplicationProperties  map[string]any
	Body                   []byte // of the data sections
}

// Counts counts the messages of a queue, or of a path like
// "queue/$DeadLetterQueue".
func (b *Broker) Counts(queue string) (Counts, error) {
	var c Counts
	err := b.adjust(queue, func(e *entity) {
		for m := range maps.Values(e.messages) {
			switch {
			case m.locked():
				c.Locked++
			case m.state == Scheduled:
				c.Scheduled++
			case m.state == Deferred:
				c.Deferred++
			default:
				c.Active++
			}
		}
		if e.dead != nil {
			c.DeadLettered = len(e.dead.messages)
		}
	})
	return c, err
}

// Messages returns the messages of a queue in the order of their sequence
// numbers.
func (b *Broker) Messages(queue string) ([]Message, error) {
	var out []Message
	err := b.adjust(queue, func(e *entity) {
		for _, m := range e.sorted() {
			out = append(out, m.snapshot())
		}
	})
	return out, err
}

func (m *message) snapshot() Message {
	s := Message{
		ID: m.id, SequenceNumber: m.seq, EnqueuedSequenceNumber: m.origin,
		State: m.state, Locked: m.locked(), DeliveryCount: int(m.count),
		EnqueuedTime: m.enqueued, ScheduledTime: m.scheduled, LockedUntil: m.lockedUntil, ExpiresAt: m.expires,
		DeadLetterSource: m.source,
	}
	sections, err := amqp.Sections(slices.Concat(m.application, m.body))
	if err != nil {
		return s // not possible: they were decoded on arrival
	}
	for _, part := range sections {
		switch v := part.Value.(type) {
		case amqp.Map:
			if part.Code != amqp.CodeApplicationProperties {
				continue
			}
			s.ApplicationProperties = make(map[string]any)
			for _, p := range v {
				name, _ := amqp.Text(p.Key)
				s.ApplicationProperties[name] = p.Value
			}
		case []byte:
			if part.Code == amqp.CodeData {
				s.Body = append(s.Body, v...)
			}
		}
	}
	return s
}
