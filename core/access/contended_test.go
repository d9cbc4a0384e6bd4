package access_test

import (
	"context"
	"testing"
	"time"

	"portcullis/core/coretest"
)

// TestOneContendedGrant holds that a grant which others change again and again keeps no other from being stored as closed, although
// one transaction was to be for all of them.
func TestOneContendedGrant(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	var ids []string
	for i, name := range []string{"alice", "bob", "carol"} {
		ids = append(ids, w.mustAsk(want(name, 22, time.Hour, []string{"203.0.113.7", "203.0.113.8", "203.0.113.9"}[i], "web")))
	}
	w.leap(2 * time.Hour)
	w.store.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op != "UpdateGrants" || s.After {
			return nil
		}
		rec, err := w.mem.Grant(ctx, ids[0])
		if _, unmarked := rec.Grant.Ending(w.clock); err == nil && !unmarked { // what is changed is its end in the table, once its rules are to go
			_, err = w.mem.UpdateGrants(ctx, rec)
		}
		return err
	}
	_, err := w.Sweep(t.Context(), who("portcullis"))
	if err == nil {
		t.Error("the sweep does not say that a grant could not be closed")
	}
	for i, closed := range []bool{false, true, true} {
		if got := w.grant(ids[i]).Closed(); got != closed {
			t.Errorf("grant %d is closed: %t, want %t (%v)", i, got, closed, err)
		}
	}
	w.store.Fault = nil
	if w.sweep(); !w.grant(ids[0]).Closed() {
		t.Error("the next sweep leaves it open")
	}
}
