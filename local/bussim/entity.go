package bussim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/local/bussim/amqp"
)

const (
	deadLetterSuffix = "$DeadLetterQueue"
	reasonDeliveries = "MaxDeliveryCountExceeded"
	reasonExpired    = "TTLExpiredException"

	// retryAfter is when a due change is tried again that could not be stored, such as on a full disk.
	retryAfter = time.Second
)

var (
	errLockLost    = errors.New("the lock supplied is invalid: it expired, or the message was settled")
	errNoMessage   = errors.New("no message with that sequence number")
	errDeadAlready = errors.New("messages of a dead-letter queue cannot be dead-lettered")
)

// entity is a queue or a dead-letter queue. The broker's mutex guards it.
type entity struct {
	broker   *Broker
	name     string
	config   Queue
	dead     *entity // nil for a dead-letter queue
	seq      int64   // the last sequence number given
	messages map[int64]*message
	locks    map[amqp.UUID]*message
	ready    *messageHeap         // active and not locked
	seen     map[string]time.Time // message id -> end of its duplicate window
	order    []string             // ids of seen, oldest first
	links    []*link              // receivers, next in turn first
	faults   faults
}

func newEntity(b *Broker, name string, q Queue) *entity {
	return &entity{
		broker: b, name: name, config: q,
		messages: make(map[int64]*message),
		locks:    make(map[amqp.UUID]*message),
		ready:    newReadyHeap(),
		seen:     make(map[string]time.Time),
	}
}

// place brings the heaps and the lock index in line with m's fields. Every
// change of a message ends here.
func (e *entity) place(m *message) {
	e.messages[m.seq] = m
	if m.locked() {
		e.locks[m.lock] = m
	}
	e.ready.set(m, m.state == Active && !m.locked())
	e.broker.due.set(m, !m.dueAt().IsZero())
}

// forget takes m out of all indexes; its fields are still those of place.
func (e *entity) forget(m *message) {
	delete(e.messages, m.seq)
	delete(e.locks, m.lock)
	e.ready.set(m, false)
	e.broker.due.set(m, false)
}

// enqueue stores new messages and returns their sequence numbers. A duplicate
// is dropped and still gets a number, as its sender must not notice.
func (e *entity) enqueue(contents []content) ([]int64, error) {
	now := e.broker.config.Now()
	var numbers []int64
	var fresh []*message
	ch := changes{entity: e}
	ids := make(map[string]bool)
	e.ageWindow(now, &ch)
	for _, c := range contents {
		e.seq++
		numbers = append(numbers, e.seq)
		if e.config.DuplicateWindow > 0 {
			if _, dup := e.seen[c.id]; dup || ids[c.id] {
				continue
			}
			ids[c.id] = true
			ch.seen = append(ch.seen, seenID{c.id, now.Add(e.config.DuplicateWindow)})
		}
		m := e.arrive(c, now)
		fresh = append(fresh, m)
		ch.put = append(ch.put, m)
	}
	if err := e.broker.store.apply(ch); err != nil {
		return nil, fmt.Errorf("store messages for %s: %w", e.name, err)
	}
	for _, s := range ch.seen {
		e.seen[s.id] = s.until
		e.order = append(e.order, s.id)
	}
	for _, m := range fresh {
		e.place(m)
	}
	e.pump()
	e.broker.arm()
	return numbers, nil
}

// arrive makes a message of c with the sequence number just given.
func (e *entity) arrive(c content, now time.Time) *message {
	m := &message{content: c, home: e, seq: e.seq, origin: e.seq, enqueued: now, dueIndex: -1, readyIndex: -1}
	m.ttl = c.timeToLive(e.config.DefaultTTL)
	if at, ok := c.schedule(); ok {
		m.scheduled = at
		if at.After(now) {
			m.state = Scheduled
			return m
		}
	}
	m.live(now)
	return m
}

// live starts the message's time to live.
func (m *message) live(now time.Time) {
	m.state, m.enqueued = Active, now
	if m.ttl > 0 {
		m.expires = now.Add(m.ttl)
	}
}

// ageWindow forgets the ids whose duplicate window has passed.
func (e *entity) ageWindow(now time.Time, ch *changes) {
	for len(e.order) > 0 && !e.seen[e.order[0]].After(now) {
		ch.unseen = append(ch.unseen, e.order[0])
		delete(e.seen, e.order[0])
		e.order = e.order[1:]
	}
}

// ripen does what time asks of m, which is due.
func (e *entity) ripen(m *message, now time.Time) {
	var err error
	switch {
	case m.locked():
		err = e.fail(m, nil)
	case m.state == Scheduled:
		err = e.activate(m, now)
	case e.config.DeadLetterOnExpiry && e.dead != nil:
		err = e.bury(m, m.count, deadLetter(reasonExpired, "The message expired and was dead lettered."))
	default:
		err = e.remove(m)
	}
	if err != nil {
		e.broker.config.Log.Error("a due change was not stored and is tried again", "queue", e.name, "err", err)
		m.retry = now.Add(retryAfter)
		e.broker.due.set(m, true)
	}
}

// activate enqueues a scheduled message under a new sequence number; the old
// one can no longer be cancelled.
func (e *entity) activate(m *message, now time.Time) error {
	next := *m
	e.seq++
	next.seq, next.retry, next.dueIndex, next.readyIndex = e.seq, time.Time{}, -1, -1
	next.live(now)
	if err := e.broker.store.apply(changes{entity: e, put: []*message{&next}, drop: []int64{m.seq}}); err != nil {
		return err
	}
	e.forget(m)
	e.place(&next)
	return nil
}

// hold locks m for a receiver. Locks are not stored: a restart frees them.
func (e *entity) hold(m *message) {
	m.lock = newToken()
	m.lockedUntil = e.broker.config.Now().Add(e.config.LockDuration)
	e.place(m)
}

// release frees m's lock, without counting a failed delivery.
func (e *entity) release(m *message) {
	delete(e.locks, m.lock)
	m.lock, m.lockedUntil = amqp.UUID{}, time.Time{}
	e.place(m)
}

// fail frees m's lock and counts a failed delivery, the last of which moves
// it to the dead-letter queue.
func (e *entity) fail(m *message, amend amqp.Map) error {
	next := *m
	next.count++
	if e.dead != nil && next.count >= uint32(e.config.MaxDeliveryCount) {
		text := fmt.Sprintf("Message could not be consumed after %d delivery attempts.", next.count)
		return e.bury(m, next.count, slices.Concat(amend, deadLetter(reasonDeliveries, text)))
	}
	next.amend(amend)
	return e.become(m, next)
}

// become stores m as next says and frees its lock. What cannot be stored has not happened: m is then what it was.
func (e *entity) become(m *message, next message) error {
	if err := e.broker.store.apply(changes{entity: e, put: []*message{&next}}); err != nil {
		return err
	}
	m.count, m.state, m.application, m.retry = next.count, next.state, next.application, time.Time{}
	e.release(m)
	return nil
}

// remove takes m away for good.
func (e *entity) remove(m *message) error {
	if err := e.broker.store.apply(changes{entity: e, drop: []int64{m.seq}}); err != nil {
		return err
	}
	e.forget(m)
	return nil
}

// setAside defers m: from now on only its sequence number finds it.
func (e *entity) setAside(m *message, amend amqp.Map) error {
	next := *m
	next.state = Deferred
	next.amend(amend)
	return e.become(m, next)
}

// bury moves m to the dead-letter queue, under a new sequence number. Its
// delivery count, which is then count, goes with it (unverified).
func (e *entity) bury(m *message, count uint32, amend amqp.Map) error {
	if e.dead == nil {
		return errDeadAlready
	}
	d := *m
	d.home, d.source, d.state, d.count = e.dead, e.name, Active, count
	d.retry, d.lock, d.lockedUntil, d.expires, d.ttl = time.Time{}, amqp.UUID{}, time.Time{}, time.Time{}, 0
	d.dueIndex, d.readyIndex = -1, -1
	d.amend(amend)
	e.dead.seq++
	d.seq = e.dead.seq
	err := e.broker.store.apply(
		changes{entity: e, drop: []int64{m.seq}},
		changes{entity: e.dead, put: []*message{&d}})
	if err != nil {
		return err
	}
	e.forget(m)
	e.dead.place(&d)
	e.dead.pump()
	return nil
}

// deadLetter is the application properties of a dead-lettered message.
func deadLetter(reason, description string) amqp.Map {
	var m amqp.Map
	if reason != "" {
		m = m.With(keyReason, reason)
	}
	if description != "" {
		m = m.With(keyDescription, description)
	}
	return m
}
