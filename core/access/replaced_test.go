package access_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestReplacedIsTold: a request that takes the place of a window of the same person that ends later says which, in its dry run, when it is stored, once it is open,
// and to a retry; one that takes nothing away says nothing.
func TestReplacedIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		second jit.Request
		want   bool // it says so
		stays  bool // the first stays open
	}{
		"a shorter one":              {want("alice", 22, 30*time.Minute, "203.0.113.7", "web"), true, false},
		"a shorter one of two ports": {jit.Request{Requestor: "alice", Justification: "a test", VMs: append(want("alice", 22, 30*time.Minute, "203.0.113.7", "web").VMs, want("alice", 22, time.Hour, "203.0.113.7", "app1").VMs...)}, true, false},
		"a longer one":               {want("alice", 22, 3*time.Hour, "203.0.113.7", "web"), false, false},
		"one that ends when it does": {want("alice", 22, 2*time.Hour-time.Minute, "203.0.113.7", "web"), false, false},
		"somebody else's":            {want("bob", 22, 30*time.Minute, "203.0.113.7", "web"), false, true},
		"another source":             {want("alice", 22, 30*time.Minute, "203.0.113.8", "web"), false, true},
		"another port":               {want("alice", 3389, 30*time.Minute, "203.0.113.7", "web"), false, true},
		"another machine":            {want("alice", 22, 30*time.Minute, "203.0.113.7", "app1"), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("web", "app1")
			first := w.mustAsk(want("alice", 22, 2*time.Hour, "203.0.113.7", "web"))
			end := w.now().Add(2 * time.Hour)
			w.leap(time.Minute)
			told := ""
			if tt.want {
				told = fmt.Sprint([]store.Replaced{{Grant: first, VM: vmID("web"), Port: 22, End: end}})
			}
			says := func(how string, rec store.GrantRecord, err error) {
				t.Helper()
				got := ""
				if list := rec.Replaced(); len(list) > 0 {
					got = fmt.Sprint(list)
				}
				if err != nil || got != told {
					t.Errorf("%s: it says %s, want %s (%v)", how, got, told, err)
				}
			}
			dry, _, err := w.Preview(t.Context(), tt.second)
			says("the dry run", dry, err)
			rec, _, err := w.Request(t.Context(), who(tt.second.Requestor), tt.second, "key")
			says("as it is stored", rec, err)
			rec, err = w.Open(t.Context(), who(tt.second.Requestor), rec)
			says("once it is open", rec, err)
			rec, known, err := w.Request(t.Context(), who(tt.second.Requestor), tt.second, "key")
			says("a retry", rec, err)
			if !known {
				t.Error("the retry made another request")
			}
			if older, _ := w.mem.Grant(t.Context(), first); older.Grant.AnyLive(w.now()) != tt.stays {
				t.Errorf("the first is %v", older.Grant.Status())
			}
		})
	}
}

// TestNothingIsReplacedByWhatFails: a request that could not be opened leaves the longer window, and does not say that it took its place.
func TestNothingIsReplacedByWhatFails(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	first := w.mustAsk(want("alice", 22, 2*time.Hour, "203.0.113.7", "web"))
	w.leap(time.Minute)
	rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, 30*time.Minute, "203.0.113.7", "web"), "")
	if err != nil || len(rec.Replaced()) != 1 {
		t.Fatalf("%v, %v", rec.Replaced(), err)
	}
	w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Apply" && !s.After {
			return store.ErrLocked
		}
		return nil
	}
	if _, err := w.Open(t.Context(), who("alice"), rec); !errors.Is(err, store.ErrLocked) {
		t.Fatalf("opened: %v", err)
	}
	w.cloud.Fault = nil
	failed, err := w.Find(t.Context(), rec.Grant.ID)
	if err != nil || failed.Grant.Reason() != jit.OpeningFailed || len(failed.Replaced()) != 0 {
		t.Errorf("%s says that it replaces %v: %v", failed.Grant.Reason(), failed.Replaced(), err)
	}
	if !w.grant(first).AnyOpen(w.now()) {
		t.Error("the first is not open any more")
	}
}
