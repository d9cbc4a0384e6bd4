package bussim

import (
	"slices"

	"portcullis/local/bussim/amqp"
)

// pump delivers ready messages to receivers that have credit, in turn.
func (e *entity) pump() {
	now := e.broker.config.Now()
	for m := e.ready.first(); m != nil && !e.faults.held; m = e.ready.first() {
		if !m.expires.IsZero() && !m.expires.After(now) {
			e.ripen(m, now)
			if e.messages[m.seq] == m {
				return // it could not be stored; the log has it
			}
			continue
		}
		l := e.next()
		if l == nil {
			return
		}
		if !l.session.conn.authorized(l.path) {
			l.detach(problem("amqp:unauthorized-access", "the token for %q has expired", l.path))
			continue
		}
		if err := e.hand(m, l); err != nil {
			e.broker.config.Log.Error("delivery stopped", "queue", e.name, "err", err)
			return
		}
	}
}

// next returns the receiver whose turn it is, nil when none has credit.
func (e *entity) next() *link {
	i := slices.IndexFunc(e.links, func(l *link) bool { return l.credit > 0 })
	if i < 0 {
		return nil
	}
	l := e.links[i]
	e.links = append(slices.Delete(e.links, i, i+1), l)
	return l
}

// hand delivers m to a receiver: locked, or for good when the link wants settled
// deliveries.
func (e *entity) hand(m *message, l *link) error {
	if e.faults.take(&e.faults.duplicate) {
		if err := e.copy(m); err != nil {
			return err
		}
	}
	lost := e.faults.take(&e.faults.drop)
	if l.settled {
		if err := e.remove(m); err != nil {
			return err
		}
		if !lost {
			l.transmit(newToken(), m.encode(), nil)
		}
		return nil
	}
	e.hold(m)
	e.broker.arm()
	if !lost {
		l.transmit(m.lock, m.encode(), &delivery{l, m.lock})
	}
	return nil
}

// copy enqueues a second m, past duplicate detection.
func (e *entity) copy(m *message) error {
	d := *m
	e.seq++
	d.seq, d.dueIndex, d.readyIndex = e.seq, -1, -1
	if err := e.broker.store.apply(changes{entity: e, put: []*message{&d}}); err != nil {
		return err
	}
	e.place(&d)
	return nil
}

// settle ends the lock of a delivery the way the receiver's state says, and
// returns the state to answer with.
func (e *entity) settle(token amqp.UUID, state any) (answer any, err error) {
	m := e.held(token)
	if m == nil {
		return nil, errLockLost
	}
	code, f, _ := amqp.Apart(state)
	switch code {
	case amqp.CodeAccepted:
		return amqp.New(amqp.CodeAccepted), e.remove(m)
	case amqp.CodeReleased:
		e.release(m)
		return amqp.New(amqp.CodeReleased), nil
	case amqp.CodeModified:
		// Service Bus counts an abandoned delivery whatever delivery-failed says.
		amend, _ := f.At(2).(amqp.Map)
		if f.Bool(1) {
			return state, e.setAside(m, amend)
		}
		return state, e.fail(m, amend)
	case amqp.CodeRejected:
		_, cause, _ := amqp.Apart(f.At(0))
		details, _ := cause.At(2).(amqp.Map)
		// The answer has no error: clients would take it for a failure.
		return amqp.New(amqp.CodeRejected), e.bury(m, m.count, withoutEmpty(details))
	}
	return nil, problem("amqp:not-implemented", "delivery state %#x", code)
}

// held returns the message of a live lock. A lock ends at its instant even
// when the timer is late.
func (e *entity) held(token amqp.UUID) *message {
	m := e.locks[token]
	if m == nil || token == (amqp.UUID{}) || !m.lockedUntil.After(e.broker.config.Now()) {
		return nil
	}
	return m
}

// withoutEmpty drops the reason and the description that SDKs send as empty
// strings when the caller gave none.
func withoutEmpty(in amqp.Map) amqp.Map {
	return slices.DeleteFunc(slices.Clone(in), func(p amqp.Pair) bool {
		name, _ := amqp.Text(p.Key)
		return (name == keyReason || name == keyDescription) && p.Value == any("")
	})
}
