package admission

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"portcullis/core/jit"
	"portcullis/core/permit"
)

// CodeTooManyRefusals refuses a call of a caller who was lately permitted nothing, while others like him are served.
const CodeTooManyRefusals jit.Code = "TooManyRefusals"

// What callers have who were permitted nothing lately.
const (
	Free       = 20               // calls at once
	Again      = 30 * time.Second // after which one of them comes back
	Remembered = 15 * time.Minute // how long a permission counts

	FreeClosings  = 20          // closings at once
	ClosingsEvery = time.Second // after which one of them comes back

	freeUnidentified  = 100                    // calls at once, of all who have no valid token together
	unidentifiedEvery = 100 * time.Millisecond // after which one of them comes back

	Hold    = time.Second // how long a call that is turned away waits for its answer
	MaxHeld = 200         // calls that do so

	MaxCallers   = 1000   // told apart
	MaxPermitted = 10_000 // known to be permitted
)

// Lanes admits calls. It is safe for concurrent use.
type Lanes struct {
	now  func() time.Time
	away func(jit.Caller) // is told of each call that is turned away; its ID is "" without a valid token
	slow lane
	held atomic.Int64 // calls that wait to be turned away

	mu           sync.Mutex
	permitted    map[string]time.Time  // until when, by tenant and object id
	callers      map[string]*allowance // of callers who are not, by tenant and object id
	forgotten    time.Time             // when what says nothing any more was last removed
	others       allowance             // of those who are not told apart
	unidentified allowance
}

// New returns the lanes of one process. now is the clock of what callers have left. away is told of each call that is turned away: who it was, with no
// ID if the call had no valid token.
func New(now func() time.Time, away func(jit.Caller)) *Lanes {
	return &Lanes{now: now, away: away, slow: newLane(), permitted: map[string]time.Time{}, callers: map[string]*allowance{}}
}

// Enter returns when the call of a caller is to be taken up, and how to say that it is done, which must be called once. A caller without ID has no
// valid token. closing says that the call closes a window. An error is a refusal with [CodeTooManyRefusals]: also where the
// caller has gone.
func (l *Lanes) Enter(ctx context.Context, who jit.Caller, closing bool) (leave func(), err error) {
	wait, slow := l.look(who.ID, closing, l.now())
	switch {
	case slow:
		if leave, ok := l.slow.enter(ctx, who.ID); ok {
			return leave, nil
		}
	case wait <= 0 || wait <= MaxWait && sleep(ctx, wait):
		return func() {}, nil
	}
	l.away(who)
	l.hold(ctx)
	return nil, &jit.Error{Code: CodeTooManyRefusals, Message: "too many calls were lately refused; those of callers who were permitted nothing are taken up a few at a time. Send this one again later, with a token of somebody who may do what it asks for"}
}

// look takes a call's place. It returns what the call has to wait for the caller's own calls, or that it belongs into the slow lane.
func (l *Lanes) look(id string, closing bool, now time.Time) (wait time.Duration, slow bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if id == "" {
		return 0, !l.unidentified.calls.take(now, freeUnidentified, unidentifiedEvery)
	}
	if l.permitted[id].After(now) {
		return 0, false
	}
	a := l.of(id, now)
	switch {
	case !closing:
		return 0, !a.calls.take(now, Free, Again)
	case a == &l.others: // who would wait for others
		return 0, false
	}
	if wait = a.closings.wait(now, FreeClosings, ClosingsEvery); wait <= MaxWait {
		a.closings.use(now, ClosingsEvery)
	}
	return wait, false
}

// of returns the allowance of a caller who is not known to be permitted anything.
func (l *Lanes) of(id string, now time.Time) *allowance {
	if a := l.callers[id]; a != nil {
		return a
	}
	if len(l.callers) >= MaxCallers {
		if l.forget(now); len(l.callers) >= MaxCallers {
			return &l.others
		}
	}
	a := &allowance{}
	l.callers[id] = a
	return a
}

// forget removes what says nothing any more, unless that was just done: it looks at all that is kept.
func (l *Lanes) forget(now time.Time) {
	if now.Before(l.forgotten.Add(Again)) {
		return
	}
	l.forgotten = now
	maps.DeleteFunc(l.callers, func(_ string, a *allowance) bool { return a.whole(now) })
	maps.DeleteFunc(l.permitted, func(_ string, until time.Time) bool { return !until.After(now) })
}

// Permitted notes that a caller may do something: his calls go at once, those that wait as well.
func (l *Lanes) Permitted(id string) {
	if id == "" {
		return
	}
	if l.note(id, l.now()) {
		l.slow.free(id)
	}
}

// note reports whether the caller was not known to be permitted.
func (l *Lanes) note(id string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	until, known := l.permitted[id]
	if !known && len(l.permitted) >= MaxPermitted {
		l.forget(now)
		for other := range l.permitted {
			if len(l.permitted) < MaxPermitted {
				break
			}
			delete(l.permitted, other) // whoever it is: he is known again at his next call
		}
	}
	l.permitted[id] = now.Add(Remembered)
	delete(l.callers, id)
	return !until.After(now)
}

// Watch returns an authority that answers as a does, and has the lanes know whom it permits something.
func (l *Lanes) Watch(a permit.Authority) permit.Authority { return watched{a, l} }

type watched struct {
	permit.Authority
	lanes *Lanes
}

func (w watched) Missing(ctx context.Context, who jit.Caller, scope string, actions ...string) (string, error) {
	missing, err := w.Authority.Missing(ctx, who, scope, actions...)
	if missing == "" && err == nil && len(actions) > 0 {
		w.lanes.Permitted(who.ID)
	}
	return missing, err
}

// hold has a call that is turned away wait for its answer, so that who sends again at once does not do so without end. Where as many wait
// as may, it is answered at once.
func (l *Lanes) hold(ctx context.Context) {
	if l.held.Add(1) <= MaxHeld {
		sleep(ctx, Hold)
	}
	l.held.Add(-1)
}

// sleep reports whether the time has passed before the caller went away.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
