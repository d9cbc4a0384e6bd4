package table_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portcullis/core/store"
	"portcullis/infra/table"
)

// TestHeads holds what is told of a day's chains, which other days and forged rows are no part of.
func TestHeads(t *testing.T) {
	s, f := logged(t)
	if got, more, err := s.Heads(t.Context(), day.Add(24*time.Hour)); err != nil || more || len(got) > 0 {
		t.Fatalf("a day without entries: %v, more %t, %v", got, more, err)
	}
	head := func(sub string) store.ChainHead {
		return store.ChainHead{Subscription: sub, Head: store.Head{Entries: int(doc(f.head(sub))["Seq"].(float64)), Hash: verify(t, s, sub).Head}}
	}
	want := []store.ChainHead{head(""), head(subscription)}
	if want[0].Entries != 2 || want[1].Entries != 6 {
		t.Fatalf("%+v", want)
	}
	got := heads(t, s)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	forged := f.head(subscription)
	f.put(with(forged, subscription, "22222222-2222-2222-2222-222222222222")) // says that it is another's
	none := f.head("")
	none["Doc"] = "{"
	f.put(none)
	if diff := cmp.Diff([]store.ChainHead{{}, {Subscription: subscription}}, heads(t, s)); diff != "" {
		t.Errorf("heads that cannot be believed have no entries (-want +got):\n%s", diff)
	}
}

// TestHeadsAreBounded: rows that somebody has made up by the thousand are not all read.
func TestHeadsAreBounded(t *testing.T) {
	s, f := logged(t)
	head := f.head(subscription)
	for i := range store.MaxHeads {
		head["RowKey"] = fmt.Sprintf("head|22222222-2222-2222-2222-%012d", i)
		f.put(head)
	}
	if got, more, err := s.Heads(t.Context(), day); err != nil || !more || len(got) != store.MaxHeads {
		t.Errorf("%d heads, more %t, %v", len(got), more, err)
	}
}

func heads(t *testing.T, s *table.Store) []store.ChainHead {
	t.Helper()
	got, more, err := s.Heads(t.Context(), day)
	if err != nil || more {
		t.Fatal(err, more)
	}
	return got
}

// restore puts the table back to the rows of an older day.
func (f forger) restore(rows []entity) {
	f.t.Helper()
	for _, e := range f.all("") {
		f.remove(e)
	}
	for _, e := range rows {
		f.put(e)
	}
}

// TestRewound: who can write the account puts the table back to an older state, or writes a chain anew with hashes that
// fit. Verify alone finds nothing; held to the heads that were stated before it names the chain and the place.
func TestRewound(t *testing.T) {
	ctx := t.Context()
	later := func(n int, text string) store.Entry {
		e := told(n + 1)[n]
		e.ID, e.Justification = fmt.Sprint(text, n), text
		return e
	}
	rows := []struct {
		name string
		do   func(s *table.Store, f forger, old []entity)
		seq  int // of the first head stated that does not hold; 0 where each does
	}{
		{"nothing", func(*table.Store, forger, []entity) {}, 0},
		{"the chain grows", func(s *table.Store, _ forger, _ []entity) {
			done(t, s.Append(ctx, later(8, "after")))
		}, 0},
		{"put back", func(_ *table.Store, f forger, old []entity) { f.restore(old) }, 8},
		{"put back, and grown to as many", func(s *table.Store, f forger, old []entity) {
			f.restore(old)
			done(t, s.Append(ctx, later(6, "another"), later(7, "another")))
		}, 8},
		{"put back, and grown to more", func(s *table.Store, f forger, old []entity) {
			f.restore(old)
			done(t, s.Append(ctx, later(6, "another"), later(7, "another"), later(8, "another")))
		}, 8},
		{"all gone", func(_ *table.Store, f forger, _ []entity) { f.restore(nil) }, 6},
		{"written anew from the first", func(s *table.Store, f forger, _ []entity) {
			f.restore(nil)
			for n := range 8 {
				done(t, s.Append(ctx, later(n, "another")))
			}
		}, 6},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s, f := logged(t)
			old := f.all("")
			stated := []store.Head{heads(t, s)[1].Head}
			done(t, s.Append(ctx, later(6, "true"), later(7, "true")))
			stated = append(stated, heads(t, s)[1].Head)
			if stated[0].Entries != 6 || stated[1].Entries != 8 {
				t.Fatalf("stated %+v", stated)
			}
			row.do(s, f, old)
			if got := verify(t, s, subscription); got.FirstBroken != nil {
				t.Fatalf("alone: %+v", got.FirstBroken)
			}
			got, err := s.Verify(ctx, subscription, day, stated...)
			done(t, err)
			switch b := got.FirstBroken; {
			case row.seq == 0 && b != nil:
				t.Errorf("what was stated holds, and %+v", b)
			case row.seq > 0 && (b == nil || b.Break != store.BreakRewound || b.Seq != row.seq):
				t.Errorf("%+v, want %s at %d", b, store.BreakRewound, row.seq)
			}
		})
	}
}

// TestStatedOfABrokenChain: what is broken by itself is told first.
func TestStatedOfABrokenChain(t *testing.T) {
	s, f := logged(t)
	stated := heads(t, s)[1].Head
	f.remove(f.chain(subscription)[3])
	got, err := s.Verify(t.Context(), subscription, day, stated)
	if err != nil || got.FirstBroken == nil || got.FirstBroken.Break != store.BreakRemoved {
		t.Errorf("%+v, %v", got.FirstBroken, err)
	}
}

func done(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
