package coretest

import (
	"context"
	"errors"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/roster"
	"portcullis/core/store"
)

// TestTargets is the suite of store.Targets.
func TestTargets(t *testing.T, open func(*testing.T) Store) {
	t.Run("unknown", func(t *testing.T) {
		s := open(t)
		wantSame(t, "state", must[roster.State](t)(s.State(t.Context(), nsg(1))), roster.State{})
		wantSame(t, "known", must[[]jit.ID](t)(s.Known(t.Context())), []jit.ID(nil))
		if err := s.Forget(t.Context(), nsg(1), cleared); err != nil {
			t.Errorf("forget what is not known: %v", err)
		}
	})
	t.Run("forget", func(t *testing.T) {
		s := open(t)
		p := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1), nil, morning))
		stays := func(why string) {
			t.Helper()
			if err := s.Forget(t.Context(), nsg(1), cleared); err != nil {
				t.Errorf("forget with %s: %v", why, err)
			}
			wantSame(t, "known with "+why, must[[]jit.ID](t)(s.Known(t.Context())), []jit.ID{nsg(1)})
			wantState(t, s, 1)
		}
		stays("a policy and a grant")
		if err := s.DeletePolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		stays("a grant")
		must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closedAt(g, morning.Add(time.Minute))))
		state := must[roster.State](t)(s.State(t.Context(), nsg(1)))
		wantSame(t, "state with nothing on it", state, roster.State{Known: true})
		other := nsg(1)
		other.Name = "GUARD001"
		if err := s.Forget(t.Context(), other, cleared); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "state after it is forgotten", must[roster.State](t)(s.State(t.Context(), nsg(1))), roster.State{})
		wantSame(t, "known", must[[]jit.ID](t)(s.Known(t.Context())), []jit.ID(nil))
	})
	t.Run("forget while it is used", func(t *testing.T) {
		s := open(t)
		put := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		for range 8 {
			if err := s.DeletePolicy(t.Context(), put); err != nil {
				t.Fatal(err)
			}
			var again store.PolicyRecord
			done := race(2, func(n int) (int, error) {
				if n == 0 {
					return n, s.Forget(t.Context(), nsg(1), cleared)
				}
				var err error
				again, err = s.PutPolicy(t.Context(), policyOf(1, 1))
				return n, err
			})
			if done.odd != nil || len(done.values) != 2 {
				t.Fatalf("one of two failed: %v", done.odd)
			}
			wantSame(t, "known", must[[]jit.ID](t)(s.Known(t.Context())), []jit.ID{nsg(1)})
			put = again
		}
	})
	t.Run("remember", func(t *testing.T) {
		s := open(t)
		known := func(why string, want ...jit.ID) {
			t.Helper()
			wantSame(t, "known "+why, must[[]jit.ID](t)(s.Known(t.Context())), want)
		}
		for range 2 {
			if err := s.Remember(t.Context(), nsg(1)); err != nil {
				t.Fatal(err)
			}
			known("once remembered", nsg(1))
			wantSame(t, "state of what is only remembered", must[roster.State](t)(s.State(t.Context(), nsg(1))), roster.State{})
		}
		forget := func(why string, clear func(context.Context) (bool, error), wrong error) {
			t.Helper()
			if err := s.Forget(t.Context(), nsg(1), clear); !errors.Is(err, wrong) {
				t.Errorf("forget %s: %v, want %v", why, err, wrong)
			}
		}
		forget("what is not clear", func(context.Context) (bool, error) { return false, nil }, nil)
		known("while it is not clear", nsg(1))
		wrong := errors.New("cannot tell")
		forget("what nobody can tell of", func(context.Context) (bool, error) { return true, wrong }, wrong)
		known("while nobody can tell", nsg(1))
		forget("while it is remembered again", func(ctx context.Context) (bool, error) { return true, s.Remember(ctx, nsg(1)) }, nil)
		known("since it was remembered again", nsg(1))
		forget("what is clear", cleared, nil)
		known("when forgotten")

		if err := s.Remember(t.Context(), nsg(1)); err != nil {
			t.Fatal(err)
		}
		p := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		if err := s.Remember(t.Context(), nsg(1)); err != nil {
			t.Fatal(err)
		}
		if err := s.DeletePolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "state of what a policy made ours", must[roster.State](t)(s.State(t.Context(), nsg(1))), roster.State{Known: true})
		forget("what is used again", func(ctx context.Context) (bool, error) {
			_, err := s.PutPolicy(ctx, policyOf(1, 1))
			return true, err
		}, nil)
		known("while it is used", nsg(1))
	})
	t.Run("many", func(t *testing.T) { testManyTargets(t, open(t)) })
	t.Run("confirm", func(t *testing.T) {
		s := open(t)
		must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		stored := func(want ...string) {
			t.Helper()
			wantSame(t, "confirmed", must[roster.State](t)(s.State(t.Context(), nsg(1))).Confirmed, want)
		}
		confirm := func(was, is []string, wrong error) {
			t.Helper()
			if err := s.Confirm(t.Context(), nsg(1), was, is); !errors.Is(err, wrong) {
				t.Errorf("confirm %q after %q: %v, want %v", is, was, err, wrong)
			}
		}
		a, ab := []string{"a"}, []string{"a", "b"}
		confirm(a, ab, store.ErrConflict)
		stored()
		confirm(nil, a, nil)
		stored("a")
		confirm(nil, ab, store.ErrConflict)
		stored("a")
		confirm(a, ab, nil)
		stored("a", "b")
		must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(2, 1)))
		stored("a", "b")
		confirm(ab, nil, nil)
		stored()
		confirm(nil, nil, nil)
		confirm(nil, a, nil)
		done := race(2, func(n int) (int, error) {
			return n, s.Confirm(t.Context(), nsg(1), a, []string{"a", string(rune('b' + n))})
		})
		if len(done.values) != 1 || done.odd != nil {
			t.Errorf("%d of two that race confirm, %v", len(done.values), done.odd)
		}
	})
	t.Run("forget what was confirmed", func(t *testing.T) {
		s := open(t)
		p := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		if err := s.Confirm(t.Context(), nsg(1), nil, []string{"a"}); err != nil {
			t.Fatal(err)
		}
		if err := s.DeletePolicy(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		wantSame(t, "state without parts", must[roster.State](t)(s.State(t.Context(), nsg(1))), roster.State{Known: true, Confirmed: []string{"a"}})
		if err := s.Forget(t.Context(), nsg(1), cleared); err != nil {
			t.Fatal(err)
		}
		must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(1, 1)))
		wantSame(t, "confirmed once it is ours again", must[roster.State](t)(s.State(t.Context(), nsg(1))).Confirmed, []string(nil))
	})
}

// cleared says that nothing prevents forgetting.
func cleared(context.Context) (bool, error) { return true, nil }

// testManyTargets: what is read of many targets is what is read of each, whatever their order, and whatever is stored of them.
func testManyTargets(t *testing.T, s Store) {
	const n = 12
	for i := 1; i <= n; i += 2 {
		must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(i, i, i+1)))
	}
	must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1, 2, n), nil, morning))
	if err := errors.Join(s.Confirm(t.Context(), nsg(3), nil, []string{"a", "b"}), s.Remember(t.Context(), nsg(n+1))); err != nil {
		t.Fatal(err)
	}
	gone := must[store.PolicyRecord](t)(s.PutPolicy(t.Context(), policyOf(n+2, n+2)))
	if err := s.DeletePolicy(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	var targets []jit.ID
	for i := n + 3; i > 0; i-- { // the last is not known
		targets = append(targets, nsg(i))
	}
	targets = append(targets, nsg(2), nsg(n+3))
	for _, some := range [][]jit.ID{targets, targets[:1], targets[3:5], {nsg(n + 3), nsg(n + 1)}, nil} {
		got := must[[]roster.State](t)(s.States(t.Context(), some))
		if len(got) != len(some) {
			t.Fatalf("%d states of %d targets", len(got), len(some))
		}
		for i, target := range some {
			wantSame(t, "state of "+target.Name, got[i], must[roster.State](t)(s.State(t.Context(), target)))
		}
	}
	places := map[string]bool{}
	for _, target := range targets {
		places[s.Order(target.Key())] = true
	}
	if len(places) != n+3 || s.Order(nsg(1).Key()) != s.Order(nsg(1).Key()) {
		t.Errorf("%d places of %d targets", len(places), n+3)
	}
}
