package coretest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
)

// TestStream checks that chains can be followed, and that how far they were is stored.
func TestStream(t *testing.T, open func(*testing.T) Store) {
	t.Run("nothing", func(t *testing.T) {
		s := open(t)
		_, err := s.Stream(t.Context())
		wantError(t, "the record before the first", err, store.ErrNotFound)
		if got := must[[]store.Linked](t)(s.Follow(t.Context(), subscriptionOne, morning, store.Place{}, 5, 5)); len(got) != 0 {
			t.Errorf("a chain without entries has %v", got)
		}
	})
	t.Run("one writes it", func(t *testing.T) {
		s := open(t)
		r := store.StreamRecord{Lease: morning, Ran: morning.Add(time.Minute), Failing: morning.Add(-time.Hour), Tries: 3, Next: morning.Add(time.Hour), LastError: "it's \"down\"",
			Days: []store.StreamDay{{Day: morning.Truncate(24 * time.Hour), Until: morning.Add(48 * time.Hour), Chains: []store.StreamChain{{Head: store.Head{Entries: 3, Hash: "ab"}, Time: morning.Add(time.Nanosecond), Stated: store.Head{Entries: 2, Hash: "cd"}, Missing: 1, Rewritten: 2},
				{Subscription: subscriptionOne}}}, {Day: morning.Truncate(24*time.Hour).AddDate(0, 0, 1)}}}
		won := race(8, func(int) (store.StreamRecord, error) { return s.PutStream(t.Context(), r) })
		if len(won.values) != 1 || won.odd != nil {
			t.Fatalf("%d wrote the first record, errors besides conflicts: %v", len(won.values), won.odd)
		}
		read := must[store.StreamRecord](t)(s.Stream(t.Context()))
		r.Version = won.values[0].Version
		wantSame(t, "the record", read, r)
		r.Tries = 4
		next := must[store.StreamRecord](t)(s.PutStream(t.Context(), r))
		_, err := s.PutStream(t.Context(), r)
		wantError(t, "a stale write", err, store.ErrConflict)
		r.Version = "no version that a store gave"
		_, err = s.PutStream(t.Context(), r)
		wantError(t, "an invented version", err, store.ErrConflict)
		wantSame(t, "what stands", must[store.StreamRecord](t)(s.Stream(t.Context())), next)
	})
	t.Run("chains", func(t *testing.T) { testFollow(t, open(t)) })
}

// testFollow appends entries whose times are in no order, and follows them by every step.
func testFollow(t *testing.T, s Store) {
	entry := func(n int, at time.Time) store.Entry {
		e := manyEntries(1)[0]
		e.ID, e.Time, e.VM, e.Target, e.Message = fmt.Sprint("event ", n), at, machine(n), nsg(n), fmt.Sprint("message ", n)
		return e
	}
	day := morning.Truncate(24 * time.Hour)
	var ids []string
	for n := range 40 {
		at := day.Add(time.Duration((n*7)%24) * time.Hour) // much later and much earlier than the one before
		if n%5 == 0 {
			at = day
		}
		ids = append(ids, fmt.Sprint("event ", n))
		if err := s.Append(t.Context(), entry(n, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Append(t.Context(), entry(100, day.AddDate(0, 0, 1)), entry(101, day.Add(-time.Nanosecond))); err != nil {
		t.Fatal(err)
	}
	whole := must[store.VerifyResult](t)(s.Verify(t.Context(), subscriptionOne, day))
	if whole.FirstBroken != nil || whole.Entries != len(ids) {
		t.Fatalf("%+v", whole)
	}
	heads, more, err := s.Heads(t.Context(), day) // more: the pages were too many
	if want := []store.ChainHead{{Subscription: subscriptionOne, Head: store.Head{Entries: len(ids), Hash: whole.Head}}}; err != nil || !more && !cmp.Equal(heads, want) {
		t.Fatalf("heads %v, %v, want %v", heads, err, want)
	}
	for _, limit := range []int{2, 7, 1000} {
		var got []string
		place := store.Place{}
		last := ""
		for place.Seq < whole.Entries {
			found := must[[]store.Linked](t)(s.Follow(t.Context(), subscriptionOne, day.Add(5*time.Hour), place, whole.Entries, limit))
			if len(found) > limit || len(found) < min(limit, whole.Entries-place.Seq) {
				t.Fatalf("%d entries after %d, at most %d", len(found), place.Seq, limit)
			}
			for _, e := range found {
				if e.Seq == place.Seq {
					if e.Hash != last {
						t.Errorf("place %d has another hash when it is read again", e.Seq)
					}
					continue
				}
				got = append(got, e.ID)
				place, last = store.Place{Seq: e.Seq, Time: e.Time}, e.Hash
			}
		}
		wantSame(t, fmt.Sprint("the entries in steps of ", limit), got, ids)
		if last != whole.Head {
			t.Errorf("the last entry has the hash %s, and the head says %s", last, whole.Head)
		}
	}
	first := must[[]store.Linked](t)(s.Follow(t.Context(), subscriptionOne, day, store.Place{}, 1, 5))
	if len(first) != 1 || first[0].Seq != 1 {
		t.Errorf("up to the first place: %v", first)
	} else {
		wantSame(t, "an entry", first[0].Entry, entry(0, day))
	}
	if none := must[[]store.Linked](t)(s.Follow(t.Context(), subscriptionTwo, day, store.Place{}, 40, 100)); len(none) != 0 {
		t.Errorf("another subscription's chain has %d entries", len(none))
	}
}
