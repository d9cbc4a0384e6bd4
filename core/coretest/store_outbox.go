package coretest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"portcullis/core/store"
)

// letterOf returns a letter about a grant.
func letterOf(channel string, g store.GrantRecord, seq int) store.Letter {
	w := g.Grant.VMs[0].Ports[0]
	return store.Letter{Channel: channel, Message: store.Message{Kind: store.EventOpen, At: morning.Add(time.Second), Subject: g.Grant.ID, Began: g.Grant.Start, Seq: seq, Grant: g.Grant.ID,
		Requestor: g.Grant.Requestor, Justification: g.Grant.Justification, By: "Zoë", Reason: "Expired", Text: "it's | \"over\"", More: 3,
		Windows: []store.ToldWindow{{VM: g.Grant.VMs[0].VM, Port: w.Number, End: w.End, Sources: w.Sources.Strings(), Dial: []string{"198.51.100.9:22"}}}}}
}

// all returns every letter to a channel, two a page, and how many pages that took.
func allLetters(t *testing.T, s Store, channel string) ([]store.Letter, int) {
	t.Helper()
	var all []store.Letter
	cursor := ""
	for pages := 1; pages < 100; pages++ {
		list, next, err := s.Letters(t.Context(), channel, cursor, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) > 2 {
			t.Fatalf("%d letters in a page of two", len(list))
		}
		if all = append(all, list...); next == "" {
			return all, pages
		}
		cursor = next
	}
	t.Fatal("the pages have no end")
	return nil, 0
}

// TestOutbox checks an Outbox, and that Grants put letters into it with what they tell of.
func TestOutbox(t *testing.T, open func(*testing.T) Store) {
	t.Run("empty", func(t *testing.T) {
		s := open(t)
		if all, _ := allLetters(t, s, "webhook"); len(all) != 0 {
			t.Errorf("an empty outbox has %d letters", len(all))
		}
		l := letterOf("webhook", grantOf(morning, 1, 1), 1)
		l.Version = "no version that a store gave"
		_, err := s.PutOff(t.Context(), l)
		wantError(t, "put off what is not there", err, store.ErrConflict)
		wantError(t, "drop what is not there", s.DropLetter(t.Context(), l), store.ErrConflict)
	})
	t.Run("a refused write tells nothing", func(t *testing.T) {
		s := open(t)
		g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1), nil, morning))
		again := grantOf(morning, 1, 1)
		again.Tell = []store.Letter{letterOf("webhook", again, 1)}
		_, err := s.InsertGrant(t.Context(), again, nil, morning)
		wantError(t, "a second insert", err, store.ErrConflict)
		changed := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), g))[0]
		g.Tell = []store.Letter{letterOf("webhook", g, 1)}
		_, err = s.UpdateGrants(t.Context(), g)
		wantError(t, "a stale update", err, store.ErrConflict)
		stale := closedAt(g, morning.Add(time.Minute))
		_, err = s.UpdateGrants(t.Context(), stale)
		wantError(t, "a stale closing", err, store.ErrConflict)
		if all, _ := allLetters(t, s, "webhook"); len(all) != 0 {
			t.Errorf("refused writes left letters: %v", all)
		}
		wantSame(t, "the grant", must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)), changed)
	})
	t.Run("a letter to nobody", func(t *testing.T) { testLettersToNobody(t, open(t)) })
	t.Run("with the grant", func(t *testing.T) { testLettersOfGrants(t, open(t)) })
	t.Run("order and pages", func(t *testing.T) {
		s := open(t)
		var want []store.Letter
		for n := range 3 { // of a younger grant first, and the numbers not in their order
			for _, seq := range []int{2, 11, 1} {
				l := letterOf("webhook", grantOf(morning.Add(-time.Duration(n)*time.Hour), n+1, 1), seq)
				if err := s.PutLetters(t.Context(), l, letterOf("slack", grantOf(morning, 1, 1), 1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for n := 2; n >= 0; n-- {
			for _, seq := range []int{1, 2, 11} {
				want = append(want, letterOf("webhook", grantOf(morning.Add(-time.Duration(n)*time.Hour), n+1, 1), seq))
			}
		}
		got, pages := allLetters(t, s, "webhook")
		wantSame(t, "the letters to one channel", got, want)
		if pages < 5 {
			t.Errorf("9 letters took %d pages of two", pages)
		}
		if other, _ := allLetters(t, s, "slack"); len(other) != 1 {
			t.Errorf("one letter put three times stands %d times", len(other))
		}
		if none, _ := allLetters(t, s, "web"); len(none) != 0 {
			t.Errorf("a channel whose name begins another's has %d letters", len(none))
		}
	})
	t.Run("one takes it", func(t *testing.T) {
		s := open(t)
		if err := s.PutLetters(t.Context(), letterOf("webhook", grantOf(morning, 1, 1), 1)); err != nil {
			t.Fatal(err)
		}
		all, _ := allLetters(t, s, "webhook")
		won := race(8, func(n int) (store.Letter, error) {
			l := all[0]
			l.Tries, l.Next, l.LastError = 1, morning.Add(time.Minute), fmt.Sprint("by ", n)
			return s.PutOff(t.Context(), l)
		})
		if len(won.values) != 1 || won.odd != nil {
			t.Fatalf("%d took one letter, errors besides conflicts: %v", len(won.values), won.odd)
		}
		taken, _ := allLetters(t, s, "webhook")
		wantSame(t, "the letter that was taken", taken, won.values)
		wantError(t, "drop by who lost", s.DropLetter(t.Context(), all[0]), store.ErrConflict)
		if err := s.DropLetter(t.Context(), won.values[0]); err != nil {
			t.Fatal(err)
		}
		wantError(t, "drop it again", s.DropLetter(t.Context(), won.values[0]), store.ErrConflict)
		if left, _ := allLetters(t, s, "webhook"); len(left) != 0 {
			t.Errorf("%d letters are left", len(left))
		}
	})
}

// testLettersToNobody: a letter that says neither whose it is nor to whom it goes fails the whole write.
func testLettersToNobody(t *testing.T, s Store) {
	first := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1), nil, morning))
	for name, l := range map[string]store.Letter{"nothing": {}, "only a kind": {Message: store.Message{Kind: store.EventWaiting}}, "no channel": letterOf("", first, 1)} {
		g := grantOf(morning, 2, 2)
		g.Tell = []store.Letter{l}
		if _, err := s.InsertGrant(t.Context(), g, nil, morning); err == nil {
			t.Errorf("%s: a grant is stored that tells it", name)
		}
		_, err := s.Grant(t.Context(), g.Grant.ID)
		wantError(t, name, err, store.ErrNotFound)
		changed := first
		changed.Attempts, changed.Tell = 7, []store.Letter{l}
		if _, err := s.UpdateGrants(t.Context(), changed); err == nil {
			t.Errorf("%s: a grant is changed that tells it", name)
		}
		if err := s.PutLetters(t.Context(), l); err == nil {
			t.Errorf("%s: it is stored by itself", name)
		}
	}
	wantSame(t, "the grant", must[store.GrantRecord](t)(s.Grant(t.Context(), first.Grant.ID)), first)
}

func testLettersOfGrants(t *testing.T, s Store) {
	told := func(g store.GrantRecord, seq int) store.GrantRecord {
		g.Told = store.Told{Seq: seq, Windows: "oe", Reminded: morning.Add(time.Duration(seq) * time.Minute), Stuck: seq == 2}
		g.Tell = []store.Letter{letterOf("webhook", g, seq), letterOf("slack", g, seq)}
		return g
	}
	guards := make([]int, 60) // more than one transaction takes
	for i := range guards {
		guards[i] = i + 1
	}
	for n, at := range [][]int{{1}, guards} {
		g := told(grantOf(morning, n+1, at...), 1)
		want := append([]store.Letter{}, letterOf("webhook", g, 1), letterOf("webhook", g, 2), letterOf("webhook", g, 3))
		g = must[store.GrantRecord](t)(s.InsertGrant(t.Context(), g, nil, morning))
		g = must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), told(g, 2)))[0]
		if len(g.Tell) != 0 {
			t.Errorf("a write returns a record that tells %d letters again", len(g.Tell))
		}
		read := must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID))
		if len(read.Tell) != 0 || read.Told != g.Told {
			t.Errorf("a read returns what was told as %+v, and %d letters; stored was %+v", read.Told, len(read.Tell), g.Told)
		}
		closed := closedAt(told(g, 3), morning.Add(time.Minute))
		if c := must[[]store.GrantRecord](t)(s.UpdateGrants(t.Context(), closed))[0]; len(c.Tell) != 0 {
			t.Errorf("a closing returns a record that tells %d letters again", len(c.Tell))
		}
		if history := must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)); history.Told.Seq != 3 {
			t.Errorf("history says that %d messages were told", history.Told.Seq)
		}
		for _, channel := range []string{"webhook", "slack"} {
			got, _ := allLetters(t, s, channel)
			for i := range want {
				want[i].Channel = channel
			}
			wantSame(t, "the letters of a grant to "+channel, got, want)
			drain(t, s, channel)
		}
	}
}

func drain(t *testing.T, s Store, channel string) {
	t.Helper()
	all, _ := allLetters(t, s, channel)
	for _, l := range all {
		if err := s.DropLetter(context.WithoutCancel(t.Context()), l); err != nil {
			t.Fatal(err)
		}
	}
}
