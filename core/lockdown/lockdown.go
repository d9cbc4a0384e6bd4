package lockdown

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"portcullis/core/area"
	"portcullis/core/hold"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/parallel"
	"portcullis/core/permit"
	"portcullis/core/refusal"
	"portcullis/core/round"
	"portcullis/core/store"
)

// The refusals of this package, beside those of jit.
const (
	CodeTooManyHolds jit.Code = "TooManyHolds"     // over store.MaxHolds
	CodeNotFound     jit.Code = "LockdownNotFound" // no such lock-down, or none that the caller may see
	CodeHoldNotFound jit.Code = "HoldNotFound"     // no such hold stands, or none that the caller may see
)

// Service locks down. Every field must be set; its methods are safe for concurrent use.
type Service struct {
	Permit        *permit.Permit
	Rounds        *round.Rounds
	Grants        store.Grants
	Holds         store.Holds
	Asker         *hold.Asker
	Activity      store.Activity
	Refusals      *refusal.Log
	Subscriptions network.Subscriptions
	// Sees reports whether the caller may read something at a scope below which f selects policies.
	Sees  func(ctx context.Context, who jit.Caller, scope string, f store.PolicyFilter) (bool, error)
	Now   func() time.Time
	NewID func() string // a new UUID each time, in the order of time (version 7)
}

// Order is what to lock down.
type Order struct {
	Scope  area.Scope
	Reason string
	Hold   bool // nothing new opens in the scope until that is lifted
}

// Run is a lock-down that has begun.
type Run struct {
	store.Lockdown
	open    []store.GrantRecord // with something open in its scope
	closing []store.GrantRecord // with something in its scope that is over, and not confirmed closed
}

// now returns the time as it is stored: UTC, in whole milliseconds.
func (s *Service) now() time.Time { return jit.Instant(s.Now()) }

// Begin stores a lock-down, and the hold that it is to set, for those who may write policies at its scope: for a person and for everything, at every managed
// subscription. Where a hold of the same scope stands already, that one is kept. [Service.Complete] then closes. After an error the hold may stand,
// which the next sweep completes; the same order may be sent again. A refusal is logged.
func (s *Service) Begin(ctx context.Context, who jit.Caller, o Order) (Run, error) {
	o, err := s.allowed(ctx, who, o)
	if err != nil {
		if jit.Refused(err) != nil {
			err = s.Refusals.Tell(ctx, store.EntryBy(who, store.OpLockdown).Asked("", o.Reason), nil, err)
		}
		return Run{}, err
	}
	run := Run{Lockdown: store.Lockdown{ID: s.NewID(), Scope: o.Scope, By: who.Name, Actor: who.Actor(), Correlation: who.Correlation, Reason: o.Reason, At: s.now()}}
	if o.Hold {
		if run.Hold, err = s.hold(ctx, run.Lockdown); err != nil {
			return Run{}, err
		}
	}
	if run.open, run.closing, err = s.open(ctx, o.Scope); err != nil {
		return Run{}, err
	}
	run.Found = len(run.open)
	for _, rec := range run.open[:min(len(run.open), store.MaxLockedDown)] {
		run.Grants = append(run.Grants, rec.Grant.ID)
	}
	return run, s.Holds.PutLockdown(ctx, run.Lockdown)
}

// allowed returns an order as it is stored, and an error unless the caller may give it. Bounds come first, then the scope, then the permission.
func (s *Service) allowed(ctx context.Context, who jit.Caller, o Order) (Order, error) {
	if o.Scope.Key() == "" {
		_, err := area.Parse("", "", "", "", false)
		return o, jit.Below(err, "scope")
	}
	var err error
	if o.Reason, err = area.Reason(o.Reason); err != nil {
		return o, err
	}
	return o, s.may(ctx, who, o.Scope)
}

// may refuses unless the caller may lock a scope down and lift that.
func (s *Service) may(ctx context.Context, who jit.Caller, scope area.Scope) error {
	scopes := []string{scope.Azure()}
	if scopes[0] == "" {
		scopes = nil
		for _, sub := range s.Subscriptions {
			scopes = append(scopes, "/subscriptions/"+sub)
		}
	}
	return s.Permit.May(ctx, who, permit.VerbLockdown, scopes...)
}

// hold sets the hold of a lock-down, and returns its id: that of the one of the same scope where one stands.
func (s *Service) hold(ctx context.Context, l store.Lockdown) (string, error) {
	for range store.Attempts {
		set, err := s.Asker.Look(ctx)
		if err != nil {
			return "", err
		}
		if i := slices.IndexFunc(set.Holds, func(h store.Hold) bool { return h.Scope.Key() == l.Scope.Key() }); i >= 0 {
			return set.Holds[i].ID, nil
		}
		if len(set.Holds) >= store.MaxHolds {
			return "", &jit.Error{Code: CodeTooManyHolds, Target: "hold", Message: fmt.Sprintf("%d holds stand already; lift those that are not needed, hold a larger scope, or lock down without a hold", len(set.Holds))}
		}
		set.Holds = append(set.Holds, store.Hold{ID: l.ID, Scope: l.Scope, By: l.By, Actor: l.Actor, Reason: l.Reason, At: l.At})
		if err := s.replace(ctx, set); !errors.Is(err, store.ErrConflict) {
			return l.ID, err
		}
	}
	return "", busy()
}

func busy() error {
	return &store.Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("the holds were changed by others %d times in a row: %w", store.Attempts, store.ErrConflict)}
}

func (s *Service) replace(ctx context.Context, set store.HoldSet) error {
	next, err := s.Holds.PutHolds(ctx, set)
	if err == nil {
		s.Asker.Seen(next)
	}
	return err
}

// open returns the grants with a window in the scope that is not over, whatever its status, and those with one that is over and not confirmed
// closed: its port may still be open.
func (s *Service) open(ctx context.Context, scope area.Scope) (open, closing []store.GrantRecord, err error) {
	all, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read the open grants: %w", err)
	}
	now := s.now()
	for _, rec := range all {
		if _, found := scope.LockDown(rec.Grant, now); found {
			open = append(open, rec)
		} else if _, closed := left(rec.Grant, scope); !closed {
			closing = append(closing, rec)
		}
	}
	return open, closing, nil
}

const (
	logWait      = 10 * time.Second // bounds how long the entry of a lock-down is waited for beside its closings
	completeWait = 30 * time.Minute // bounds a lock-down in this process; the sweep goes on with it
	markTogether = 16               // grants that are marked in one transaction
)

// Complete marks what a lock-down has found and closes it, with what was closing already: one write for each target. It goes on where single grants fail, and returns
// why some are not confirmed closed; the sweep tries those again. It logs the lock-down beside, and waits for no log.
func (s *Service) Complete(ctx context.Context, run Run) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completeWait)
	defer cancel()
	logged := make(chan error, 1)
	go func() {
		logged <- s.Rounds.Recovered("the entry of lock-down "+run.ID, func() error { return s.log(ctx, run.Lockdown) })
	}()
	err := s.Rounds.Recovered("lock-down "+run.ID, func() error {
		marked, err := s.mark(ctx, run)
		s.Rounds.CloseAll(ctx, slices.Concat(marked, run.closing), round.Want{}, func(_ int, _ store.GrantRecord, _ bool, failed error) { err = errors.Join(err, failed) })
		return err
	})
	return errors.Join(err, <-logged)
}

// log logs a lock-down, and stores that it did. The sweep does where this fails.
func (s *Service) log(ctx context.Context, l store.Lockdown) error {
	ctx, cancel := context.WithTimeout(ctx, logWait)
	defer cancel()
	if err := s.Activity.Append(ctx, l.Entry()); err != nil {
		return fmt.Errorf("write the activity log: %w", err)
	}
	l.Logged = true
	return s.Holds.PutLockdown(ctx, l)
}

// mark stores that what was found is to close, many grants in one transaction, and returns what then is.
func (s *Service) mark(ctx context.Context, run Run) ([]store.GrantRecord, error) {
	batches := slices.Collect(slices.Chunk(run.open, markTogether))
	marked := make([][]store.GrantRecord, len(batches))
	err := parallel.Each(batches, func(i int, batch []store.GrantRecord) error {
		now := s.now()
		next := make([]store.GrantRecord, len(batch))
		for j, rec := range batch {
			next[j], _ = run.Mark(rec, now)
		}
		var err error
		if marked[i], err = s.Grants.UpdateGrants(ctx, next...); err == nil {
			return nil
		}
		marked[i] = nil
		var errs []error // others have changed one of them, or the transaction is too large
		for _, rec := range batch {
			one, err := store.ChangeGrant(ctx, s.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
				next, found := run.Mark(g, s.now())
				return next, found, nil
			})
			if err == nil {
				marked[i] = append(marked[i], one)
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
	due := slices.DeleteFunc(slices.Concat(marked...), func(rec store.GrantRecord) bool { return !rec.Grant.Overdue(s.now()) })
	return due, err
}
