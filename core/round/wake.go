package round

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// Wake handles a wake-up: it closes what of the grant is past its end. A wake-up
// for a grant that is unknown, closed, or has moved on since does nothing. One
// that comes before its time is scheduled again, once more as late as it was
// early: where the alarm's clock is ahead of ours, the very end would be past for it
// already, and the wake-up would come back at once. An error means that something
// is still open and the wake-up should come again.
func (s *Rounds) Wake(ctx context.Context, grant string, generation int) error {
	if g, closing := s.closer.holding(grant); closing {
		return s.later(ctx, g, 0)
	}
	rec, err := s.Grants.Grant(ctx, grant)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read grant %s: %w", grant, err)
	}
	now := s.now()
	switch {
	case rec.Grant.Closed():
		return nil
	case rec.Grant.Overdue(now):
		return s.due(ctx, rec)
	case generation != rec.Grant.Generation:
		return nil
	}
	for _, end := range rec.Grant.Ends() {
		if early := end.Sub(now); early > 0 {
			// The attempt makes it a new message to duplicate detection.
			return s.Alarm.Schedule(ctx, store.Wake{Grant: grant, Generation: generation, At: end.Add(early), Attempt: int(now.Unix())})
		}
	}
	return nil
}

// Closings never give up. The first tries that fail are repeated by whoever
// delivers the wake-ups, at once; from then on each schedules the next one, further and further
// apart, so that no wake-up ends as undeliverable. The sweep tries beside them.
const (
	patience   = 3
	firstRetry = 10 * time.Second
	lastRetry  = 5 * time.Minute // the longest wait between two tries
)

// retry says whether a wake-up whose closing has ended so should come again, and schedules the next
// one where it has come often enough.
func (s *Rounds) retry(ctx context.Context, rec store.GrantRecord, err error) error {
	if err == nil || rec.Attempts < patience {
		return err
	}
	wait := lastRetry
	if n := rec.Attempts - patience; n < 5 {
		wait = firstRetry << n
	}
	if down, ok := errors.AsType[*store.Unavailable](err); ok {
		wait = max(wait, down.RetryAfter)
	}
	at := s.now().Add(wait)
	if later := s.Alarm.Schedule(ctx, store.Wake{Grant: rec.Grant.ID, Generation: rec.Grant.Generation, At: at, Attempt: int(at.Unix())}); later != nil {
		return errors.Join(err, fmt.Errorf("schedule the next try: %w", later))
	}
	return nil
}

// Settle closes what of a grant is past its end or marked to close, and marks it
// closed when every target has confirmed that its rules are gone.
func (s *Rounds) Settle(ctx context.Context, rec store.GrantRecord, sweeping bool) (store.GrantRecord, error) {
	for range store.Attempts {
		// Taken before the round: what is over now is not in rules computed later.
		at := s.now()
		if !rec.Grant.Overdue(at) {
			return rec, nil
		}
		var err error
		if rec, err = s.mark(ctx, rec); err != nil {
			return rec, err
		}
		if since, due := rec.Grant.DueSince(at); due {
			ctx = network.WithPriority(ctx, network.Priority{Closing: true, Since: since})
		}
		if _, err := s.ReconcileAll(ctx, rec.Targets(), sweeping); err != nil {
			return s.failedClosing(ctx, rec, err)
		}
		next := rec
		next.Grant = rec.Grant.Settled(at)
		if err := s.Activity.Append(ctx, store.ClosedEntries(rec.Grant, next.Grant, s.now())...); err != nil {
			return rec, fmt.Errorf("write the activity log: %w", err)
		}
		updated, err := s.Grants.UpdateGrants(ctx, next)
		if err == nil {
			return updated[0], nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return rec, fmt.Errorf("store grant %s as closed: %w", rec.Grant.ID, err)
		}
		if rec, err = s.Grants.Grant(ctx, rec.Grant.ID); err != nil {
			return rec, fmt.Errorf("read the grant again: %w", err)
		}
	}
	return rec, &store.Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("grant %s was changed by others %d times in a row", rec.Grant.ID, store.Attempts)}
}

// failedClosing notes that a closing failed, in the grant and in the log.
func (s *Rounds) failedClosing(ctx context.Context, rec store.GrantRecord, cause error) (store.GrantRecord, error) {
	rec.Attempts, rec.LastError = rec.Attempts+1, store.Publicly(cause)
	entries := store.GrantEntries(jit.App(), store.OpClose, store.Failed, rec.Grant, s.now())
	for i := range entries {
		entries[i].ID += fmt.Sprint("/", rec.Attempts)
		entries[i].Reason, entries[i].Message = "", fmt.Sprintf("try %d: %s", rec.Attempts, rec.LastError)
	}
	err := errors.Join(fmt.Errorf("close grant %s: %w", rec.Grant.ID, cause), s.Activity.Append(ctx, entries...))
	updated, stored := s.Grants.UpdateGrants(ctx, rec)
	if stored != nil {
		return rec, errors.Join(err, stored)
	}
	return updated[0], err
}
