package coretest

import (
	"context"
	"sync"
	"testing"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// broken returns a grant of break-glass.
func broken(n int, person string) store.GrantRecord {
	g := grantOf(morning.Add(time.Duration(n)*time.Minute), n, 1)
	g.Grant.BreakGlass, g.Grant.RequestorID = jit.BreakGlassOpens, person
	return g
}

// written returns a review as somebody has written it.
func written(r store.Review) store.Review {
	r.Text, r.Reviewer, r.ReviewerID, r.At = "it was \"down\"; restarted – Zoë", "Bob", "tid/bob", morning.Add(time.Hour)
	return r
}

// TestReviews checks Reviews, and that Grants store what a break-glass owes with it.
func TestReviews(t *testing.T, open func(*testing.T) Store) {
	t.Run("empty", func(t *testing.T) {
		s := open(t)
		_, err := s.OwedBy(t.Context(), "tid/ann")
		wantError(t, "owed by nobody", err, store.ErrNotFound)
		_, err = s.WrittenReview(t.Context(), "no grant")
		wantError(t, "written of nothing", err, store.ErrNotFound)
		for _, version := range []string{"", "no version that a store gave"} {
			r := store.ReviewOf(broken(1, "tid/ann").Grant)
			r.Version = version
			wantError(t, "write what is not owed", s.WriteReview(t.Context(), written(r)), store.ErrConflict)
			wantError(t, "drop what is not owed", s.DropReview(t.Context(), r), store.ErrConflict)
		}
		must[store.GrantRecord](t)(s.InsertGrant(t.Context(), grantOf(morning, 1, 1), nil, morning))
		if all := must[[]store.Review](t)(s.OwedReviews(t.Context())); len(all) != 0 {
			t.Errorf("an ordinary grant owes %v", all)
		}
	})
	t.Run("one for each person", func(t *testing.T) { testOwed(t, open(t)) })
	t.Run("two at once", func(t *testing.T) { testOwedAtOnce(t, open(t)) })
	t.Run("written once", func(t *testing.T) { testWritten(t, open(t)) })
}

func testOwed(t *testing.T, s Store) {
	g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), broken(1, "tid/ann"), nil, morning))
	_, err := s.InsertGrant(t.Context(), broken(2, "tid/ann"), []store.Key{{Requestor: "tid/ann", Value: "k", Grant: broken(2, "").Grant.ID, Expires: morning.Add(time.Hour)}}, morning)
	wantError(t, "a second one", err, store.ErrConflict)
	_, err = s.Grant(t.Context(), broken(2, "").Grant.ID)
	wantError(t, "the grant of the second one", err, store.ErrNotFound)
	_, err = s.FindKey(t.Context(), "tid/ann", "k", morning)
	wantError(t, "the key of the second one", err, store.ErrNotFound)
	must[store.GrantRecord](t)(s.InsertGrant(t.Context(), broken(3, "tid/bob"), nil, morning))
	plain := grantOf(morning.Add(4*time.Minute), 4, 1)
	plain.Grant.RequestorID = "tid/ann"
	must[store.GrantRecord](t)(s.InsertGrant(t.Context(), plain, nil, morning))

	all := must[[]store.Review](t)(s.OwedReviews(t.Context()))
	if len(all) != 2 || all[0].Grant != g.Grant.ID || all[1].RequestorID != "tid/bob" {
		t.Fatalf("owed are %v", all)
	}
	owed := must[store.Review](t)(s.OwedBy(t.Context(), "tid/ann"))
	want := store.ReviewOf(g.Grant)
	want.Version = owed.Version
	if owed.Version == "" || !owed.Owed() {
		t.Errorf("what is owed is %+v", owed)
	}
	wantSame(t, "what is owed", owed, want)
	if read := must[store.GrantRecord](t)(s.Grant(t.Context(), g.Grant.ID)); read.Grant.BreakGlass != jit.BreakGlassOpens {
		t.Errorf("the grant is stored as %q", read.Grant.BreakGlass)
	}

	next := broken(5, "tid/ann")
	next.Settles = owed.Version
	next = must[store.GrantRecord](t)(s.InsertGrant(t.Context(), next, nil, morning))
	if next.Settles != "" {
		t.Error("what was settled is settled again by the next write")
	}
	if now := must[store.Review](t)(s.OwedBy(t.Context(), "tid/ann")); now.Grant != next.Grant.ID {
		t.Errorf("what took its place is of %s", now.Grant)
	}
	late := broken(6, "tid/ann")
	late.Settles = owed.Version
	_, err = s.InsertGrant(t.Context(), late, nil, morning)
	wantError(t, "settled twice", err, store.ErrConflict)
}

func testOwedAtOnce(t *testing.T, s Store) {
	const n = 6
	var errs [n]error
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			_, errs[i] = s.InsertGrant(context.WithoutCancel(t.Context()), broken(i+1, "tid/ann"), nil, morning)
		})
	}
	wait.Wait()
	stored := 0
	for _, err := range errs {
		if err == nil {
			stored++
			continue
		}
		wantError(t, "another at once", err, store.ErrConflict)
	}
	if open := must[[]store.GrantRecord](t)(s.OpenGrants(t.Context())); stored != 1 || len(open) != 1 {
		t.Errorf("%d of %d are stored, and %d grants", stored, n, len(open))
	}
}

func testWritten(t *testing.T, s Store) {
	g := must[store.GrantRecord](t)(s.InsertGrant(t.Context(), broken(1, "tid/ann"), nil, morning))
	owed := must[store.Review](t)(s.OwedBy(t.Context(), "tid/ann"))
	if err := s.WriteReview(t.Context(), owed); err == nil {
		t.Error("a review that says nothing is stored")
	}
	if err := s.WriteReview(t.Context(), written(owed)); err != nil {
		t.Fatal(err)
	}
	wantError(t, "written twice", s.WriteReview(t.Context(), written(owed)), store.ErrConflict)
	_, err := s.OwedBy(t.Context(), "tid/ann")
	wantError(t, "owed still", err, store.ErrNotFound)
	want := written(owed)
	want.Version = ""
	wantSame(t, "what is written", must[store.Review](t)(s.WrittenReview(t.Context(), g.Grant.ID)), want)

	must[store.GrantRecord](t)(s.InsertGrant(t.Context(), broken(2, "tid/ann"), nil, morning))
	owed = must[store.Review](t)(s.OwedBy(t.Context(), "tid/ann"))
	if err := s.DropReview(t.Context(), owed); err != nil {
		t.Fatal(err)
	}
	wantError(t, "dropped twice", s.DropReview(t.Context(), owed), store.ErrConflict)
	_, err = s.OwedBy(t.Context(), "tid/ann")
	wantError(t, "owed after it was dropped", err, store.ErrNotFound)
}
