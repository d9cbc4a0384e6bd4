package arm

import (
	"context"
	"sync/atomic"
	"time"

	"portcullis/core/network"
)

// turn is a token taken in advance.
type turn struct {
	gate   *gate
	region string
	taken  time.Time
	used   atomic.Bool
}

type turnKey struct{}

func turnOf(ctx context.Context) *turn {
	t, _ := ctx.Value(turnKey{}).(*turn)
	return t
}

// Turn waits until a write to the subscription may be sent, and reserves the place for the first write sent with
// the returned context, so that callers can compute the write after the wait. It reports whether it waited. If ctx
// ends before the place is used, it is released. The region is as for [WithRegion].
func (p *Pacer) Turn(ctx context.Context, priority network.Priority, subscription, region string) (context.Context, bool, error) {
	if p == nil {
		return ctx, false, nil
	}
	ctx = WithRegion(ctx, region)
	t := &turn{gate: p.gate(subscription, Writes), region: regionOf(ctx)}
	taken, waited, err := t.gate.wait(ctx, priority, t.region, true)
	if err != nil {
		return ctx, waited, err
	}
	t.taken = taken
	context.AfterFunc(ctx, t.leave)
	return context.WithValue(ctx, turnKey{}, t), waited, nil
}

// use spends the turn on a call through the gate, and reports whether that was possible: a gate that has closed
// meanwhile admits nothing.
func (t *turn) use(g *gate) bool {
	if t == nil || t.gate != g || !t.used.CompareAndSwap(false, true) {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fill(time.Now())
	if g.closed.After(time.Now()) {
		g.giveBack(t.region, t.taken, true)
		return false
	}
	g.held--
	if g.counted() { // the time of sending counts
		r := g.at(t.region)
		r.uncount(t.taken)
		r.sent = append(r.sent, time.Now())
	}
	return true
}

func (t *turn) leave() {
	if !t.used.CompareAndSwap(false, true) {
		return
	}
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	t.gate.giveBack(t.region, t.taken, true)
	t.gate.pump()
}
