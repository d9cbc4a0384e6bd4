package hostsim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// settleTimeout bounds one Complete, Abandon or RenewLock.
const settleTimeout = 30 * time.Second

// pump moves the messages of one queue to one function.
type pump struct {
	host     *Host
	function *function
	queue    Queue
}

// openPumps opens the queues that the functions listen to.
func (h *Host) openPumps() ([]*pump, error) {
	var pumps []*pump
	for _, f := range h.functions {
		if f.trigger != "serviceBusTrigger" {
			continue
		}
		if h.cfg.Queues == nil {
			return nil, fmt.Errorf("%s: listens to the queue %s, but Config.Queues is nil", f.name, f.queue)
		}
		q, err := h.cfg.Queues(f.connection, f.queue)
		if err != nil {
			return nil, fmt.Errorf("%s: open the queue %s of %s: %w", f.name, f.queue, f.connection, err)
		}
		if c, ok := q.(io.Closer); ok {
			h.closers = append(h.closers, c)
		}
		pumps = append(pumps, &pump{host: h, function: f, queue: q})
	}
	return pumps, nil
}

// run receives until the host stops or gives the handler up. As many messages
// are in flight as host.json allows; it waits for a place first and receives
// then, so that no message waits with its lock running.
func (p *pump) run() {
	h := p.host
	places := make(chan struct{}, h.settings.maxConcurrentCalls)
	failures := 0
	for {
		// Nothing is received before there is a handler, or after there will be
		// none: the real host's listeners start after it and stop with it.
		if _, err := h.await(h.ctx); err != nil && !errors.Is(err, errGone) {
			return
		}
		select {
		case places <- struct{}{}:
		case <-h.ctx.Done():
			return
		}
		m, err := p.queue.Receive(h.ctx)
		if err != nil {
			<-places
			if h.ctx.Err() != nil {
				return
			}
			wait := backOff(failures)
			failures++
			h.log.Warn("receive", "queue", p.function.queue, "error", err, "retry_in", wait)
			sleep(h.ctx, wait)
			continue
		}
		failures = 0
		h.wg.Go(func() {
			defer func() { <-places }()
			p.handle(m)
		})
	}
}

// handle runs the function on one message and settles it.
func (p *pump) handle(m *Message) {
	h := p.host
	log := h.log.With("function", p.function.name, "message", m.MessageID, "delivery", m.DeliveryCount)
	err := p.invoke(m)
	if h.ctx.Err() != nil {
		return // cut off: the lock runs out by itself
	}
	ctx, cancel := context.WithTimeout(h.ctx, settleTimeout)
	defer cancel()
	if err != nil {
		log.Error("message failed, abandoning it", "error", err)
		if err := p.queue.Abandon(ctx, m); err != nil {
			log.Warn("abandon", "error", err)
		}
		return
	}
	if err := p.queue.Complete(ctx, m); err != nil {
		log.Warn("complete", "error", err)
	}
}

// invoke runs the function on m and keeps m locked meanwhile.
func (p *pump) invoke(m *Message) error {
	body, err := messageEnvelope(p.function, m, p.host.cfg.Now())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(p.host.ctx)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		p.renew(ctx, m)
	}()
	err = p.host.invoke(p.host.ctx, p.function, body)
	cancel()
	<-renewed
	return err
}

// renew extends the message's lock whenever half of it has passed, until ctx
// ends, maxAutoLockRenewalDuration has passed, or the lock is lost. The
// function is not told: it goes on, and so may another delivery.
func (p *pump) renew(ctx context.Context, m *Message) {
	h := p.host
	if h.settings.maxAutoLockRenewal == 0 || m.LockedUntil.IsZero() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, h.settings.maxAutoLockRenewal)
	defer cancel()
	until := m.LockedUntil
	for {
		sleep(ctx, max(until.Sub(h.cfg.Now())/2, 10*time.Millisecond))
		if ctx.Err() != nil {
			return
		}
		var err error
		call, done := context.WithTimeout(ctx, settleTimeout)
		until, err = p.queue.RenewLock(call, m)
		done()
		if err != nil {
			if ctx.Err() == nil {
				h.log.Warn("renew the lock", "message", m.MessageID, "error", err)
			}
			return
		}
	}
}
