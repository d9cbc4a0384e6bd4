package bussim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"
)

// Config says what a [Broker] holds and whom it trusts.
type Config struct {
	// Dir is the folder of the database file. Empty keeps all state in memory.
	Dir string
	// Now is the clock of locks, schedules, expiry and tokens; nil means
	// time.Now. Whoever moves another clock calls [Broker.Wake] afterwards.
	Now func() time.Time
	// Queues are all there are; each has a dead-letter queue.
	Queues []Queue
	// Keys maps the names of shared access keys to the keys. Every key grants
	// everything. Without keys every SAS token is refused.
	Keys map[string]string
	// VerifyToken checks a JSON Web Token for an audience such as
	// "amqps://host/queue". Nil refuses them all. It may block; ctx ends with
	// the broker.
	VerifyToken func(ctx context.Context, token, audience string) error
	// Log receives refusals and broken connections; nil discards them.
	Log *slog.Logger
}

// Queue is the configuration of one queue.
type Queue struct {
	// Name is compared without case.
	Name string
	// LockDuration is how long a peek-lock lasts; 0 means a minute.
	LockDuration time.Duration
	// MaxDeliveryCount is after how many failed deliveries a message is
	// dead-lettered; 0 means 10.
	MaxDeliveryCount int
	// DuplicateWindow is how long message ids are remembered; 0 turns
	// duplicate detection off.
	DuplicateWindow time.Duration
	// DefaultTTL bounds the time to live of each message; 0 means no bound.
	DefaultTTL time.Duration
	// DeadLetterOnExpiry moves expired messages to the dead-letter queue, where
	// they are otherwise dropped.
	DeadLetterOnExpiry bool
}

// Broker is a running stand-in. Its methods may be called from any goroutine.
type Broker struct {
	config Config
	ctx    context.Context // ends with the broker
	cancel context.CancelFunc
	store  *store
	wait   sync.WaitGroup // connections

	// mu guards everything below, and the state of all connections, sessions,
	// links and queues. Nothing blocks while holding it.
	mu        sync.Mutex
	entities  map[string]*entity
	due       *messageHeap
	timer     *time.Timer
	listeners map[net.Listener]bool
	conns     map[*conn]bool
	refuse    bool
	closed    bool
}

// Open starts a broker, reading what an earlier one left in config.Dir. Two
// brokers cannot share a folder: the second gives up after five seconds.
// Messages that were locked then are active again, their count unchanged.
func Open(config Config) (*Broker, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	b := &Broker{
		config:    config,
		entities:  make(map[string]*entity),
		due:       newDueHeap(),
		listeners: make(map[net.Listener]bool),
		conns:     make(map[*conn]bool),
	}
	for name, key := range config.Keys {
		if name == "" || key == "" {
			return nil, errors.New("a shared access key or its name is empty")
		}
	}
	for _, q := range config.Queues {
		if err := b.add(q); err != nil {
			return nil, err
		}
	}
	st, err := openStore(config.Dir)
	if err != nil {
		return nil, err
	}
	b.store = st
	for _, e := range b.entities {
		if err := st.load(e); err != nil {
			return nil, errors.Join(fmt.Errorf("load queue %s: %w", e.name, err), st.close())
		}
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timer = time.AfterFunc(0, b.Wake) // some of it may be due by now
	return b, nil
}

func (b *Broker) add(q Queue) error {
	key := strings.ToLower(q.Name)
	if key == "" || strings.ContainsAny(key, "$?#") || b.entities[key] != nil {
		return fmt.Errorf("queue name %q is empty, repeated or holds one of $?#", q.Name)
	}
	if q.LockDuration < 0 || q.MaxDeliveryCount < 0 || q.DuplicateWindow < 0 || q.DefaultTTL < 0 {
		return fmt.Errorf("queue %s has a negative setting", q.Name)
	}
	if q.LockDuration == 0 {
		q.LockDuration = time.Minute
	}
	if q.MaxDeliveryCount == 0 {
		q.MaxDeliveryCount = 10
	}
	live := newEntity(b, q.Name, q)
	dead := newEntity(b, q.Name+"/"+deadLetterSuffix, Queue{LockDuration: q.LockDuration})
	live.dead = dead
	b.entities[key] = live
	b.entities[key+"/"+strings.ToLower(deadLetterSuffix)] = dead
	return nil
}

// Serve accepts connections until the broker is closed (nil) or l breaks (its
// error). It closes l. Several listeners may be served at once.
func (b *Broker) Serve(l net.Listener) error {
	defer l.Close()
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return net.ErrClosed
	}
	b.listeners[l] = true
	b.mu.Unlock()
	for {
		nc, err := l.Accept()
		b.mu.Lock()
		if err != nil {
			delete(b.listeners, l)
			closed := b.closed
			b.mu.Unlock()
			if closed {
				return nil
			}
			return fmt.Errorf("accept: %w", err)
		}
		if b.refuse || b.closed {
			nc.Close()
		} else {
			b.start(nc)
		}
		b.mu.Unlock()
	}
}

// start runs a connection; the caller holds mu.
func (b *Broker) start(nc net.Conn) {
	c := newConn(b, nc)
	b.conns[c] = true
	b.wait.Go(c.write)
	b.wait.Go(func() {
		err := c.run()
		b.mu.Lock()
		c.drop()
		b.mu.Unlock()
		if err != nil {
			b.config.Log.Warn("connection ended", "remote", nc.RemoteAddr().String(), "err", err)
		}
	})
}

// Close closes listeners and connections, waits for their goroutines and
// closes the database.
func (b *Broker) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.cancel()
	b.timer.Stop()
	for l := range b.listeners {
		l.Close()
	}
	b.cut()
	b.mu.Unlock()
	b.wait.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.store.close()
}

// cut breaks all connections at once, like a crash; the caller holds mu.
func (b *Broker) cut() {
	for c := range b.conns {
		c.drop()
		c.nc.Close()
	}
}

// Wake acts on everything that is due by the clock: schedules, lock expiry
// and time to live. The broker calls it at the next due instant by itself;
// tests call it after moving [Config.Now].
func (b *Broker) Wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	now := b.config.Now()
	touched := make(map[*entity]bool)
	for m := b.due.first(); m != nil && !m.dueAt().After(now); m = b.due.first() {
		touched[m.home] = true
		m.home.ripen(m, now)
	}
	for e := range touched {
		e.pump()
	}
	b.arm()
}

// arm sets the timer to the next due instant; the caller holds mu.
func (b *Broker) arm() {
	m := b.due.first()
	if m == nil {
		b.timer.Stop()
		return
	}
	b.timer.Reset(max(m.dueAt().Sub(b.config.Now()), time.Millisecond))
}

// entity returns a queue or dead-letter queue by its path, nil if there is
// none; the caller holds mu.
func (b *Broker) entity(path string) *entity {
	return b.entities[strings.ToLower(path)]
}
