package admission

import (
	"context"
	"slices"
	"sync"
	"time"
)

// What the slow lane takes.
const (
	AtOnce     = 2                      // calls worked on at a time
	Pace       = 100 * time.Millisecond // between the beginnings of two
	MaxWaiting = 48                     // calls that wait, of all callers together
	MaxWait    = 10 * time.Second       // how long one waits, at most
)

// lane is the slow lane.
type lane struct {
	mu      sync.Mutex
	queues  map[string][]*waiter // by caller, the first comes first; none is empty
	order   []string             // the callers who wait; the first is the next
	waiting int
	working int
	resting bool // a call began less than Pace ago; a timer ends it
}

// waiter is a call that waits. Its verdict comes once.
type waiter struct{ verdict chan verdict }

type verdict int

const (
	away verdict = iota // it is turned away
	turn                // it is one of those that are worked on
	free                // its caller is permitted: it goes without being one of these
)

func newLane() lane { return lane{queues: map[string][]*waiter{}} }

// enter waits for a caller's turn. It reports whether it has come; leave says that the call is done.
func (l *lane) enter(ctx context.Context, id string) (leave func(), ok bool) {
	w := l.join(id)
	if w == nil {
		return nil, false
	}
	timer := time.NewTimer(MaxWait)
	defer timer.Stop()
	var is verdict
	select {
	case is = <-w.verdict:
	case <-timer.C:
		is = l.quit(id, w)
	case <-ctx.Done():
		if is = l.quit(id, w); is == turn {
			l.leave()
			is = away
		}
	}
	switch is {
	case turn:
		return l.leave, true
	case free:
		return func() {}, true
	}
	return nil, false
}

// join puts a call into the queue of its caller; nil if there is no place.
func (l *lane) join(id string) *waiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting >= MaxWaiting {
		most := ""
		for _, other := range l.order {
			if len(l.queues[other]) > len(l.queues[most]) {
				most = other
			}
		}
		if len(l.queues[most]) <= len(l.queues[id])+1 {
			return nil
		}
		last := l.queues[most][len(l.queues[most])-1]
		l.remove(most, last)
		last.verdict <- away
	}
	w := &waiter{make(chan verdict, 1)}
	if len(l.queues[id]) == 0 {
		l.order = append(l.order, id)
	}
	l.queues[id] = append(l.queues[id], w)
	l.waiting++
	l.move()
	return w
}

// remove takes a call that waits out of its queue.
func (l *lane) remove(id string, w *waiter) {
	rest := slices.DeleteFunc(l.queues[id], func(other *waiter) bool { return other == w })
	l.waiting--
	if len(rest) > 0 {
		l.queues[id] = rest
		return
	}
	delete(l.queues, id)
	l.order = slices.DeleteFunc(l.order, func(other string) bool { return other == id })
}

// quit ends a call's waiting. It returns the verdict, which may have come at the same moment.
func (l *lane) quit(id string, w *waiter) verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case is := <-w.verdict:
		return is
	default:
		l.remove(id, w)
		return away
	}
}

// leave gives back the place of a call that was worked on.
func (l *lane) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working--
	l.move()
}

// free lets all calls of a caller go.
func (l *lane) free(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range slices.Clone(l.queues[id]) {
		l.remove(id, w)
		w.verdict <- free
	}
}

// move lets the next call begin, if one may: callers take turns.
func (l *lane) move() {
	if l.working < AtOnce && l.waiting > 0 && !l.resting {
		id := l.order[0]
		w := l.queues[id][0]
		l.order = append(l.order[1:], id)
		l.remove(id, w)
		l.working, l.resting = l.working+1, true
		time.AfterFunc(Pace, l.tick)
		w.verdict <- turn
	}
}

// tick moves on when a pace is over.
func (l *lane) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resting = false
	l.move()
}
