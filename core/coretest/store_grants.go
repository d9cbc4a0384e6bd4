package coretest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// outcome is the result of a race between callers.
type outcome[T any] struct {
	values []T   // of those that succeeded
	odd    error // errors that are not conflicts
}

// race runs n calls concurrently.
func race[T any](n int, call func(int) (T, error)) outcome[T] {
	var out outcome[T]
	var mu sync.Mutex
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-begin
			v, err := call(i)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				out.values = append(out.values, v)
			case !errors.Is(err, store.ErrConflict):
				out.odd = errors.Join(out.odd, err)
			}
		})
	}
	close(begin)
	all.Wait()
	return out
}

// TestGrants is the suite of store.Grants.
func TestGrants(t *testing.T, open func(*testing.T) Store) {
	t.Run("unknown", func(t *testing.T) {
		s := open(t)
		for _, id := range []string{idAt(morning, 1), "", "no uuid", "' or PartitionKey ne '"} {
			_, err := s.Grant(t.Context(), id)
			wantError(t, fmt.Sprintf("grant %q", id), err, store.ErrNotFound)
		}
		wantSame(t, "open grants of an empty store", must[[]store.GrantRecord](t)(s.OpenGrants(t.Context())), []store.GrantRecord(nil))
		stale := grantOf(morning, 1, 1)
		_, err := s.UpdateGrants(t.Context(), stale)
		wantError(t, "update without a version", err, store.ErrConflict)
		stale.Version = "no version that a store gave"
		_, err = s.UpdateGrants(t.Context(), stale)
		wantError(t, "update of what is not there", err, store.ErrConflict)
		if got, err := s.UpdateGrants(t.Context()); err != nil || len(got) != 0 {
			t.Errorf("update of nothing: %v, %v", got, err)
		}
	})
	t.Run("conflicts", func(t *testing.T) { grantConflicts(t, open(t)) })
	t.Run("all or none", func(t *testing.T) {
		s := open(t)
		a := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1), nil, morning))
		b := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 2, 1), nil, morning))
		stale := b
		b.Attempts++
		b = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), b))[0]
		changed := a
		changed.Grant = a.Grant.Revoke(morning.Add(time.Minute), jit.UserRequested)
		_, err := s.UpdateGrants(t.Context(), changed, stale)
		wantError(t, "update with one stale version", err, store.ErrConflict)
		wantSame(t, "open grants", must[[]store.GrantRecord](t)(s.OpenGrants(t.Context())), []store.GrantRecord{a, b})
		if got, err := s.UpdateGrants(t.Context(), a, a); err == nil {
			t.Errorf("update of one grant twice gave %v", got)
		}
		got := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), changed, b))
		wantSame(t, "what an update gives", got, []store.GrantRecord{changed, b})
		again := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), got...))
		wantSame(t, "update by the versions that an update gave", again, got)
		wantState(t, s, 1)
	})
	t.Run("round trip", func(t *testing.T) {
		s := open(t)
		late, early := grantOf(morning.Add(time.Hour), 1, 1, 2), grantOf(morning, 2, 2)
		early.Failed, early.Attempts, early.LastError = "it was locked", 3, "it's locked"
		late.Placements[1].Confirmed = true
		revoker := jit.Caller{ID: "tenant/object", Name: "Ann's", Correlation: "call", Kind: jit.Person, Client: "client", SignIn: "pwd mfa", Address: netip.MustParseAddr("198.51.100.9")}
		late = late.Intend(revoker, store.OpRevoke, store.Succeeded, "", morning.Add(time.Nanosecond)).Intend(jit.App(), store.OpOpen, store.Failed, "it was locked", morning)
		for _, want := range []store.GrantRecord{late, early} {
			got := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), want, nil, morning))
			wantSame(t, "what an insert gives", got, want)
			read := must[store.GrantRecord](t)(s.Grant(t.Context(), want.Grant.ID))
			wantSame(t, "what a read gives", read, want)
			if read.Version != got.Version || got.Version == "" {
				t.Errorf("a read gives version %q, the insert gave %q", read.Version, got.Version)
			}
		}
		wantSame(t, "open grants, oldest first", must[[]store.GrantRecord](t)(s.OpenGrants(t.Context())), []store.GrantRecord{early, late})
		wantState(t, s, 1, 2, 3)
		wantSame(t, "known targets", must[[]jit.ID](t)(s.Known(t.Context())), []jit.ID{nsg(1), nsg(2)})
	})
	t.Run("waits", func(t *testing.T) { grantWaits(t, open(t)) })
	t.Run("placements move", func(t *testing.T) {
		s := open(t)
		g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1, 2), nil, morning))
		g.Placements = grantOf(morning, 1, 2, 3).Placements
		g = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), g))[0]
		wantState(t, s, 1, 2, 3)
		closed := closedAt(g, morning.Add(time.Minute))
		closed.Placements = nil
		must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closed))
		wantState(t, s, 1, 2, 3)
	})
	t.Run("machines behind a target", func(t *testing.T) {
		s := open(t)
		g := grantOf(morning, 1, 1)
		second := grantOf(morning, 2, 2)
		g.Grant.VMs = append(g.Grant.VMs, second.Grant.VMs...)
		g.Placements = append(g.Placements, second.Placements...)
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), g, nil, morning))
		wantState(t, s, 1, 2)
		state, err := s.State(t.Context(), nsg(2))
		if err != nil || len(state.Openings) != 1 || len(state.Openings[0].Grant.VMs) != 1 || !state.Openings[0].Grant.VMs[0].VM.Equal(machine(2)) {
			t.Errorf("state of a target shows other machines: %v, %v", state.Openings, err)
		}
	})
	t.Run("confirmed", func(t *testing.T) {
		s := open(t)
		g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1, 2), nil, morning))
		noted := g
		noted.Placements = slices.Clone(g.Placements)
		noted.Placements[1].Confirmed = true
		got := must[store.GrantRecord](t)(s.NoteConfirmed(t.Context(), noted))
		wantSame(t, "what a note gives", got, noted)
		wantSame(t, "what is stored", must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)), noted)
		wantState(t, s, 1, 2)
		_, err := s.NoteConfirmed(t.Context(), g)
		wantError(t, "note by a stale version", err, store.ErrConflict)
		got = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), got))[0]
		must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closedAt(got, morning.Add(time.Minute))))
		_, err = s.NoteConfirmed(t.Context(), got)
		wantError(t, "note on a grant that has closed", err, store.ErrConflict)
	})
	t.Run("closed", func(t *testing.T) { grantCloses(t, open(t)) })
	t.Run("wide", func(t *testing.T) { grantWide(t, open(t)) })
	t.Run("one winner", func(t *testing.T) { grantRaces(t, open(t)) })
}

func grantConflicts(t *testing.T, s Store) {
	first := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1), nil, morning))
	_, err := s.InsertGrant(t.Context(), grantOf(morning, 1, 2), nil, morning)
	wantError(t, "second insert", err, store.ErrConflict)
	wantState(t, s, 1, 2)
	changed := first
	changed.Grant = first.Grant.Opened(morning)
	second := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), changed))[0]
	_, err = s.UpdateGrants(t.Context(), first)
	wantError(t, "update by a stale version", err, store.ErrConflict)
	moved := first
	moved.Placements = grantOf(morning, 1, 3).Placements
	_, err = s.UpdateGrants(t.Context(), moved)
	wantError(t, "move by a stale version", err, store.ErrConflict)
	_, err = s.UpdateGrants(t.Context(), closedAt(first, morning.Add(time.Minute)))
	wantError(t, "close by a stale version", err, store.ErrConflict)
	got := must[store.GrantRecord](t)(s.Grant(t.Context(), first.Grant.ID))
	wantSame(t, "grant after refusals", got, second)
	list, _, err := s.ListGrants(t.Context(), store.GrantFilter{}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "list after a refused close", list, []jit.Grant{second.Grant})
	wantState(t, s, 1, 2, 3)
}

func grantCloses(t *testing.T, s Store) {
	now := morning.Add(time.Minute)
	open := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1, 2), nil, morning))
	other := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 2, 2), nil, morning))
	odd := grantOf(morning.Add(time.Millisecond), 3, 2)
	odd.Grant.ID = "not-a-uuid"
	odd = must[store.GrantRecord](t)(s.InsertGrant(t.Context(), odd, nil, morning))
	// The id's time need not be that of the start.
	skewed := grantOf(morning.Add(26*time.Hour), 4, 2)
	skewed.Grant.ID = idAt(morning, 4)
	skewed = must[store.GrantRecord](t)(s.InsertGrant(t.Context(), skewed, nil, morning))
	for _, g := range []store.GrantRecord{open, odd, skewed} {
		closed := closedAt(g, now)
		got := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closed))[0]
		wantSame(t, "what a close gives", got, closed)
		wantSame(t, "grant in history", must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)), closed)
		for what, version := range map[string]string{"close": got.Version, "open grant": g.Version} {
			again := g
			again.Version = version
			_, err := s.UpdateGrants(t.Context(), again)
			wantError(t, "update of history by the version of the "+what, err, store.ErrConflict)
		}
	}
	wantSame(t, "open grants", must[[]store.GrantRecord](t)(s.OpenGrants(t.Context())), []store.GrantRecord{other})
	wantState(t, s, 1, 2)
	wantSame(t, "targets stay known", must[[]jit.ID](t)(s.Known(t.Context())), []jit.ID{nsg(1), nsg(2)})
}

// grantWide tests grants at more targets than a store can write in one transaction.
func grantWide(t *testing.T, s Store) {
	var guards []int
	for n := range 130 {
		guards = append(guards, n)
	}
	key := store.Key{Requestor: "ann@example.com", Value: "wide", Grant: idAt(morning, 1), Expires: morning.Add(time.Hour)}
	g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, guards...), []store.Key{key}, morning))
	_, err := s.InsertGrant(t.Context(), grantOf(morning, 1, guards...), nil, morning)
	wantError(t, "second insert", err, store.ErrConflict)
	wantState(t, s, 0, 64, 129)
	stale := g
	g.Grant = g.Grant.Opened(morning)
	g.Placements = append(g.Placements[1:], grantOf(morning, 1, 130).Placements...)
	g = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), g))[0]
	_, err = s.UpdateGrants(t.Context(), stale)
	wantError(t, "update by a stale version", err, store.ErrConflict)
	wantState(t, s, 0, 1, 64, 129, 130)
	if known := must[[]jit.ID](t)(s.Known(t.Context())); len(known) != 131 {
		t.Errorf("%d known targets, want 131", len(known))
	}
	closed := closedAt(g, morning.Add(time.Minute))
	must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closed))
	wantState(t, s, 0, 1, 64, 129, 130)
	wantSame(t, "grant in history", must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)), closed)
}

func grantRaces(t *testing.T, s Store) {
	inserted := race(8, func(n int) (store.GrantRecord, error) {
		return s.InsertGrant(t.Context(), grantOf(morning, 1, n), nil, morning)
	})
	if len(inserted.values) != 1 || inserted.odd != nil {
		t.Fatalf("%d inserts of one grant won, errors besides conflicts: %v", len(inserted.values), inserted.odd)
	}
	wantState(t, s, 0, 1, 2, 3, 4, 5, 6, 7)
	g := inserted.values[0]
	for range 5 {
		won := race(8, func(n int) (store.GrantRecord, error) {
			mine := g
			mine.Grant.Generation++
			mine.Attempts = n
			mine.Placements = grantOf(morning, 1, n).Placements
			out, err := s.UpdateGrants(t.Context(), mine)
			if err != nil {
				return mine, err
			}
			return out[0], nil
		})
		if len(won.values) != 1 || won.odd != nil {
			t.Fatalf("%d writers won, errors besides conflicts: %v", len(won.values), won.odd)
		}
		g = won.values[0]
		wantSame(t, "what is stored", must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)), g)
		wantState(t, s, 0, 1, 2, 3, 4, 5, 6, 7)
	}
	// Each closes it with another time; history must have the winner's.
	closed := race(8, func(n int) (store.GrantRecord, error) {
		mine := closedAt(g, morning.Add(time.Duration(n+1)*time.Minute))
		out, err := s.UpdateGrants(t.Context(), mine)
		if err != nil {
			return mine, err
		}
		return out[0], nil
	})
	if len(closed.values) != 1 || closed.odd != nil {
		t.Fatalf("%d closings won, errors besides conflicts: %v", len(closed.values), closed.odd)
	}
	wantSame(t, "history", must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)), closed.values[0])
	list, _, err := s.ListGrants(t.Context(), store.GrantFilter{}, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, "list", list, []jit.Grant{closed.values[0].Grant})
}
