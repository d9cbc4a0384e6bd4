package round

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/store"
)

// logWait bounds how long a closing waits for the log once its rules are gone, far above the milliseconds that an append takes. Until then
// it waits for nothing.
const logWait = 10 * time.Second

// ErrNotLogged says that every target has confirmed a closing, and that the log has not. The grant stays marked to close, with its intents;
// wake-ups and the sweep log and store it later.
var ErrNotLogged = errors.New("closed and not logged yet")

// tell logs the intents of a closing beside it, as far as this process has not.
func (s *Rounds) tell(ctx context.Context, k *closing) {
	entries := s.closings.untold(k)
	if k.telling = nil; len(entries) == 0 {
		return
	}
	ended := make(chan struct{})
	k.telling = ended
	ctx = context.WithoutCancel(ctx)
	s.background("log why grant "+k.first.ID+" closes", func() error {
		defer close(ended)
		bounded, cancel := context.WithTimeout(ctx, logWait)
		defer cancel()
		if err := s.Activity.Append(bounded, entries...); err != nil {
			return err // the intents stand, and are logged with the closing
		}
		s.closings.tell(k, entries)
		return nil
	})
}

// log logs entries of closings, and first their intents that the log may lack.
func (s *Rounds) log(ctx context.Context, batch []*closing, entries []store.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	var all []store.Entry
	for _, k := range batch {
		if k.telling != nil {
			select {
			case <-k.telling:
			case <-ctx.Done():
			}
		}
		all = append(all, s.closings.untold(k)...)
	}
	if all = append(all, entries...); len(all) == 0 {
		return nil
	}
	if err := s.Activity.Append(ctx, all...); err != nil {
		return &store.Unavailable{Dependency: "the activity log", Err: fmt.Errorf("%w: %w", ErrNotLogged, err)}
	}
	return nil
}

// untold returns the entries of a closing's intents that this process has not logged.
func (c *closings) untold(k *closing) []store.Entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []store.Entry
	for _, e := range k.rec.Intended() {
		if !k.told[e.ID] {
			out = append(out, e)
		}
	}
	return out
}

func (c *closings) tell(k *closing, entries []store.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k.told == nil {
		k.told = map[string]bool{}
	}
	for _, e := range entries {
		k.told[e.ID] = true
	}
}
