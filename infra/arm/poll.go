package arm

import (
	"sync/atomic"
	"time"
)

// Polling counts one more operation of a subscription that is being polled, until done is called. every returns
// the polling interval: least, or more if polling so many operations would take most of the read tokens.
func (p *Pacer) Polling(subscription string, least time.Duration) (every func() time.Duration, done func()) {
	if p == nil {
		return func() time.Duration { return least }, func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := p.paced(subscription)
	n := p.polls[key]
	if n == nil {
		n = new(atomic.Int64)
		p.polls[key] = n
	}
	n.Add(1)
	return func() time.Duration {
		if p.cfg.Limits.Reads.Size == 0 {
			return least
		}
		return max(least, time.Duration(float64(n.Load())/(p.cfg.Limits.Reads.PerSecond*pollPart)*float64(time.Second)))
	}, func() { n.Add(-1) }
}

// pollPart is the part of the read tokens that polling unfinished writes may take: each write ends with one more
// read, and other calls read too.
const pollPart = 0.5

// Unfinished returns how many operations of a subscription, or of all that share its rate, are being polled.
func (p *Pacer) Unfinished(subscription string) int {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.polls[p.paced(subscription)]; n != nil {
		return int(n.Load())
	}
	return 0
}

// Queue is the number of waiting calls.
type Queue struct {
	Kind     Kind
	Closings int
	Openings int
}

// Queues returns how many calls of each kind wait, over all subscriptions.
func (p *Pacer) Queues() []Queue {
	out := []Queue{{Kind: Reads}, {Kind: Writes}, {Kind: Deletes}}
	if p == nil {
		return out
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, g := range p.gates {
		g.mu.Lock()
		for i := range out {
			if out[i].Kind == key.kind {
				for _, r := range g.regions {
					out[i].Closings, out[i].Openings = out[i].Closings+len(r.closings), out[i].Openings+len(r.openings)
				}
			}
		}
		g.mu.Unlock()
	}
	return out
}
