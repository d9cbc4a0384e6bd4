package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/store"
)

// Find gives one grant, open or history, or refuses with [CodeRequestNotFound].
func (s *Service) Find(ctx context.Context, id string) (store.GrantRecord, error) {
	rec, err := s.Grants.Grant(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return rec, notFound()
	}
	if err != nil {
		return rec, fmt.Errorf("read the request: %w", err)
	}
	return rec, nil
}

func notFound() error {
	return &jit.Error{Code: CodeRequestNotFound, Target: "id", Message: "there is no request with this id"}
}

// Revoke closes a grant's windows now. It ends when every target has confirmed
// it; an error leaves the windows marked to close, which the sweep completes. A grant that
// is closed already is given as it is.
func (s *Service) Revoke(ctx context.Context, who jit.Caller, id string) (store.GrantRecord, error) {
	rec, err := s.Find(ctx, id)
	if err != nil || rec.Grant.Closed() {
		return rec, err
	}
	rec, err = s.revoke(ctx, rec, jit.UserRequested)
	if errors.Is(err, errClosed) {
		return rec, nil
	}
	if err != nil {
		return rec, err
	}
	if err := s.Activity.Append(ctx, store.GrantEntries(who, store.OpRevoke, store.Succeeded, rec.Grant, s.now())...); err != nil {
		return rec, fmt.Errorf("write the activity log: %w", err)
	}
	return s.settle(ctx, rec, false)
}

// errClosed: others have closed the grant meanwhile.
var errClosed = errors.New("closed meanwhile")

// revoke stores that a grant is to close, or gives [errClosed].
func (s *Service) revoke(ctx context.Context, rec store.GrantRecord, why jit.Reason) (store.GrantRecord, error) {
	return s.change(ctx, rec, func(g jit.Grant) (jit.Grant, error) {
		if g.Closed() {
			return g, errClosed
		}
		return g.Revoke(s.now(), why), nil
	})
}

// Extend moves the ends of a grant's live windows to the given end, or to
// duration from now, within what policies and installation demand now (see [jit.Grant.Extend]). The wake-ups for
// the new ends are scheduled before the ends move, so that no crash leaves a window without one.
func (s *Service) Extend(ctx context.Context, who jit.Caller, id string, duration time.Duration, end time.Time) (store.GrantRecord, error) {
	rec, err := s.Find(ctx, id)
	if err != nil {
		return rec, err
	}
	policies := map[string]jit.Policy{}
	for _, vm := range rec.Grant.VMs {
		p, err := s.Policies.Policy(ctx, vm.VM)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return rec, fmt.Errorf("read the policy of %s: %w", vm.VM.Name, err)
		}
		if err == nil {
			policies[vm.VM.Key()] = p.Policy
		}
	}
	policy := func(vm jit.ID) (jit.Policy, bool) { p, ok := policies[vm.Key()]; return p, ok }
	rec, err = s.change(ctx, rec, func(g jit.Grant) (jit.Grant, error) {
		for {
			now := s.now()
			next, err := g.Extend(policy, s.Floor, duration, end, now)
			if err != nil {
				return g, err
			}
			if err := s.schedule(ctx, next); err != nil {
				return g, err
			}
			if g.Lasts(now, s.now()) {
				return next, nil
			}
			// Scheduling took so long that a window has ended meanwhile, and may be closed already.
		}
	})
	if jit.Refused(err) != nil {
		return rec, s.refusedGrant(ctx, who, store.OpExtend, rec.Grant, err)
	}
	if err != nil {
		return rec, err
	}
	if err := s.Activity.Append(ctx, store.GrantEntries(who, store.OpExtend, store.Succeeded, rec.Grant, s.now())...); err != nil {
		return rec, fmt.Errorf("write the activity log: %w", err)
	}
	// The rules stay; only the end in their descriptions moves. The sweep does it where this fails.
	// Nobody waits for it where it takes minutes.
	targets := rec.Targets()
	for _, t := range keep(targets, s.Kinds.Maps) {
		s.join(ctx, t, false)
	}
	_, _ = s.reconcileAll(ctx, slices.DeleteFunc(targets, s.Kinds.Maps), false)
	return rec, nil
}

// Wake handles a wake-up: it closes what of the grant is past its end. A wake-up
// for a grant that is unknown, closed, or has moved on since does nothing. One
// that comes before its time is scheduled again, once more as late as it was
// early: where the alarm's clock is ahead of ours, the very end would be past for it
// already, and the wake-up would come back at once. An error means that something
// is still open and the wake-up should come again.
func (s *Service) Wake(ctx context.Context, grant string, generation int) error {
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
func (s *Service) retry(ctx context.Context, rec store.GrantRecord, err error) error {
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

// settle closes what of a grant is past its end or marked to close, and marks it
// closed when every target has confirmed that its rules are gone.
func (s *Service) settle(ctx context.Context, rec store.GrantRecord, sweeping bool) (store.GrantRecord, error) {
	for range attempts {
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
		if _, err := s.reconcileAll(ctx, rec.Targets(), sweeping); err != nil {
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
	return rec, &store.Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("grant %s was changed by others %d times in a row", rec.Grant.ID, attempts)}
}

// failedClosing notes that a closing failed, in the grant and in the log.
func (s *Service) failedClosing(ctx context.Context, rec store.GrantRecord, cause error) (store.GrantRecord, error) {
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
