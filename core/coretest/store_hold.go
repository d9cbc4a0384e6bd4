package coretest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"portcullis/core/area"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// everyScope returns one scope of each kind.
func everyScope() []area.Scope {
	return []area.Scope{{Person: "00000000-0000-0000-0000-0000000000e3"}, {VM: machine(1)}, {Subscription: subscriptionOne, ResourceGroup: "Group-1"}, {Subscription: subscriptionTwo}, {Everything: true}}
}

// holdOf returns hold number n with every field, of one scope of each kind in turn.
func holdOf(n int) store.Hold {
	return store.Hold{ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", n), Scope: everyScope()[n%5], By: "Zoë O'Neil", Actor: jit.Actor{Tenant: subscriptionOne, Object: subscriptionTwo, Kind: jit.Person, Client: subscriptionOne, SignIn: "pwd mfa", Address: at(n + 1)},
		Reason: "it's | \"odd\"", At: morning.Add(time.Duration(n) * time.Millisecond)}
}

// TestHolds checks a Holds, and that Grants write nothing that was decided by other holds than those that stand.
func TestHolds(t *testing.T, open func(*testing.T) Store) {
	t.Run("a set is replaced by its version", func(t *testing.T) {
		s := open(t)
		first := must[store.HoldSet](t)(s.Holds(t.Context()))
		if again := must[store.HoldSet](t)(s.Holds(t.Context())); first.Version == "" || again.Version != first.Version || len(again.Holds) != 0 {
			t.Fatalf("an empty store has the holds %+v, then %+v", first, again)
		}
		_, err := s.PutHolds(t.Context(), store.HoldSet{Holds: []store.Hold{holdOf(0)}})
		wantError(t, "a set of no version", err, store.ErrConflict)
		next := first
		for n := range store.MaxHolds {
			next.Holds = append(next.Holds, holdOf(n))
		}
		won := race(8, func(int) (store.HoldSet, error) { return s.PutHolds(t.Context(), next) })
		if len(won.values) != 1 || won.odd != nil {
			t.Fatalf("%d replaced one set, errors besides conflicts: %v", len(won.values), won.odd)
		}
		got := must[store.HoldSet](t)(s.Holds(t.Context()))
		wantSame(t, "the holds", got, store.HoldSet{Version: won.values[0].Version, Holds: next.Holds})
		if got.Version == first.Version {
			t.Error("two sets have one version")
		}
		_, err = s.PutHolds(t.Context(), first)
		wantError(t, "a stale set", err, store.ErrConflict)
	})
	t.Run("lock-downs", func(t *testing.T) {
		s := open(t)
		set := must[store.HoldSet](t)(s.Holds(t.Context()))
		var want []store.Lockdown
		for n := range 5 {
			h := holdOf(n)
			l := store.Lockdown{ID: h.ID, Scope: h.Scope, By: h.By, Actor: h.Actor, Correlation: "invocation", Reason: h.Reason, At: h.At, Hold: h.ID, Found: n}
			if err := s.PutLockdown(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			for i := range n * 1000 {
				l.Grants = append(l.Grants, fmt.Sprintf("00000000-0000-7000-9000-%012d", i))
			}
			l.Logged = n%2 == 1
			if err := s.PutLockdown(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			want = append(want, l)
		}
		stands, got, err := s.Lockdowns(t.Context())
		if err != nil || stands.Version != set.Version || len(stands.Holds) != 0 {
			t.Errorf("beside lock-downs %+v stand: %v", stands, err)
		}
		wantSame(t, "the lock-downs", got, want)
		for range 2 {
			if err := s.DropLockdown(t.Context(), want[1].ID); err != nil {
				t.Error(err)
			}
		}
		if _, left, err := s.Lockdowns(t.Context()); err != nil || len(left) != 4 {
			t.Errorf("%d are left of 5: %v", len(left), err)
		}
	})
	t.Run("what was decided by other holds is not written", func(t *testing.T) { testDecided(t, open(t)) })
	t.Run("a hold and inserts at once", func(t *testing.T) { testHoldRace(t, open(t)) })
}

// testHoldRace checks that each insert is either listed by whoever has set a hold, or refused.
func testHoldRace(t *testing.T, s Store) {
	set := must[store.HoldSet](t)(s.Holds(t.Context()))
	listed := make(chan map[string]bool, 1)
	go func() {
		ids := map[string]bool{}
		defer func() { listed <- ids }()
		next := set
		next.Holds = []store.Hold{holdOf(4)}
		if _, err := s.PutHolds(t.Context(), next); err != nil {
			t.Error(err)
			return
		}
		all, err := s.OpenGrants(t.Context())
		if err != nil {
			t.Error(err)
		}
		for _, g := range all {
			ids[g.Grant.ID] = true
		}
	}()
	won := race(8, func(n int) (store.GrantRecord, error) {
		g := grantOf(morning, n+1, n+1)
		g.Decided = set.Version
		out, err := s.InsertGrant(t.Context(), g, nil, morning)
		if errors.Is(err, store.ErrHeldAnew) {
			err = store.ErrConflict
		}
		return out, err
	})
	seen := <-listed
	for _, g := range won.values {
		if !seen[g.Grant.ID] {
			t.Errorf("grant %s was stored, and who had set the hold did not see it", g.Grant.ID)
		}
	}
	if won.odd != nil {
		t.Error(won.odd)
	}
}

func testDecided(t *testing.T, s Store) {
	wide := make([]int, 60) // more targets than one transaction takes
	for i := range wide {
		wide[i] = i + 1
	}
	set := must[store.HoldSet](t)(s.Holds(t.Context()))
	for n, at := range [][]int{{1}, wide} {
		insert := grantOf(morning, n+1, at...)
		insert.Decided = "no set that a store gave"
		_, err := s.InsertGrant(t.Context(), insert, []store.Key{{Requestor: "ann", Value: fmt.Sprint("key-", n), Digest: "d", Grant: insert.Grant.ID, Expires: morning.Add(time.Hour)}}, morning)
		wantError(t, "an insert by other holds", err, store.ErrHeldAnew)
		_, err = s.Grant(t.Context(), insert.Grant.ID)
		wantError(t, "the grant that was not inserted", err, store.ErrNotFound)
		_, err = s.FindKey(t.Context(), "ann", fmt.Sprint("key-", n), morning)
		wantError(t, "the key that was not stored", err, store.ErrNotFound)

		insert.Decided = set.Version
		g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), insert, nil, morning))
		if g.Decided != "" {
			t.Error("a write returns what it was decided by")
		}
		opened := g
		opened.Grant, opened.Decided = g.Grant.Opened(g.Grant.Start), set.Version
		next := set
		next.Holds = append(next.Holds, holdOf(n))
		next = must[store.HoldSet](t)(s.PutHolds(t.Context(), next))
		opened.Tell = []store.Letter{letterOf("webhook", g, 1)}
		_, err = s.UpdateGrants(t.Context(), opened)
		wantError(t, "an opening by older holds", err, store.ErrHeldAnew)
		wantSame(t, "the grant after it", must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)), g)
		if all, _ := allLetters(t, s, "webhook"); len(all) != 0 {
			t.Errorf("what was not written tells %d letters", len(all))
		}
		opened.Tell, opened.Decided = nil, next.Version
		stale := opened
		stale.Version = "no version that a store gave"
		_, err = s.UpdateGrants(t.Context(), stale)
		wantError(t, "a stale update by the holds that stand", err, store.ErrConflict)
		g = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), opened))[0]
		set = must[store.HoldSet](t)(s.PutHolds(t.Context(), next))
		if c := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closedAt(g, morning.Add(time.Minute))))[0]; !c.Grant.Closed() {
			t.Error("a closing, which asks for no holds, is not stored")
		}
	}
}
