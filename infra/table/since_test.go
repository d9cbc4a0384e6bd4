package table_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"portcullis/core/store"
	"portcullis/infra/table"
)

// TestOneLineAtMidnight: several instances tell of one closing on both sides of midnight, at once. It has one line, both chains are whole, and who
// is told that his line is not written finds it written when he tries again.
func TestOneLineAtMidnight(t *testing.T) {
	_, url := simulator(t)
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for round := range 8 {
		var wg sync.WaitGroup
		id := fmt.Sprint("closing ", round)
		var stores []*table.Store
		for range 4 {
			s, err := table.New(url, token{}, impatient())
			if err == nil {
				err = s.Setup(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			stores = append(stores, s)
		}
		at := func(i int) store.Entry {
			e := told(1)[0]
			e.ID, e.Operation, e.Result = id, store.OpClose, store.Succeeded
			e.Since = midnight.Add(-time.Minute)
			e.Time = midnight.Add(time.Duration(2*(i%2)-1) * time.Millisecond)
			return e
		}
		for i, s := range stores {
			wg.Go(func() {
				if err := s.Append(t.Context(), at(i)); err == nil {
					return
				}
				if err := s.Append(t.Context(), at(1)); err != nil { // as the sweep does later
					t.Error(err)
				}
			})
		}
		wg.Wait()
		entries, _, err := stores[0].Entries(t.Context(), store.EntryFilter{}, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			if e.ID == id {
				n++
			}
		}
		if n != 1 {
			t.Errorf("round %d: the log has %d lines of one closing", round, n)
		}
	}
	s, err := table.New(url, token{}, impatient())
	if err != nil {
		t.Fatal(err)
	}
	whole := 0
	for _, day := range []time.Time{midnight.Add(-time.Hour), midnight} {
		got, err := s.Verify(t.Context(), subscription, day)
		if err != nil || got.FirstBroken != nil {
			t.Errorf("the chain of %s: %+v, error %v", day.Format(time.DateOnly), got.FirstBroken, err)
		}
		whole += got.Entries
	}
	if whole != 8 {
		t.Errorf("the chains have %d entries", whole)
	}
}

// TestClockBehindAtMidnight: an instance whose clock is before midnight meets a line that another has begun on the next day. That line alone is not
// written again; what is appended with it is, and whoever waits for nothing else gets no error.
func TestClockBehindAtMidnight(t *testing.T) {
	_, url := simulator(t)
	var stores []*table.Store
	for range 2 {
		s, err := table.New(url, token{}, impatient())
		if err == nil {
			err = s.Setup(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		stores = append(stores, s)
	}
	midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	entry := func(id string, at time.Duration) store.Entry {
		e := told(1)[0]
		e.ID, e.Since, e.Time = id, midnight.Add(-time.Minute), midnight.Add(at)
		return e
	}
	if err := stores[0].Append(t.Context(), entry("begun", time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := stores[1].Append(t.Context(), entry("begun", -time.Second), entry("other", -time.Second)); err == nil {
		t.Error("the line of the next day passes for written on this one")
	}
	if err := stores[1].Append(t.Context(), entry("begun", 2*time.Second)); err != nil {
		t.Errorf("after midnight: %v", err)
	}
	entries, _, err := stores[0].Entries(t.Context(), store.EntryFilter{}, "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, e := range entries {
		n[e.ID]++
	}
	if n["begun"] != 1 || n["other"] != 1 {
		t.Errorf("the log has %v, want one line of each", n)
	}
}
