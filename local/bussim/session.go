package bussim

import (
	"fmt"
	"slices"

	"portcullis/local/bussim/amqp"
)

const (
	windowSize = 5000 // transfers in flight, both ways
	maxHandle  = 1023
)

// session is one session of a connection; the broker's mutex guards it.
type session struct {
	conn    *conn
	channel uint16
	links   map[uint32]*link

	nextIn   uint32 // next-incoming-id
	windowIn uint32 // transfers the peer may still send

	nextOut   uint32 // next-outgoing-id
	windowOut uint32 // transfers the peer still takes
	nextID    uint32 // next delivery-id
	waiting   []transfer
	unsettled map[uint32]*delivery
}

// transfer is a frame that waits for the peer's window.
type transfer struct {
	head    amqp.Described
	payload []byte
}

// delivery is a message sent and not settled by the receiver.
type delivery struct {
	link  *link
	token amqp.UUID
}

func newSession(c *conn, channel uint16, begin amqp.Fields) *session {
	return &session{
		conn: c, channel: channel,
		links:     make(map[uint32]*link),
		nextIn:    begin.Uint32(1, 0),
		windowIn:  windowSize,
		windowOut: begin.Uint32(2, windowSize),
		unsettled: make(map[uint32]*delivery),
	}
}

func (s *session) send(v any, payload ...[]byte) { s.conn.send(s.channel, v, payload...) }

func (s *session) handle(code uint64, f amqp.Fields, payload []byte) error {
	switch code {
	case amqp.CodeAttach:
		return s.attach(f)
	case amqp.CodeFlow:
		return s.flow(f)
	case amqp.CodeDisposition:
		return s.disposition(f)
	case amqp.CodeTransfer:
		return s.transfer(f, payload)
	case amqp.CodeDetach:
		if l := s.links[f.Uint32(0, 0)]; l != nil {
			l.close()
			s.send(amqp.New(amqp.CodeDetach, l.handle, f.Bool(1)))
		}
		return nil // otherwise the answer to a detach of ours
	}
	return fmt.Errorf("performative %#x in a session", code)
}

// end forgets the session and its links. Locks stay until they expire, as
// Service Bus does outside of message sessions.
func (s *session) end() {
	for _, l := range s.links {
		l.close()
	}
	s.waiting = nil
	delete(s.conn.sessions, s.channel)
}

// flow takes the peer's windows and, for a link, its credit.
func (s *session) flow(f amqp.Fields) error {
	s.windowOut = remaining(f.Uint32(0, 0), f.Uint32(1, 0), s.nextOut)
	s.flush()
	if f.At(4) == nil {
		if f.Bool(9) {
			s.sendFlow(nil)
		}
		return nil
	}
	l := s.links[f.Uint32(4, 0)]
	if l == nil {
		return nil // it crossed our detach
	}
	if l.out {
		l.credit = remaining(f.Uint32(5, 0), f.Uint32(6, 0), l.count)
		l.drain = f.Bool(8)
		l.credited()
	}
	if f.Bool(9) && s.links[l.handle] == l {
		s.sendFlow(l)
	}
	return nil
}

// remaining is what is left of a grant that was made when the peer had seen
// seen, at a time when sent have been sent. Counts wrap around.
func remaining(seen, grant, sent uint32) uint32 {
	return uint32(min(max(int64(int32(seen-sent))+int64(grant), 0), 1<<31))
}

// sendFlow tells the peer the state of the session, and of l if not nil.
func (s *session) sendFlow(l *link) {
	fields := []any{s.nextIn, s.windowIn, s.nextOut, uint32(windowSize)}
	if l != nil {
		fields = append(fields, l.handle, l.count, l.credit, nil, l.drain)
	}
	s.send(amqp.New(amqp.CodeFlow, fields...))
}

// deliver sends payload as one delivery, in as many frames as the peer's
// frame size asks for.
func (s *session) deliver(l *link, tag, payload []byte, d *delivery) {
	const overhead = 128 // frame header and performative
	id := s.nextID
	s.nextID++
	if d != nil {
		s.unsettled[id] = d
	}
	chunk := int(s.conn.frameSize) - overhead
	for first := true; first || len(payload) > 0; first = false {
		n := min(chunk, len(payload))
		head := amqp.New(amqp.CodeTransfer, l.handle, id, tag, uint32(0), d == nil, n < len(payload))
		s.waiting = append(s.waiting, transfer{head, payload[:n]})
		payload = payload[n:]
	}
	s.flush()
}

// flush sends waiting transfers as far as the peer's window goes.
func (s *session) flush() {
	for len(s.waiting) > 0 && s.windowOut > 0 {
		t := s.waiting[0]
		s.waiting[0] = transfer{}
		s.waiting = s.waiting[1:]
		s.windowOut--
		s.nextOut++
		s.send(t.head, t.payload)
	}
}

// transfer takes an incoming frame of a delivery.
func (s *session) transfer(f amqp.Fields, payload []byte) error {
	s.nextIn++
	if s.windowIn == 0 {
		return fmt.Errorf("transfer beyond the session window")
	}
	if s.windowIn--; s.windowIn < windowSize/2 {
		s.windowIn = windowSize
		s.sendFlow(nil)
	}
	l := s.links[f.Uint32(0, 0)]
	if l == nil {
		return nil // it crossed our detach
	}
	if l.out {
		return fmt.Errorf("transfer on a link of the other direction")
	}
	l.receive(f, payload)
	return nil
}

// settled answers a disposition; state nil means accepted.
func (s *session) settled(fromReceiver bool, id uint32, state any) {
	if state == nil {
		state = amqp.New(amqp.CodeAccepted)
	}
	s.send(amqp.New(amqp.CodeDisposition, fromReceiver, id, id, true, state))
}

// disposition settles deliveries that the peer received.
func (s *session) disposition(f amqp.Fields) error {
	const receiver = true
	if f.Bool(0) != receiver {
		return nil // of our replies' sender side; all of them are settled
	}
	first := f.Uint32(1, 0)
	last := f.Uint32(2, first)
	var ids []uint32
	for id := range s.unsettled {
		if id-first <= last-first {
			ids = append(ids, id)
		}
	}
	if last == first && len(ids) == 0 && !f.Bool(3) {
		s.settled(false, first, rejected(errLockLost))
		return nil
	}
	slices.SortFunc(ids, func(a, b uint32) int { return int(int32(a - b)) })
	touched := make(map[*entity]bool)
	for _, id := range ids {
		d := s.unsettled[id]
		state, err := d.link.entity.settle(d.token, f.At(4))
		if err != nil {
			state = rejected(err)
		}
		delete(s.unsettled, id)
		touched[d.link.entity] = true
		if !f.Bool(3) {
			s.settled(false, id, state)
		}
	}
	for e := range touched {
		e.pump()
	}
	s.conn.broker.arm()
	return nil
}
