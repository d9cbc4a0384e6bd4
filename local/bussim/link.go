package bussim

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/local/bussim/amqp"
)

const (
	cbsAddress       = "$cbs"
	managementSuffix = "/$management"
	creditGrant      = 1000 // to senders, topped up at half
	maxDescription   = 4096
)

type role int

const (
	roleEntity role = iota
	roleCBS
	roleManagement
)

// link is one end of an attached link; the broker's mutex guards it.
type link struct {
	session *session
	name    string
	handle  uint32
	out     bool   // we send on it
	path    string // address without /$management: what claims are about
	replyTo string // the client's target address, for replies
	role    role
	entity  *entity // nil for $cbs
	settled bool    // deliveries are sent settled

	credit, count uint32 // count is the delivery-count
	drain         bool
	replies       [][]byte // of requests, waiting for credit

	// The incoming delivery so far.
	open, sentSettled bool
	id, format        uint32
	buf               []byte
}

// attach opens a link or refuses it. go-amqp before 1.7 recognises a refusal
// only when both source and target are null.
func (s *session) attach(f amqp.Fields) error {
	l := &link{session: s, name: f.Text(0), handle: f.Uint32(1, 0), out: f.Bool(2)}
	if s.links[l.handle] != nil || l.handle > maxHandle {
		return fmt.Errorf("attach with handle %d, which is in use or too high", l.handle)
	}
	source, target := f.At(5), f.At(6)
	refusal := l.resolve(source, target)
	if refusal != nil {
		s.conn.broker.config.Log.Info("attach refused", "link", l.name, "err", refusal)
		source, target = nil, nil
	}
	const settled, mixed = uint8(1), uint8(2)
	sndMode, stated := f.At(3).(uint8)
	if !stated {
		sndMode = mixed
	}
	rcvMode, _ := f.At(4).(uint8)
	l.settled = sndMode == settled
	reply := []any{l.name, l.handle, !l.out, sndMode, rcvMode, source, target, nil, nil, nil, uint64(maxMessageBytes)}
	if l.out {
		reply[9] = uint32(0) // initial-delivery-count
	}
	s.send(amqp.New(amqp.CodeAttach, reply...))
	if refusal != nil {
		s.send(amqp.New(amqp.CodeDetach, l.handle, true, errorFor(refusal)))
		return nil
	}
	s.links[l.handle] = l
	if l.out {
		if l.role == roleEntity {
			l.entity.links = append(l.entity.links, l)
		}
		return nil
	}
	l.count = f.Uint32(9, 0)
	l.credit = creditGrant
	s.sendFlow(l)
	return nil
}

// resolve finds what the link is about, and whether this connection may.
func (l *link) resolve(source, target any) error {
	near, far := target, source // of a client that sends
	if l.out {
		near, far = source, target
	}
	address := terminus(near)
	l.replyTo = terminus(far)
	if strings.EqualFold(address, cbsAddress) {
		l.role = roleCBS
		return nil
	}
	l.path = strings.Trim(address, "/")
	if n := len(l.path) - len(managementSuffix); n >= 0 && strings.EqualFold(l.path[n:], managementSuffix) {
		l.role, l.path = roleManagement, l.path[:n]
	}
	if !l.session.conn.authorized(l.path) {
		return problem("amqp:unauthorized-access", "no valid claim for %q; put a token to $cbs first", l.path)
	}
	l.entity = l.session.conn.broker.entity(l.path)
	if l.entity == nil {
		return problem("amqp:not-found", "the messaging entity %q could not be found", l.path)
	}
	if !l.out && l.role == roleEntity && l.entity.dead == nil {
		return problem("amqp:not-allowed", "dead-letter queues take no messages from senders")
	}
	return nil
}

// terminus returns the address of a source or target.
func terminus(v any) string {
	_, f, _ := amqp.Apart(v)
	return f.Text(0)
}

// close forgets the link. Messages it holds stay locked.
func (l *link) close() {
	s := l.session
	delete(s.links, l.handle)
	for id, d := range s.unsettled {
		if d.link == l {
			delete(s.unsettled, id)
		}
	}
	if l.entity != nil {
		l.entity.links = slices.DeleteFunc(l.entity.links, func(other *link) bool { return other == l })
	}
}

// detach ends the link with an error.
func (l *link) detach(err error) {
	l.close()
	l.session.send(amqp.New(amqp.CodeDetach, l.handle, true, errorFor(err)))
}

// credited uses new credit: for waiting replies, or for messages.
func (l *link) credited() {
	for len(l.replies) > 0 && l.credit > 0 {
		l.transmit(newToken(), l.replies[0], nil)
		l.replies = l.replies[1:]
	}
	if l.role == roleEntity {
		l.entity.pump()
	}
	if l.drain && l.credit > 0 && l.session.links[l.handle] == l {
		l.count += l.credit
		l.credit = 0
		l.session.sendFlow(l)
	}
}

// transmit sends one delivery; the caller has checked the credit.
func (l *link) transmit(token amqp.UUID, payload []byte, d *delivery) {
	l.credit--
	l.count++
	l.session.deliver(l, tag(token), payload, d)
}

// reply sends a response as soon as the link has credit. Under load requests
// arrive before the flow that grants it.
func (l *link) reply(payload []byte) {
	l.replies = append(l.replies, payload)
	l.credited()
}

// receive takes a transfer frame and acts on the last one of a delivery.
func (l *link) receive(f amqp.Fields, payload []byte) {
	if !l.open {
		if l.credit == 0 {
			l.detach(problem("amqp:link:transfer-limit-exceeded", "delivery without credit"))
			return
		}
		l.open, l.sentSettled, l.buf = true, false, nil
		l.id, l.format = f.Uint32(1, 0), f.Uint32(3, 0)
	}
	l.sentSettled = l.sentSettled || f.Bool(4)
	if len(l.buf)+len(payload) > maxMessageBytes {
		l.detach(problem("amqp:link:message-size-exceeded", "messages may have %d bytes", maxMessageBytes))
		return
	}
	l.buf = append(l.buf, payload...)
	if f.Bool(5) && !f.Bool(9) { // more, aborted
		return
	}
	body, aborted := l.buf, f.Bool(9)
	l.open, l.buf = false, nil
	l.count++
	if l.credit--; l.credit < creditGrant/2 {
		l.credit = creditGrant
		l.session.sendFlow(l)
	}
	if !aborted {
		l.accept(body)
	}
}

// accept acts on a whole delivery and settles it.
func (l *link) accept(body []byte) {
	if l.role != roleCBS && !l.session.conn.authorized(l.path) {
		l.detach(problem("amqp:unauthorized-access", "the token for %q has expired", l.path))
		return
	}
	var err error
	switch l.role {
	case roleEntity:
		err = l.enqueue(body)
	case roleCBS:
		err = l.request(body, l.putToken)
	case roleManagement:
		err = l.request(body, l.manage)
	}
	if l.sentSettled {
		return
	}
	var state any
	if err != nil {
		state = rejected(err)
	}
	l.session.settled(true, l.id, state)
}

func (l *link) enqueue(body []byte) error {
	if err := l.entity.faults.refuseSend(); err != nil {
		return err
	}
	contents, err := parseBatch(body, l.format)
	if err != nil {
		return problem("amqp:decode-error", "%v", err)
	}
	_, err = l.entity.enqueue(contents)
	return err
}

// condition is an error with an AMQP error condition.
type condition struct{ name, text string }

func (c *condition) Error() string { return c.name + ": " + c.text }

func problem(name, format string, args ...any) error {
	return &condition{name, fmt.Sprintf(format, args...)}
}

// errorOf returns the described list of an AMQP error. Receivers break on any
// other shape of it.
func errorOf(name, text string) amqp.Described {
	if len(text) > maxDescription {
		text = text[:maxDescription]
	}
	return amqp.New(amqp.CodeError, amqp.Symbol(name), strings.ToValidUTF8(text, "?"))
}

func errorFor(err error) amqp.Described {
	var c *condition
	switch {
	case errors.As(err, &c):
		return errorOf(c.name, c.text)
	case errors.Is(err, errLockLost):
		return errorOf("com.microsoft:message-lock-lost", err.Error())
	case errors.Is(err, errDeadAlready):
		return errorOf("amqp:not-allowed", err.Error())
	}
	return errorOf("amqp:internal-error", err.Error())
}

// rejected is the delivery state that reports err.
func rejected(err error) any { return amqp.New(amqp.CodeRejected, errorFor(err)) }
