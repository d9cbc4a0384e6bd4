package tell

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"portcullis/core/parallel"
	"portcullis/core/store"
)

// Channel sends a message to where people read it.
type Channel interface {
	// Send returns nil once the receiver has taken the message. Its errors hold nothing that is secret, and are for the finding that people read. An
	// [*store.Unavailable] says that the receiver would take no other message either, and may say when it wants to be asked again: until then nothing is
	// sent to it. Any other error is about this message.
	Send(ctx context.Context, c Card) error
}

// Named is a channel with the name that letters to it have: at most 31 of a-z, 0-9 and '-', a letter first. The name must not change: letters would be left.
type Named struct {
	Name string
	Channel
}

// Courier delivers letters. Every field but Panicked and Tried must be set; its methods are safe for concurrent use. A nil one tells nothing.
type Courier struct {
	Outbox   store.Outbox
	Channels []Named
	Page     string // address of the page, without a slash at its end; "" where cards have no links
	Now      func() time.Time
	Panicked func(of string, stack []byte)   // is called for a panic; may be nil
	Tried    func(channel string, err error) // is called for every try, with nil for a letter that was delivered; may be nil

	grants store.Grants // which tell; set by Grants

	mu     sync.Mutex
	busy   map[string]bool // channels to which letters are being delivered ...
	again  map[string]bool // ... and of these, those for which more may have come meanwhile
	closed map[string]time.Time
	work   sync.WaitGroup
}

// The bounds of delivery.
const (
	sendTimeout = 10 * time.Second
	lease       = time.Minute // how long a letter is nobody else's; far above sendTimeout and the writes around it
	runTimeout  = 5 * time.Minute
	pageLetters = 200
	maxPages    = 50 // that one look at a channel reads
	maxFailures = 3  // in a row of a receiver that takes nothing, after which it is left alone until the next look

	giveUpAfter = 24 * time.Hour
	keepGivenUp = 48 * time.Hour // since the event: for a day it is found, then it is dropped
	firstPause  = time.Minute
	longPause   = time.Hour
	latePause   = 10 * time.Minute // what is found is overdue by that much
)

// kick delivers letters in the background, if there are any. The caller waits for nothing.
func (c *Courier) kick(ctx context.Context, tells bool) {
	if !tells {
		return
	}
	ctx = context.WithoutCancel(ctx)
	for _, ch := range c.Channels {
		if c.begin(ch.Name) {
			c.work.Go(func() {
				bounded, cancel := context.WithTimeout(ctx, runTimeout)
				defer cancel()
				_ = c.run(bounded, ch) // the sweep tells what is left
			})
		}
	}
}

// Wait returns when nothing is being delivered. It is for tests: nobody may write grants meanwhile.
func (c *Courier) Wait() {
	if c != nil {
		c.work.Wait()
	}
}

// begin reports whether nobody in this process delivers to the channel; whoever does looks once more.
func (c *Courier) begin(channel string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == nil {
		c.busy, c.again, c.closed = map[string]bool{}, map[string]bool{}, map[string]time.Time{}
	}
	if c.busy[channel] {
		c.again[channel] = true
		return false
	}
	c.busy[channel] = true
	return true
}

// end reports whether to look once more; otherwise nobody delivers to the channel any more.
func (c *Courier) end(ctx context.Context, channel string) (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	more = c.again[channel] && ctx.Err() == nil
	c.again[channel], c.busy[channel] = false, more
	return more
}

// run delivers what is due to a channel, until nothing is.
func (c *Courier) run(ctx context.Context, ch Named) error {
	for {
		err := parallel.Recover(func() error { return c.deliver(ctx, ch) })
		if p, ok := errors.AsType[*parallel.Panic](err); ok && c.Panicked != nil {
			c.Panicked("letters to "+ch.Name, p.Stack)
		}
		if !c.end(ctx, ch.Name) {
			return err
		}
	}
}

// deliver looks through the letters to a channel, again and again while some are delivered.
func (c *Courier) deliver(ctx context.Context, ch Named) error {
	for ctx.Err() == nil && !c.pausing(ch.Name) {
		went, cursor, failures := false, "", 0
		for range maxPages {
			letters, next, err := c.Outbox.Letters(ctx, ch.Name, cursor, pageLetters)
			if err != nil {
				return err
			}
			some, left, err := c.page(ctx, ch, letters, failures)
			if went = went || some; err != nil {
				return err
			}
			if failures, cursor = left, next; next == "" || failures >= maxFailures {
				break
			}
		}
		if !went || failures >= maxFailures {
			return nil
		}
	}
	return ctx.Err()
}

// page tries the letters of one page that are due, and reports whether some were delivered, and how many have failed in a row. A letter waits for those of its subject
// that come before it.
func (c *Courier) page(ctx context.Context, ch Named, letters []store.Letter, failures int) (went bool, left int, err error) {
	waits := ""
	for _, l := range letters {
		now := c.now()
		switch {
		case l.GaveUp:
			if now.Sub(l.At) > keepGivenUp {
				if err := c.Outbox.DropLetter(ctx, l); err != nil && !errors.Is(err, store.ErrConflict) {
					return went, failures, err
				}
			}
			continue // it holds up nothing
		case l.Subject == waits:
			continue
		case now.Before(l.Next):
			waits = l.Subject
			continue
		}
		delivered, down, err := c.try(ctx, ch, l)
		switch {
		case errors.Is(err, store.ErrConflict): // somebody else has it
			waits = l.Subject
		case err != nil:
			return went, failures, err
		case delivered:
			went, failures = true, 0
		case c.pausing(ch.Name):
			return went, maxFailures, nil
		default:
			waits = l.Subject
		}
		if down {
			failures++
		}
		if failures >= maxFailures {
			return went, failures, nil
		}
	}
	return went, failures, nil
}

// try claims a letter, sends it and drops it, or puts it off. It reports whether the receiver took nothing at all, as it seems. An error is the outbox's.
func (c *Courier) try(ctx context.Context, ch Named, l store.Letter) (delivered, down bool, err error) {
	l.Tries, l.Next = l.Tries+1, c.now().Add(lease)
	if l, err = c.Outbox.PutOff(ctx, l); err != nil {
		return false, false, err
	}
	bounded, cancel := context.WithTimeout(ctx, sendTimeout)
	failed := ch.Send(bounded, CardOf(l.Message, c.Page))
	cancel()
	if c.Tried != nil {
		c.Tried(ch.Name, failed)
	}
	if failed == nil {
		return true, false, c.Outbox.DropLetter(ctx, l)
	}
	now := c.now()
	pause := longPause
	if l.Tries < 8 {
		pause = min(longPause, firstPause<<(l.Tries-1))
	}
	receiver, down := errors.AsType[*store.Unavailable](failed)
	if down && receiver.RetryAfter > 0 {
		pause = max(pause, min(receiver.RetryAfter, longPause))
		c.pause(ch.Name, now.Add(min(receiver.RetryAfter, longPause)))
	}
	l.Next, l.LastError = now.Add(pause), store.Cut(failed.Error(), 300)
	l.GaveUp = now.Sub(l.At) > giveUpAfter
	_, err = c.Outbox.PutOff(ctx, l)
	return false, down, err
}

// pause leaves a channel alone until then: its receiver has said so.
func (c *Courier) pause(channel string, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed[channel] = until
}

func (c *Courier) pausing(channel string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Before(c.closed[channel])
}

// Swept reminds of windows, among the open grants, that nobody was reminded of, delivers what was left, all channels at the same time, and returns what could not be
// delivered as findings. It takes as long as ctx lets it.
func (c *Courier) Swept(ctx context.Context, open []store.GrantRecord) ([]store.Finding, error) {
	if c == nil {
		return nil, nil
	}
	errs := make([]error, len(c.Channels)+1)
	found := make([]store.Finding, len(c.Channels))
	errs[len(c.Channels)] = parallel.Each(open, func(_ int, rec store.GrantRecord) error {
		if _, near := reminded(rec, c.now()); !near {
			return nil
		}
		return c.remind(ctx, rec)
	})
	_ = parallel.AtOnce(c.Channels, func(i int, ch Named) error {
		if c.begin(ch.Name) {
			_ = c.run(ctx, ch) // what is left is found below
		}
		found[i], errs[i] = c.late(context.WithoutCancel(ctx), ch.Name)
		return nil
	})
	var out []store.Finding
	for _, f := range found {
		if f.Message != "" {
			out = append(out, f)
		}
	}
	return out, errors.Join(errs...)
}

// late returns the finding of a channel that has not taken letters for a while, and none otherwise.
func (c *Courier) late(ctx context.Context, channel string) (store.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	n, gaveUp, cursor, last := 0, 0, "", store.Letter{}
	for range maxPages {
		letters, next, err := c.Outbox.Letters(ctx, channel, cursor, pageLetters)
		if err != nil {
			return store.Finding{}, err
		}
		for _, l := range letters {
			if l.LastError == "" || !l.GaveUp && c.now().Sub(l.At) < latePause {
				continue
			}
			if n++; l.GaveUp {
				gaveUp++
			}
			last = l
		}
		if cursor = next; next == "" {
			break
		}
	}
	if n == 0 {
		return store.Finding{}, nil
	}
	return store.Finding{Kind: store.FindingUndelivered, Grant: last.Grant, Message: fmt.Sprintf("%d messages have not reached %s, %d of them are given up; the last error: %s", n, channel, gaveUp, last.LastError)}, nil
}
