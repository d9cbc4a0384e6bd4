package bench

import (
	"container/heap"
	"context"
	"encoding/json"
	"sync"
	"time"

	"portcullis/core/store"
)

// What the deployment's queue and the host do, as host.json and infra/deploy have it.
const (
	maxDeliveries   = 10
	functionTimeout = 5 * time.Minute
)

// bus counts what is done to a queue. Each is one operation of Service Bus, but for calls: one call may send many
// messages, and is billed for each 64 KB of them.
type bus struct {
	Calls     int // requests that scheduled something
	Scheduled int // messages in them
	Received  int
	Completed int
	Abandoned int
	Dead      int
}

func (b bus) minus(o bus) bus {
	return bus{b.Calls - o.Calls, b.Scheduled - o.Scheduled, b.Received - o.Received, b.Completed - o.Completed, b.Abandoned - o.Abandoned, b.Dead - o.Dead}
}

// operations is how many there were, in all.
func (b bus) operations() int { return b.Calls + b.Received + b.Completed + b.Abandoned }

// message is one in the queue.
type message struct {
	body  []byte
	at    time.Time
	tries int
}

// queue stands for Service Bus and for the Functions host that receives from it.
type queue struct {
	mu     sync.Mutex
	waits  messages
	wake   chan struct{} // has one when waits has changed
	hands  int           // messages that are being handled
	counts bus
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// schedule stores messages for delivery in one call.
func (q *queue) schedule(ctx context.Context, at time.Time, bodies ...[]byte) error {
	if err := sleep(ctx, busTrip); err != nil {
		return err
	}
	q.mu.Lock()
	q.counts.Calls++
	q.counts.Scheduled += len(bodies)
	q.mu.Unlock()
	for _, body := range bodies {
		q.put(&message{body: body, at: at})
	}
	return nil
}

func (q *queue) put(m *message) {
	q.mu.Lock()
	heap.Push(&q.waits, m)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// counted returns the counts so far.
func (q *queue) counted() bus {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts
}

// busy reports whether a message is due or being handled.
func (q *queue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.hands > 0 || len(q.waits) > 0 && !q.waits[0].at.After(time.Now())
}

// receive waits for a message that is due; nil when ctx ends.
func (q *queue) receive(ctx context.Context) *message {
	for {
		wait := time.Hour
		q.mu.Lock()
		if len(q.waits) > 0 {
			if wait = time.Until(q.waits[0].at); wait <= 0 {
				m := heap.Pop(&q.waits).(*message)
				m.tries++
				q.counts.Received++
				q.hands++
				q.mu.Unlock()
				return m
			}
		}
		q.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-q.wake:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// settle completes a message that was handled, and abandons one that was not or, after its last delivery, dead-letters it.
func (q *queue) settle(m *message, failed bool) {
	q.mu.Lock()
	q.hands--
	switch {
	case !failed:
		q.counts.Completed++
	case m.tries >= maxDeliveries:
		q.counts.Dead++
	default:
		q.counts.Abandoned++
	}
	again := failed && m.tries < maxDeliveries
	q.mu.Unlock()
	if again {
		q.put(m)
	}
}

// deliver invokes handle for what is due, at most wide at a time, until ctx ends.
func (q *queue) deliver(ctx context.Context, wide int, handle func(context.Context, []byte) error) {
	places := make(chan struct{}, wide)
	var running sync.WaitGroup
	defer running.Wait()
	for {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		m := q.receive(ctx)
		if m == nil {
			return
		}
		running.Go(func() {
			defer func() { <-places }()
			bounded, cancel := context.WithTimeout(ctx, functionTimeout)
			defer cancel()
			if sleep(ctx, busTrip) != nil {
				return
			}
			err := handle(bounded, m.body)
			if ctx.Err() == nil && sleep(ctx, busTrip) == nil {
				q.settle(m, err != nil)
			}
		})
	}
}

// messages is a heap by time.
type messages []*message

func (h messages) Len() int           { return len(h) }
func (h messages) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h messages) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *messages) Push(x any)        { *h = append(*h, x.(*message)) }
func (h *messages) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return m
}

// alarm is the queue as the app has it, with bodies as infra/servicebus writes them.
type alarm struct{ *queue }

// Schedule implements access.Alarm: one call, as the adapter sends one batch while it holds what is sent.
func (a alarm) Schedule(ctx context.Context, wakes ...store.Wake) error {
	if len(wakes) == 0 {
		return nil
	}
	if err := sleep(ctx, busTrip); err != nil {
		return err
	}
	a.mu.Lock()
	a.counts.Calls++
	a.counts.Scheduled += len(wakes)
	a.mu.Unlock()
	for _, w := range wakes {
		body, err := json.Marshal(map[string]any{"v": 1, "grant": w.Grant, "generation": w.Generation})
		if err != nil {
			return err
		}
		a.put(&message{body: body, at: w.At})
	}
	return nil
}
