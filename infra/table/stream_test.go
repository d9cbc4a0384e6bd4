package table_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"portcullis/core/store"
	"portcullis/core/stream"
)

// kept is a receiver whose table nobody here can write.
type kept struct{ events []stream.Event }

func (k *kept) Send(_ context.Context, events []stream.Event) (int, error) {
	k.events = append(k.events, events...)
	return len(events), nil
}

// hashes returns the hashes that came for each place of the chain of the subscription.
func (k *kept) hashes() map[int][]string {
	out := map[int][]string{}
	for _, e := range k.events {
		if e.Entry != nil && e.Subscription == subscription && !slices.Contains(out[e.Entry.Seq], e.Entry.Hash) {
			out[e.Entry.Seq] = append(out[e.Entry.Seq], e.Entry.Hash)
		}
	}
	return out
}

// TestFollowedRewound: somebody puts the rows of the log back and lets it go on. Verify alone finds nothing. Outside, places stand with two hashes, also where
// the stream's own place was put back; and where it was not, the app says so.
func TestFollowedRewound(t *testing.T) {
	for _, together := range []bool{false, true} {
		s, f := logged(t)
		now := day.Truncate(24 * time.Hour).Add(20 * time.Hour)
		out := &kept{}
		str := &stream.Stream{Log: s, Record: s, Receiver: out, Now: func() time.Time { return now }}
		swept := func() []store.Finding {
			t.Helper()
			now = now.Add(5 * time.Minute)
			found, err := str.Swept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
		add := func(text string, n int) {
			t.Helper()
			for i := range n {
				e := told(1)[0]
				e.ID, e.Justification, e.Time = fmt.Sprint(text, i), text, now
				if err := s.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
		}
		swept()
		first := len(out.hashes())
		rows := f.all("")
		place, err := s.Stream(t.Context())
		if err != nil || first != 6 {
			t.Fatalf("%d places, %v", first, err)
		}
		add("taken back", 2)
		swept()
		f.restore(rows)
		if together {
			newer, err := s.Stream(t.Context())
			place.Version = newer.Version
			if err == nil {
				_, err = s.PutStream(t.Context(), place)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		add("in its place", 3)
		found := swept()
		if got := verify(t, s, subscription); got.FirstBroken != nil || got.Entries != first+3 {
			t.Errorf("verify alone: %+v", got)
		}
		var twice []int
		for seq, all := range out.hashes() {
			if len(all) > 1 {
				twice = append(twice, seq)
			}
		}
		slices.Sort(twice)
		if !slices.Equal(twice, []int{7, 8}) || len(out.hashes()) != first+3 {
			t.Errorf("together %t: places with two hashes %v, of %d", together, twice, len(out.hashes()))
		}
		if says := len(found) == 1 && found[0].Kind == store.FindingLogBroken; says == together {
			t.Errorf("together %t: findings %v", together, found)
		}
		if found := swept(); len(found) == 1 == together {
			t.Errorf("together %t: later %v", together, found)
		}
	}
}

// TestStreamCosts counts the operations of the table: none of them is a request's.
func TestStreamCosts(t *testing.T) {
	s, sim := newStore(t)
	now := day
	str := &stream.Stream{Log: s, Record: s, Receiver: &kept{}, Now: func() time.Time { return now }}
	count := func() (operations int) {
		t.Helper()
		sim.ResetStats()
		now = now.Add(5 * time.Minute)
		if _, err := str.Swept(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, n := range sim.Stats().Operations {
			operations += n
		}
		return operations
	}
	count()
	if n := count(); n != 5 { // the record twice written, once read; the heads of two days
		t.Errorf("a look that finds nothing costs %d operations", n)
	}
	if err := s.Append(t.Context(), told(1)...); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 7 { // the new entry, and the place after it
		t.Errorf("a look that finds an entry costs %d operations", n)
	}
}
