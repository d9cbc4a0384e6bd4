package bussim

import (
	"errors"
	"slices"

	"portcullis/local/bussim/amqp"
)

const maxPeek = 1000

// manage answers a request to a $management node.
func (l *link) manage(r request) {
	args, _ := r.body.(amqp.Map)
	var body amqp.Map
	var err error
	switch r.operation {
	case "com.microsoft:schedule-message":
		body, err = l.entity.scheduleAll(args)
	case "com.microsoft:cancel-scheduled-message":
		body, err = l.entity.cancelAll(args)
	case "com.microsoft:renew-lock":
		body, err = l.entity.renewAll(args)
	case "com.microsoft:peek-message":
		body, err = l.entity.peek(args)
	case "com.microsoft:receive-by-sequence-number":
		body, err = l.entity.receiveDeferred(args)
	case "com.microsoft:update-disposition":
		body, err = l.entity.settleAll(args)
	default:
		err = problem("amqp:not-implemented", "operation %q", r.operation)
	}
	l.answer(r, status(body, err))
	if err == nil {
		l.entity.pump()
		l.entity.broker.arm()
	}
}

// status translates an outcome: 404 and 410 end an operation of the SDKs, 503
// is retried, and anything else makes them connect again.
func status(body amqp.Map, err error) response {
	var c *condition
	switch {
	case err == nil && body == nil:
		return response{status: 204, text: "No Content", body: amqp.Map{}}
	case err == nil:
		return response{status: 200, text: "OK", body: body}
	case errors.Is(err, errNoMessage):
		return response{status: 404, text: err.Error(), condition: "com.microsoft:message-not-found"}
	case errors.Is(err, errLockLost):
		return response{status: 410, text: err.Error(), condition: "com.microsoft:message-lock-lost"}
	case errors.As(err, &c) && c.name == serverBusy:
		return response{status: 503, text: c.text, condition: c.name}
	case errors.As(err, &c) && c.name == "amqp:not-implemented":
		return response{status: 501, text: c.text, condition: c.name}
	case errors.As(err, &c):
		return response{status: 400, text: c.text, condition: c.name}
	case errors.Is(err, errDeadAlready):
		return response{status: 400, text: err.Error(), condition: "amqp:not-allowed"}
	}
	return response{status: 500, text: err.Error(), condition: "amqp:internal-error"}
}

func badArgument(name string) error {
	return problem("amqp:invalid-field", "%s is missing or has a wrong type", name)
}

func (e *entity) scheduleAll(args amqp.Map) (amqp.Map, error) {
	if err := e.faults.refuseSend(); err != nil {
		return nil, err
	}
	list, ok := amqp.Items(args.Lookup("messages"))
	if !ok || len(list) == 0 || e.dead == nil {
		return nil, badArgument("messages")
	}
	var contents []content
	for _, item := range list {
		entry, _ := item.(amqp.Map)
		raw, ok := entry.Lookup("message").([]byte)
		if !ok {
			return nil, badArgument("message")
		}
		c, err := parse(raw)
		if err != nil {
			return nil, problem("amqp:decode-error", "%v", err)
		}
		if _, ok := c.schedule(); !ok {
			return nil, badArgument(keyScheduled)
		}
		contents = append(contents, c)
	}
	numbers, err := e.enqueue(contents)
	if err != nil {
		return nil, err
	}
	out := amqp.Array{Type: amqp.TypeLong}
	for _, n := range numbers {
		out.Items = append(out.Items, n)
	}
	return amqp.Map{{Key: "sequence-numbers", Value: out}}, nil
}

// bySequence returns the messages named by args that are in the given state
// and not locked: all of them or an error.
func (e *entity) bySequence(args amqp.Map, state State) ([]*message, error) {
	items, ok := amqp.Items(args.Lookup("sequence-numbers"))
	if !ok || len(items) == 0 {
		return nil, badArgument("sequence-numbers")
	}
	var out []*message
	for _, item := range items {
		n, ok := amqp.Integer(item)
		m := e.messages[n]
		if !ok || m == nil || m.state != state || m.locked() || slices.Contains(out, m) {
			return nil, errNoMessage
		}
		out = append(out, m)
	}
	return out, nil
}

// cancelAll removes scheduled messages. Their ids stay in the duplicate
// window (unverified).
func (e *entity) cancelAll(args amqp.Map) (amqp.Map, error) {
	found, err := e.bySequence(args, Scheduled)
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		if err := e.remove(m); err != nil {
			return nil, err
		}
	}
	return amqp.Map{}, nil
}

// receiveDeferred hands out deferred messages: locked when the settle mode is
// second (1), removed when it is first (0).
func (e *entity) receiveDeferred(args amqp.Map) (amqp.Map, error) {
	found, err := e.bySequence(args, Deferred)
	if err != nil {
		return nil, err
	}
	mode, _ := amqp.Integer(args.Lookup("receiver-settle-mode"))
	var out amqp.List
	for _, m := range found {
		entry := amqp.Map{}
		if mode == 0 {
			if err := e.remove(m); err != nil {
				return nil, err
			}
		} else {
			e.hold(m)
			entry = entry.With("lock-token", m.lock)
		}
		out = append(out, entry.With("message", m.encode()))
	}
	return amqp.Map{{Key: "messages", Value: out}}, nil
}

// byToken returns the messages of the live locks named by args: all or an error.
func (e *entity) byToken(args amqp.Map) ([]*message, error) {
	items, ok := amqp.Items(args.Lookup("lock-tokens"))
	if !ok || len(items) == 0 {
		return nil, badArgument("lock-tokens")
	}
	var out []*message
	for _, item := range items {
		token, ok := item.(amqp.UUID)
		if !ok {
			return nil, badArgument("lock-tokens")
		}
		m := e.held(token)
		if m == nil || slices.Contains(out, m) {
			return nil, errLockLost
		}
		out = append(out, m)
	}
	return out, nil
}

func (e *entity) renewAll(args amqp.Map) (amqp.Map, error) {
	found, err := e.byToken(args)
	if err != nil {
		return nil, err
	}
	out := amqp.Array{Type: amqp.TypeTimestamp}
	for _, m := range found {
		m.lockedUntil = e.broker.config.Now().Add(e.config.LockDuration)
		e.place(m)
		out.Items = append(out.Items, toMillis(m.lockedUntil))
	}
	return amqp.Map{{Key: "expirations", Value: out}}, nil
}

// settleAll settles by lock token. "defered" is the protocol's spelling.
func (e *entity) settleAll(args amqp.Map) (amqp.Map, error) {
	found, err := e.byToken(args)
	if err != nil {
		return nil, err
	}
	how, _ := amqp.Text(args.Lookup("disposition-status"))
	amend, _ := args.Lookup("properties-to-modify").(amqp.Map)
	reason, _ := args.Lookup("deadletter-reason").(string)
	description, _ := args.Lookup("deadletter-description").(string)
	for _, m := range found {
		switch how {
		case "completed":
			err = e.remove(m)
		case "abandoned":
			err = e.fail(m, amend)
		case "defered":
			err = e.setAside(m, amend)
		case "suspended":
			err = e.bury(m, m.count, append(deadLetter(reason, description), amend...))
		default:
			err = badArgument("disposition-status")
		}
		if err != nil {
			return nil, err
		}
	}
	return amqp.Map{}, nil
}

// peek shows messages of all states in the order of sequence numbers.
func (e *entity) peek(args amqp.Map) (amqp.Map, error) {
	from, ok1 := amqp.Integer(args.Lookup("from-sequence-number"))
	count, ok2 := amqp.Integer(args.Lookup("message-count"))
	if !ok1 || !ok2 || count < 1 {
		return nil, badArgument("from-sequence-number or message-count")
	}
	var out amqp.List
	size := 0
	for _, m := range e.sorted() {
		if m.seq < from {
			continue
		}
		shown := *m
		shown.lock = amqp.UUID{} // nobody gets a lock by looking
		b := shown.encode()
		if size += len(b); len(out) > 0 && (size > maxMessageBytes || int64(len(out)) >= min(count, maxPeek)) {
			break
		}
		out = append(out, amqp.Map{{Key: "message", Value: b}})
	}
	if len(out) == 0 {
		return nil, nil
	}
	return amqp.Map{{Key: "messages", Value: out}}, nil
}

// sorted returns all messages in the order of sequence numbers.
func (e *entity) sorted() []*message {
	out := make([]*message, 0, len(e.messages))
	for _, m := range e.messages {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *message) int { return int(a.seq - b.seq) })
	return out
}
