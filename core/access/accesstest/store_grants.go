package accesstest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// outcome is what a race between callers came to.
type outcome[T any] struct {
	values []T   // of those that won
	odd    error // errors that are not conflicts
}

// race runs n calls at the same time.
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

// TestGrants is the suite of access.Grants.
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

// grantWide has grants at more targets than a store may take in one step.
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
	// Each closes it as of another time; history must say what the winner said.
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

// TestKeys is the suite of access.KeyStore and of the keys of access.Grants.
func TestKeys(t *testing.T, open func(*testing.T) Store) {
	key := func(value, grant string) store.Key {
		return store.Key{Requestor: "o'neil@example.com", Value: value, Digest: "d-" + value, Grant: grant, Expires: morning.Add(time.Hour)}
	}
	t.Run("unknown", func(t *testing.T) {
		s := open(t)
		for _, value := range []string{"", "a", "' or 1 eq 1 or RowKey eq '"} {
			_, err := s.FindKey(t.Context(), "ann@example.com", value, morning)
			wantError(t, "find", err, store.ErrNotFound)
		}
	})
	t.Run("in force", func(t *testing.T) {
		s := open(t)
		first, second := grantOf(morning, 1, 1), grantOf(morning, 2, 2)
		a, b := key("a", first.Grant.ID), key("b", first.Grant.ID)
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), first, []store.Key{a, b}, morning))
		keys := []store.Key{key("c", second.Grant.ID), key("b", second.Grant.ID)}
		_, err := s.InsertGrant(t.Context(), second, keys, morning.Add(time.Hour-time.Nanosecond))
		wantError(t, "insert by a key in force", err, store.ErrConflict)
		_, err = s.Grant(t.Context(), second.Grant.ID)
		wantError(t, "the refused grant", err, store.ErrNotFound)
		_, err = s.FindKey(t.Context(), a.Requestor, "c", morning)
		wantError(t, "the other key of the refused insert", err, store.ErrNotFound)
		wantState(t, s, 2)
		_, err = s.FindKey(t.Context(), "ann@example.com", "a", morning)
		wantError(t, "another requestor's key", err, store.ErrNotFound)
		for _, want := range []store.Key{a, b} {
			wantSame(t, "key", must[store.Key](t)(s.FindKey(t.Context(), want.Requestor, want.Value, morning)), want)
		}
	})
	t.Run("expired", func(t *testing.T) {
		s := open(t)
		first, second := grantOf(morning, 1, 1), grantOf(morning, 2, 2)
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), first, []store.Key{key("a", first.Grant.ID)}, morning))
		end := morning.Add(time.Hour)
		_, err := s.FindKey(t.Context(), "o'neil@example.com", "a", end)
		wantError(t, "find at the expiry", err, store.ErrNotFound)
		want := key("a", second.Grant.ID)
		want.Expires = end.Add(time.Hour)
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), second, []store.Key{want, key("b", second.Grant.ID)}, end))
		wantSame(t, "key", must[store.Key](t)(s.FindKey(t.Context(), want.Requestor, "a", end)), want)
	})
	t.Run("expired, by its version", func(t *testing.T) {
		s := open(t)
		end, later := morning.Add(time.Hour), morning.Add(2*time.Hour)
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1), []store.Key{key("a", idAt(morning, 1))}, morning))
		spent, err := s.FindKey(t.Context(), "o'neil@example.com", "a", end)
		wantError(t, "find at the expiry", err, store.ErrNotFound)
		won := race(4, func(n int) (store.GrantRecord, error) {
			g := grantOf(end, n+2, 1)
			k := key("a", g.Grant.ID)
			k.Version, k.Expires = spent.Version, later
			return s.InsertGrant(t.Context(), g, []store.Key{k}, end)
		})
		if len(won.values) != 1 || won.odd != nil {
			t.Fatalf("%d grants won one expired key, errors besides conflicts: %v", len(won.values), won.odd)
		}
		// The version names what is not there any more: the key is in force, and then it is removed.
		last := grantOf(later, 9, 1)
		k := key("a", last.Grant.ID)
		k.Version, k.Expires = spent.Version, later.Add(time.Hour)
		_, err = s.InsertGrant(t.Context(), last, []store.Key{k}, end)
		wantError(t, "insert by the version of before", err, store.ErrConflict)
		must[int](t)(s.DropKeys(t.Context(), later, 10))
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), last, []store.Key{k}, later))
		if got := must[store.Key](t)(s.FindKey(t.Context(), k.Requestor, "a", later)); got.Grant != last.Grant.ID {
			t.Errorf("the key names %s, want %s", got.Grant, last.Grant.ID)
		}
	})
	t.Run("dropped", func(t *testing.T) { keysDropped(t, open(t), key) })
	t.Run("dropped by many", func(t *testing.T) {
		s := open(t)
		for n := range 60 {
			g := grantOf(morning, n, n)
			must[store.GrantRecord](t)(s.InsertGrant(t.Context(), g, []store.Key{key(fmt.Sprint(n), g.Grant.ID)}, morning))
		}
		done := race(4, func(int) (int, error) { return s.DropKeys(t.Context(), morning.Add(time.Hour), 1000) })
		total := 0
		for _, n := range done.values {
			total += n
		}
		if total != 60 || done.odd != nil {
			t.Errorf("%d keys of 60 were removed, error %v", total, done.odd)
		}
	})
	t.Run("one winner", func(t *testing.T) {
		s := open(t)
		for _, now := range []time.Time{morning, morning.Add(2 * time.Hour)} { // a fresh key, then an expired one
			won := race(8, func(n int) (store.GrantRecord, error) {
				g := grantOf(now, n, n)
				k := key("a", g.Grant.ID)
				k.Expires = now.Add(time.Hour)
				return s.InsertGrant(t.Context(), g, []store.Key{k}, now)
			})
			if len(won.values) != 1 || won.odd != nil {
				t.Fatalf("%d grants won one key, errors besides conflicts: %v", len(won.values), won.odd)
			}
			got := must[store.Key](t)(s.FindKey(t.Context(), "o'neil@example.com", "a", now))
			if got.Grant != won.values[0].Grant.ID {
				t.Errorf("the key names %s, the winner is %s", got.Grant, won.values[0].Grant.ID)
			}
			open := must[[]store.GrantRecord](t)(s.OpenGrants(t.Context()))
			if !slices.ContainsFunc(open, func(g store.GrantRecord) bool { return g.Grant.ID == got.Grant }) {
				t.Errorf("the winner %s is not among the open grants", got.Grant)
			}
			wantState(t, s, 0, 1, 2, 3, 4, 5, 6, 7)
		}
	})
}

// keysDropped has keys that expire a minute after each other, of which the second has been taken anew.
func keysDropped(t *testing.T, s Store, key func(value, grant string) store.Key) {
	at := func(n int) time.Time { return morning.Add(time.Duration(n) * time.Minute) }
	claim := func(n int, start, expires time.Time) {
		g := grantOf(start, n, n)
		k := key(fmt.Sprint(n%100), g.Grant.ID)
		k.Expires = expires
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), g, []store.Key{k}, start))
	}
	for n := 1; n <= 5; n++ {
		claim(n, morning, at(n))
	}
	claim(102, at(2), at(9))
	find := func(value int) bool { // at a time at which none has expired
		_, err := s.FindKey(t.Context(), "o'neil@example.com", fmt.Sprint(value), morning)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	}
	for _, row := range []struct {
		what    string
		expired time.Time
		most    int
		want    int
		left    []int
	}{
		{"before the first expires", at(1).Add(-1), 10, 0, []int{1, 2, 3, 4, 5}},
		{"at the expiry of the first", at(1), 10, 1, []int{2, 3, 4, 5}},
		{"one of two, and not the one that is in force again", at(4), 1, 1, []int{2, 4, 5}},
		{"the other", at(4), 10, 1, []int{2, 5}},
		{"none at all", at(5), 0, 0, []int{2, 5}},
		{"the last, and the one taken anew", at(9), 10, 2, nil},
		{"nothing", at(99), 10, 0, nil},
	} {
		if got := must[int](t)(s.DropKeys(t.Context(), row.expired, row.most)); got != row.want {
			t.Errorf("%s: %d keys were removed, want %d", row.what, got, row.want)
		}
		var left []int
		for n := 1; n <= 5; n++ {
			if find(n) {
				left = append(left, n)
			}
		}
		wantSame(t, row.what+": keys that are left", left, row.left)
	}
	claim(201, at(99), at(100)) // a key that is gone is a new one
	if !find(1) {
		t.Error("a key that was removed cannot be claimed")
	}
}
