package bussim

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"portcullis/local/bussim/amqp"
)

// Names of annotations and application properties of Service Bus.
const (
	keyScheduled    = "x-opt-scheduled-enqueue-time"
	keyPartition    = "x-opt-partition-key"
	keyEnqueued     = "x-opt-enqueued-time"
	keyLockedUntil  = "x-opt-locked-until"
	keySequence     = "x-opt-sequence-number"
	keyOrigin       = "x-opt-enqueue-sequence-number"
	keyState        = "x-opt-message-state"
	keySource       = "x-opt-deadletter-source"
	keyLockToken    = "x-opt-lock-token"
	keyReason       = "DeadLetterReason"
	keyDescription  = "DeadLetterErrorDescription"
	batchFormat     = 0x80013700
	maxMessageBytes = 1 << 20 // what a Premium namespace takes in a batch
	maxIDLength     = 128     // characters
)

// content is what a sender sent. Properties, application properties, body and
// footer stay as their bytes, so that no value changes its type on the way.
type content struct {
	id          string // message-id as text
	header      amqp.List
	annotations amqp.Map
	properties  []byte
	application []byte
	body        []byte // data, sequence or value sections, and the footer
}

// message is a content in a queue. The broker's mutex guards it.
type message struct {
	content
	home      *entity
	seq       int64
	origin    int64 // sequence number at first arrival
	state     State
	count     uint32 // failed deliveries
	enqueued  time.Time
	scheduled time.Time // zero unless it was sent with a schedule
	ttl       time.Duration
	expires   time.Time // zero: never
	source    string    // the queue it was dead-lettered from

	lock        amqp.UUID // zero: not locked
	lockedUntil time.Time
	retry       time.Time // not before this, since a due change could not be stored; zero: as it is due

	dueIndex, readyIndex int
}

func (m *message) locked() bool { return m.lock != amqp.UUID{} }

// parse reads one encoded message, assigning a message-id when the sender
// gave none (JavaScript receivers need one).
func parse(b []byte) (content, error) {
	sections, err := amqp.Sections(b)
	if err != nil {
		return content{}, err
	}
	var c content
	props := amqp.List{}
	for _, s := range sections {
		switch s.Code {
		case amqp.CodeHeader:
			c.header = s.Value.(amqp.List)
		case amqp.CodeDeliveryAnnotations:
		case amqp.CodeMessageAnnotations:
			c.annotations = sendersOwn(s.Value.(amqp.Map))
		case amqp.CodeProperties:
			c.properties, props = s.Raw, s.Value.(amqp.List)
		case amqp.CodeApplicationProperties:
			c.application = s.Raw
		default:
			c.body = append(c.body, s.Raw...)
		}
	}
	if len(props) == 0 || props[0] == nil {
		rest := amqp.List{}
		if len(props) > 1 {
			rest = props[1:]
		}
		props = append(amqp.List{strings.ToLower(rand.Text())}, rest...)
		c.properties = amqp.Append(nil, amqp.Described{Descriptor: amqp.CodeProperties, Value: props})
	}
	c.id = fmt.Sprint(props[0])
	if utf8.RuneCountInString(c.id) > maxIDLength {
		return content{}, fmt.Errorf("a message id may have %d characters", maxIDLength)
	}
	return c, nil
}

// sendersOwn drops the annotations that only the broker may set, and those
// whose type would crash a receiver that trusts it.
func sendersOwn(in amqp.Map) amqp.Map {
	var out amqp.Map
	for _, p := range in {
		name, _ := amqp.Text(p.Key)
		keep := true
		switch name {
		case keyEnqueued, keyLockedUntil, keySequence, keyOrigin, keyState, keySource:
			keep = false
		case keyScheduled:
			_, keep = p.Value.(amqp.Timestamp)
		case keyPartition:
			_, keep = p.Value.(string)
		}
		if keep {
			out = append(out, p)
		}
	}
	return out
}

// parseBatch reads the messages of a transfer.
func parseBatch(b []byte, format uint32) ([]content, error) {
	if format != batchFormat {
		c, err := parse(b)
		return []content{c}, err
	}
	sections, err := amqp.Sections(b)
	if err != nil {
		return nil, err
	}
	var out []content
	for _, s := range sections {
		if s.Code != amqp.CodeData {
			continue
		}
		c, err := parse(s.Value.([]byte))
		if err != nil {
			return nil, fmt.Errorf("message %d of the batch: %w", len(out), err)
		}
		out = append(out, c)
	}
	return out, nil
}

// schedule returns the time at which the sender wants the message enqueued.
func (c *content) schedule() (time.Time, bool) {
	ms, ok := c.annotations.Lookup(keyScheduled).(amqp.Timestamp)
	return fromMillis(ms), ok
}

// timeToLive is the shorter of the sender's and the queue's; 0 means for ever.
func (c *content) timeToLive(limit time.Duration) time.Duration {
	ms, _ := amqp.Fields(c.header).At(2).(uint32)
	ttl := time.Duration(ms) * time.Millisecond
	if ttl == 0 || limit > 0 && limit < ttl {
		return limit
	}
	return ttl
}

// amend sets application properties of m.
func (m *message) amend(changes amqp.Map) {
	if len(changes) == 0 {
		return
	}
	var props amqp.Map
	if v, _, err := amqp.Decode(m.application); err == nil { // it was decoded on arrival
		props, _ = v.(amqp.Described).Value.(amqp.Map)
	}
	for _, p := range changes {
		name, ok := amqp.Text(p.Key)
		_, text := p.Value.(string)
		if !ok || (name == keyReason || name == keyDescription) && !text {
			continue // receivers trust these to be strings
		}
		props = props.With(name, p.Value)
	}
	m.application = amqp.Append(nil, amqp.Described{Descriptor: amqp.CodeApplicationProperties, Value: props})
}

// encode returns m as a receiver sees it: the sender's bytes, with header,
// delivery annotations and message annotations rewritten.
func (m *message) encode() []byte {
	header := make(amqp.List, 5)
	copy(header, m.header)
	header[2] = nil
	if m.ttl > 0 {
		header[2] = uint32(min(m.ttl.Milliseconds(), 1<<32-1))
	}
	header[4] = m.count
	out := amqp.Append(nil, amqp.Described{Descriptor: amqp.CodeHeader, Value: header})
	if m.locked() {
		out = amqp.Append(out, amqp.Described{Descriptor: amqp.CodeDeliveryAnnotations,
			Value: amqp.Map{{Key: amqp.Symbol(keyLockToken), Value: m.lock}}})
	}
	notes := m.annotations.
		With(amqp.Symbol(keyEnqueued), toMillis(m.enqueued)).
		With(amqp.Symbol(keySequence), m.seq).
		With(amqp.Symbol(keyOrigin), m.origin).
		With(amqp.Symbol(keyState), int32(m.state))
	if m.locked() {
		notes = notes.With(amqp.Symbol(keyLockedUntil), toMillis(m.lockedUntil))
	}
	if m.source != "" {
		notes = notes.With(amqp.Symbol(keySource), m.source)
	}
	out = amqp.Append(out, amqp.Described{Descriptor: amqp.CodeMessageAnnotations, Value: notes})
	out = append(out, m.properties...)
	out = append(out, m.application...)
	return append(out, m.body...)
}

func toMillis(t time.Time) amqp.Timestamp   { return amqp.Timestamp(t.UnixMilli()) }
func fromMillis(t amqp.Timestamp) time.Time { return time.UnixMilli(int64(t)).UTC() }

// tag returns a lock token as a delivery tag: the byte order of a .NET GUID.
func tag(u amqp.UUID) []byte {
	return []byte{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6],
		u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
}

// newToken returns a random lock token (UUID version 4).
func newToken() amqp.UUID {
	var u amqp.UUID
	rand.Read(u[:]) // never fails, see crypto/rand
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return u
}
