package access_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// toldOnce checks that the log tells once of a grant's closing, and, where it was revoked, once by whom.
func (w *world) toldOnce(id, when string, revoked bool) {
	w.t.Helper()
	closes, revokes := 0, 0
	for _, e := range w.lastEntries(1000) {
		switch {
		case e.Grant != id:
		case e.Operation == store.OpClose && e.Result == store.Succeeded:
			closes++
		case e.Operation == store.OpRevoke && e.Requestor == "alice" && e.Correlation == "test" && e.Result == store.Succeeded:
			revokes++
		}
	}
	if closes != 1 || revokes > 1 || revoked && revokes != 1 {
		w.t.Errorf("%s: the log tells of %d closings and %d revokes of %s: %q", when, closes, revokes, id, w.log())
	}
}

// TestCrashKeepsWhoRevoked crashes a revoke at every step: if it was stored, the log has it once, with who it was, and one closing.
func TestCrashKeepsWhoRevoked(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		w.enable("web")
		id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
		w.leap(time.Minute)
		seen := w.crashAt(n)
		_, err := w.Revoke(t.Context(), who("alice"), id)
		reached := *seen >= n
		if !reached && err != nil {
			t.Fatal(err)
		}
		w.restart()
		stored := w.grant(id).Reason() == jit.UserRequested
		w.leap(4 * time.Hour)
		w.sweep()
		w.sweep()
		w.toldOnce(id, fmt.Sprint("crashed at step ", n), stored)
		if !reached {
			if n < 5 || !stored {
				t.Errorf("%d steps, revoked: %t", n, stored)
			}
			return
		}
	}
}

// TestStormWithoutALog: the log is down while many windows end and are revoked. All rules go, and one sweep later the log has each once.
func TestStormWithoutALog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.enable("web")
		var ids []string
		for i := range 30 {
			ids = append(ids, w.mustAsk(want("alice", 22, time.Hour, fmt.Sprintf("203.0.113.%d", i), "web")))
		}
		w.leap(time.Minute)
		w.store.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Append" && !s.After {
				return errFault
			}
			return nil
		}
		for _, id := range ids[:10] {
			if _, err := w.Revoke(t.Context(), who("alice"), id); err != nil {
				t.Error(err)
			}
		}
		w.pass(time.Hour) // no wake-up may fail, or it would end as undeliverable
		synctest.Wait()
		w.stands("web-nsg", closedWeb...)
		w.store.Fault = nil
		w.sweep()
		for i, id := range ids {
			if !w.grant(id).Closed() {
				t.Errorf("%s is left %s", id, w.grant(id).Status())
			}
			w.toldOnce(id, "after the storm", i < 10)
		}
	})
}

// TestSettledTwice: a closing that was logged and not stored, of which more has ended by the next try, is told once for each window.
func TestSettledTwice(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	r := want("alice", 22, time.Hour, "203.0.113.7", "web")
	later := r.VMs[0].Ports[0]
	later.Number, later.Duration = 3389, 2*time.Hour
	r.VMs[0].Ports = append(r.VMs[0].Ports, later)
	id := w.mustAsk(r)
	w.leap(time.Hour)
	logged := false
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Append" && s.After {
			logged = true
		}
		if logged && s.Op == "UpdateGrants" {
			return errFault
		}
		return nil
	}
	if err := w.Wake(t.Context(), id, 1); err == nil || !logged {
		t.Fatalf("stored: %v, logged: %t", err, logged)
	}
	w.store.Fault = nil
	w.leap(time.Hour)
	w.sweep()
	ports := map[uint16]int{}
	for _, e := range w.lastEntries(100) {
		if e.Operation == store.OpClose {
			for _, p := range e.Ports {
				ports[p]++
			}
		}
	}
	if len(ports) != 2 || ports[22] != 1 || ports[3389] != 1 {
		t.Errorf("closings told by port: %v", ports)
	}
}

// TestRequestWithoutALog: a line that the log writes after nobody waits for it any more is followed by one that says that nothing was stored.
func TestRequestWithoutALog(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	ctx, cancel := context.WithCancel(t.Context())
	once := true
	w.store.Fault = func(of context.Context, s coretest.Step) error {
		if s.Op == "Append" && !s.After && of.Err() != nil {
			return of.Err()
		}
		if s.Op == "Append" && s.After && once { // written, and the wait for it ended
			once = false
			cancel()
			return &store.Unavailable{Dependency: "Table Storage", Err: context.DeadlineExceeded}
		}
		return nil
	}
	if _, _, err := w.Request(ctx, who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), ""); err == nil {
		t.Fatal("it was stored")
	}
	open, err := w.mem.OpenGrants(t.Context())
	if err != nil || len(open) != 0 {
		t.Errorf("%v, %v", open, err)
	}
	results := map[store.Result]int{}
	for _, e := range w.lastEntries(10) {
		if e.Operation == store.OpRequest {
			results[e.Result]++
		}
	}
	if results[store.Succeeded] != 1 || results[store.Failed] != 1 {
		t.Errorf("requests told by result: %v", results)
	}
}
