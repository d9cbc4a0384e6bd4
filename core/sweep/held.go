package sweep

import (
	"context"
	"fmt"
	"slices"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// keepLockdowns is how long a lock-down whose hold is lifted can be looked at.
const keepLockdowns = 30 * 24 * time.Hour

// lockedDown completes lock-downs that died half way: what a hold covers, and what a lock-down had found, is marked to close, and what the log does not
// have yet is logged. The closings come with all that is due.
func (w *sweep) lockedDown(ctx context.Context) {
	set, list, err := w.Holds.Lockdowns(ctx)
	if err != nil {
		w.failed(err)
		return
	}
	stands := func(id string) bool {
		return slices.ContainsFunc(set.Holds, func(h store.Hold) bool { return h.ID == id })
	}
	for _, h := range set.Holds {
		if !slices.ContainsFunc(list, func(l store.Lockdown) bool { return l.ID == h.ID }) {
			list = append(list, h.Ordered())
		}
	}
	for _, l := range list {
		w.failed(w.endLocked(ctx, l, stands(l.ID)))
		if w.dry {
			continue
		}
		if !l.Logged {
			w.failed(w.logLocked(ctx, l))
		} else if !stands(l.Hold) && w.now().Sub(l.At) > keepLockdowns {
			w.failed(w.Holds.DropLockdown(ctx, l.ID))
		}
	}
}

func (w *sweep) logLocked(ctx context.Context, l store.Lockdown) error {
	if err := w.Activity.Append(ctx, l.Entry()); err != nil {
		return fmt.Errorf("write the activity log: %w", err)
	}
	l.Logged = true
	return w.Holds.PutLockdown(ctx, l)
}

// endLocked marks what a lock-down is to close: all in its scope while it holds, and else what it had found.
func (w *sweep) endLocked(ctx context.Context, l store.Lockdown, holds bool) error {
	for i, rec := range w.grants {
		if !holds && !slices.Contains(l.Grants, rec.Grant.ID) {
			continue
		}
		next, found := l.Mark(rec, w.now())
		if !found {
			continue
		}
		if !w.dry {
			var err error
			next, err = store.ChangeGrant(ctx, w.Grants, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) {
				next, found := l.Mark(g, w.now())
				return next, found, nil
			})
			if err != nil {
				return fmt.Errorf("lock down what grant %s has open: %w", rec.Grant.ID, err)
			}
		}
		w.grants[i] = next
		for _, vm := range rec.Grant.Machines() {
			if l.Scope.Covers(rec.Grant.RequestorID, vm) && rec.Grant.LiveAt(vm, w.now()) {
				w.found(store.Finding{Kind: store.FindingEnded, VM: vm, Grant: rec.Grant.ID, Message: fmt.Sprintf("the window of %s for %s was closed (%s): %s is locked down", rec.Grant.Requestor, vm.Name, jit.LockedDown, l.Scope)})
			}
		}
	}
	return nil
}
