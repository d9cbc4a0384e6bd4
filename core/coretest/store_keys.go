package coretest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"portcullis/core/store"
)

// TestKeys is the suite of store.KeyStore and of the keys of store.Grants.
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
		// The version names something that is gone: first the key is valid, then it is removed.
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
		for _, now := range []time.Time{morning, morning.Add(2 * time.Hour)} { // first a new key, then an expired one
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

// keysDropped tests keys that expire a minute after each other, the second of which has been claimed again.
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
	find := func(value int) bool { // at a time when none has expired
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
	claim(201, at(99), at(100)) // a removed key is a new one
	if !find(1) {
		t.Error("a key that was removed cannot be claimed")
	}
}
