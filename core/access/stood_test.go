package access_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestLogFollowsEffect: whatever becomes of who opens a window, the log has one Open once its rule is known to stand, and one Close after it.
func TestLogFollowsEffect(t *testing.T) {
	dies := func(w *world, op string, after bool) {
		var dead atomic.Bool
		fault := func(_ context.Context, s coretest.Step) error {
			if s.Op == op && s.After == after {
				dead.Store(true)
			}
			if dead.Load() {
				return errFault
			}
			return nil
		}
		w.cloud.Fault, w.store.Fault, w.bell.Fault = fault, fault, fault
	}
	tests := []struct {
		name  string
		opens func(w *world, rec store.GrantRecord)
		stood bool // its rule did
	}{
		{"it is opened", func(w *world, rec store.GrantRecord) {
			_, _ = w.Open(w.t.Context(), who("ann"), rec)
		}, true},
		{"its caller dies before the write", func(w *world, rec store.GrantRecord) {
			dies(w, "Apply", false)
			_, _ = w.Open(w.t.Context(), who("ann"), rec)
		}, false},
		{"its caller dies after the write", func(w *world, rec store.GrantRecord) {
			dies(w, "Apply", true)
			_, _ = w.Open(w.t.Context(), who("ann"), rec)
		}, true},
		{"its caller dies after the log", func(w *world, rec store.GrantRecord) {
			dies(w, "Append", true)
			_, _ = w.Open(w.t.Context(), who("ann"), rec)
		}, true},
		{"its caller fails after the write", func(w *world, rec store.GrantRecord) {
			var once atomic.Bool
			w.store.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == "Append" && w.allows("web-nsg") == 1 && once.CompareAndSwap(false, true) {
					return errFault
				}
				return nil
			}
			if _, err := w.Open(w.t.Context(), who("ann"), rec); err == nil {
				w.t.Error("it is reported open, and the log does not tell")
			}
		}, true},
		{"it is revoked while it is written", func(w *world, rec store.GrantRecord) {
			var once atomic.Bool
			w.cloud.Fault = func(ctx context.Context, s coretest.Step) error {
				if s.Op != "Apply" || !s.After || !once.CompareAndSwap(false, true) {
					return nil
				}
				_, err := store.ChangeGrant(ctx, w.mem, rec, func(g store.GrantRecord) (store.GrantRecord, bool, error) { // by another instance
					g.Grant = g.Grant.Revoke(w.now(), jit.UserRequested)
					return g.Intend(who("ann"), store.OpRevoke, store.Succeeded, "", w.now()), true, nil
				})
				return err
			}
			_, _ = w.Open(w.t.Context(), who("ann"), rec)
		}, true},
	}
	for _, swept := range []bool{false, true} { // while the opening is not over
		for _, tt := range tests {
			name := tt.name
			if swept {
				name += ", and a sweep comes by"
			}
			t.Run(name, inBubble(func(t *testing.T) {
				w := newWorld(t)
				w.enable("web")
				r := want("ann", 22, time.Hour, "203.0.113.7", "web")
				rec, _, err := w.Request(t.Context(), who("ann"), r, "")
				if err != nil {
					t.Fatal(err)
				}
				tt.opens(w, rec)
				synctest.Wait() // what goes on by itself
				w.restart()
				if w.leap(time.Minute); swept {
					w.sweep()
					w.sweep()
					stands := w.allows("web-nsg") == 1
					if told := w.count(store.OpOpen, rec.Grant.ID); stands && told != 1 {
						t.Errorf("the rule stands, and the log has %d lines of it: %v", told, w.log())
					}
				}
				w.leap(4 * time.Hour)
				w.sweep()
				w.sweep()
				synctest.Wait()
				w.inOrder(t, rec.Grant.ID, tt.stood || swept)
			}))
		}
	}
}

// inOrder checks that the log tells of a grant that has ended: once that it opened, if its rule stood, and then once that it closed.
func (w *world) inOrder(t *testing.T, id string, stood bool) {
	t.Helper()
	if g := w.grant(id); g.Status() != jit.Revoked {
		t.Errorf("the request is %s", g.Status())
	}
	entries, _, err := w.mem.Entries(t.Context(), store.EntryFilter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(entries)
	var told []store.Operation
	for _, e := range entries {
		if e.Grant == id && e.Result == store.Succeeded && (e.Operation == store.OpOpen || e.Operation == store.OpClose) {
			told = append(told, e.Operation)
		}
	}
	want := []store.Operation{store.OpOpen, store.OpClose}
	if !stood {
		want = want[1:]
	}
	if !slices.Equal(told, want) {
		t.Errorf("the log tells %v, want %v: %v", told, want, w.log())
	}
}

func inBubble(f func(*testing.T)) func(*testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}
