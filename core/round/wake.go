package round

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Wake handles a wake-up: it closes what of the grant is past its end. It does nothing for a grant that is unknown or
// closed, or whose generation has changed. A wake-up that comes early is scheduled again, as long after the end as
// it came before it: if the alarm's clock is ahead of ours, one for the end itself would come back at once. An error
// means that something is still open and the wake-up should come again.
func (s *Rounds) Wake(ctx context.Context, grant string, generation int) error {
	if g, closing := s.closings.holding(grant); closing {
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
	case rec.Grant.Pending(now):
		return s.Pending(ctx, rec)
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

// Closings never give up. Whoever delivers the wake-ups repeats the first tries at once. After immediateTries each try
// schedules the next one, with growing waits, so that no wake-up ends as undeliverable. The sweep tries too.
const (
	immediateTries = 3
	minRetryWait   = 10 * time.Second
	maxRetryWait   = 5 * time.Minute // the longest wait between two tries
)

// retry decides what follows a closing. The error that it returns makes the wake-up come again; after immediateTries it also
// schedules the next one.
func (s *Rounds) retry(ctx context.Context, rec store.GrantRecord, err error) error {
	if errors.Is(err, ErrNotLogged) && rec.Grant.Overdue(s.now()) { // a log that is down for long exhausts no wake-up
		return s.later(ctx, rec.Grant, 0)
	}
	if err == nil || rec.Attempts < immediateTries {
		return err
	}
	wait := maxRetryWait
	if n := rec.Attempts - immediateTries; n < 5 {
		wait = minRetryWait << n
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

// maxCloseWait bounds how long a wake-up waits for its closing, and maxWaitingWakes how many wait at the same time. Others
// are answered at once: few wake-ups are handled at a time, and each has to be answered before its lock ends.
const (
	maxCloseWait    = 20 * time.Second
	maxWaitingWakes = 2
)

// wait counts one more wake-up that waits (n is 1), or one less (n is -1). It reports whether one more may wait.
func (c *closings) wait(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.waiting >= maxWaitingWakes {
		return false
	}
	c.waiting += n
	return true
}

// due closes a grant of which something is past its end. It marks the grant, starts the closing in the background, with what
// else is due on its targets, and waits for it if few wake-ups wait. If it is not confirmed by then, or in a storm, due
// schedules a later wake-up, which usually finds nothing to do. An error means that this one should come again.
func (s *Rounds) due(ctx context.Context, rec store.GrantRecord) error {
	rec, err := s.mark(ctx, rec)
	if err != nil || !rec.Grant.Overdue(s.now()) {
		return err
	}
	mine := s.closings.hold(rec)
	if len(mine) == 0 {
		return s.later(ctx, rec.Grant, 0)
	}
	mayWait := s.closings.wait(1)
	mine[0].alsoDue = mayWait
	s.begin(ctx, mine)
	if !mayWait {
		s.closeAllDue(ctx)
		return s.later(ctx, rec.Grant, 0)
	}
	defer s.closings.wait(-1)
	timer := time.NewTimer(maxCloseWait)
	defer timer.Stop()
	select {
	case <-mine[0].done:
		return s.retry(ctx, mine[0].rec, mine[0].err)
	case <-timer.C:
		return s.later(ctx, rec.Grant, 0)
	case <-ctx.Done():
		return fmt.Errorf("wait for grant %s to close: %w", rec.Grant.ID, ctx.Err())
	}
}

// later schedules one more wake-up, after the longest of three: least, a minute, and as long as the grant is overdue (at most
// maxRetryWait), so that the wake-ups of a long storm do not prolong it. The wake-ups of many grants are spread over half that time.
func (s *Rounds) later(ctx context.Context, g jit.Grant, least time.Duration) error {
	now := s.now()
	wait := max(least, time.Minute)
	if since, ok := g.DueSince(now); ok {
		wait = max(wait, min(now.Sub(since), maxRetryWait))
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.ID))
	at := now.Add(wait + wait/2*time.Duration(h.Sum32()%1000)/1000).Truncate(time.Millisecond)
	if err := s.Alarm.Schedule(ctx, store.Wake{Grant: g.ID, Generation: g.Generation, At: at, Attempt: int(at.Unix())}); err != nil {
		return fmt.Errorf("schedule another look at grant %s: %w", g.ID, err)
	}
	return nil
}
