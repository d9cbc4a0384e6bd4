package inventory

import (
	"context"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// maxLooks is how many pages of the log one call looks through for an entry that the caller may read.
const maxLooks = 20

// Entries is [store.Activity.Entries] reduced to what the caller may read: entries about a machine or a target by its id,
// others for callers who may read every managed subscription. A page may be shorter than asked for; it is empty and not
// the last one only if the next [maxLooks] pages hold nothing that the caller may read. Each machine and target is asked
// about once.
func (s *Inventory) Entries(ctx context.Context, who jit.Caller, f store.EntryFilter, cursor string, limit int) ([]store.Entry, string, error) {
	reads := reading{Inventory: s, who: who, known: map[[2]string]bool{}}
	if f.Subscription == "" && f.VM == "" {
		all, err := reads.about(ctx, jit.ID{}, jit.ID{})
		if err != nil {
			return nil, "", err
		}
		f.Located = !all // refusals about nothing in particular must not hide the rest from who may not read them
	}
	for range maxLooks {
		entries, next, err := s.Activity.Entries(ctx, f, cursor, limit)
		if err != nil {
			return nil, "", err
		}
		shown, err := reads.of(ctx, entries)
		if err != nil || len(shown) > 0 || next == "" {
			return shown, next, err
		}
		cursor = next
	}
	return nil, cursor, nil
}

// reading remembers, for one call, what a caller may read about.
type reading struct {
	*Inventory
	who   jit.Caller
	known map[[2]string]bool // by the keys of machine and target; at most one for each entry that is looked at
}

// of returns the entries that the caller may read.
func (r reading) of(ctx context.Context, entries []store.Entry) ([]store.Entry, error) {
	var out []store.Entry
	for _, e := range entries {
		ok, err := r.about(ctx, e.VM, e.Target)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

func (r reading) about(ctx context.Context, vm, target jit.ID) (bool, error) {
	key := [2]string{vm.Key(), target.Key()}
	if !vm.IsZero() {
		key[1] = "" // an entry about a machine is not about its target
	}
	if ok, known := r.known[key]; known {
		return ok, nil
	}
	ok, err := r.readsAbout(ctx, r.who, vm, target)
	if err == nil {
		r.known[key] = ok
	}
	return ok, err
}
