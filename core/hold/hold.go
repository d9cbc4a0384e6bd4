// Package hold asks whether new windows may open: somebody may have locked down whose they are, or where.
//
// Asking costs no call of the table. What an instance has read last may be old, so it is proven where it matters: a write that opens or extends
// names the set of holds by which it was decided, and the store refuses it where another set stands by then (docs/decisions/051). What refuses is read
// anew first: a hold that was lifted refuses nobody. Where the holds cannot be read nothing opens. Closings never ask.
//
// It sets and lifts no hold: that is package lockdown.
package hold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// CodeHeld is the refusal of what is held.
const CodeHeld jit.Code = "OpeningsHeld"

// Asker asks for the holds. Holds must be set; its methods are safe for concurrent use.
type Asker struct {
	Holds store.Holds

	mu   sync.Mutex
	seen store.HoldSet // as it was read last; without a version where nothing was, or where it was found to be old
}

// Look reads the holds that stand now.
func (a *Asker) Look(ctx context.Context) (store.HoldSet, error) {
	set, err := a.Holds.Holds(ctx)
	if err != nil {
		a.forget("")
		return set, fmt.Errorf("read whether openings are held: %w", err)
	}
	a.Seen(set)
	return set, nil
}

// Seen tells it of a set that was read or stored just now. It keeps a copy, since whoever has read the set may be about to change its own.
func (a *Asker) Seen(set store.HoldSet) {
	set.Holds = slices.Clone(set.Holds)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = set
}

// forget forgets the set of a version, whichever it is where that is "".
func (a *Asker) forget(version string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if version == "" || a.seen.Version == version {
		a.seen = store.HoldSet{}
	}
}

// Refuses refuses with [CodeHeld] where a hold covers one of the machines for who has this id. It returns the version of the set by which it
// does not.
func (a *Asker) Refuses(ctx context.Context, requestorID string, vms []jit.ID) (string, error) {
	a.mu.Lock()
	set := a.seen
	a.mu.Unlock()
	if set.Version != "" && refused(set, requestorID, vms) == nil {
		return set.Version, nil
	}
	return a.RefusesNow(ctx, requestorID, vms)
}

// RefusesNow is Refuses by the holds that stand at the call, which it reads.
func (a *Asker) RefusesNow(ctx context.Context, requestorID string, vms []jit.ID) (string, error) {
	set, err := a.Look(ctx)
	if err == nil {
		err = refused(set, requestorID, vms)
	}
	return set.Version, err
}

func refused(set store.HoldSet, requestorID string, vms []jit.ID) error {
	for _, h := range set.Holds {
		for _, vm := range vms {
			if h.Scope.Covers(requestorID, vm) {
				return &jit.Error{Code: CodeHeld, Target: vm.String(),
					Message: fmt.Sprintf("%s is locked down since %s, and nothing may open there until that is lifted: ask those who administer it", h.Scope, h.At.UTC().Format(time.RFC3339))}
			}
		}
	}
	return nil
}

// Proven calls write with the version of the holds by which a grant may open or stay open longer: again by others where these have changed
// meanwhile, and not where one refuses. The write sets [store.GrantRecord.Decided] to it.
func (a *Asker) Proven(ctx context.Context, g jit.Grant, write func(version string) error) error {
	var err error
	for range store.Attempts {
		var version string
		if version, err = a.Refuses(ctx, g.RequestorID, g.Machines()); err != nil {
			return err
		}
		if err = write(version); !errors.Is(err, store.ErrHeldAnew) {
			return err
		}
		a.forget(version)
	}
	return &store.Unavailable{Dependency: "Table Storage", Err: fmt.Errorf("holds were changed %d times in a row: %w", store.Attempts, err)}
}
