package access_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/network"
	"portcullis/core/permit"
	"portcullis/core/store"
)

// TestSubscriptionManagedNoMore: what is open where no sweep looks any more is closed by its owner, and not extended, dry or for real,
// whoever asks: a role there does not bring the sweep back.
func TestSubscriptionManagedNoMore(t *testing.T) {
	ctx := t.Context()
	g := newDoorway(t, holders()["all"])
	g.startWith(func(p *core.Ports) { p.Subscriptions = []string{"99999999-9999-9999-9999-999999999999"} })
	end := g.grant(g.own).End()
	_, err := g.world.doors.Extend(ctx, ann, g.own, 2*time.Hour, time.Time{})
	_, _, dry := g.world.doors.PreviewExtend(ctx, ann, g.own, 2*time.Hour, time.Time{})
	if code(err) != network.CodeNotManaged || code(dry) != network.CodeNotManaged || !g.grant(g.own).End().Equal(end) {
		t.Errorf("extended to %s: %v; the dry run: %v", g.grant(g.own).End(), err, dry)
	}
	for _, id := range []string{g.own, g.other} {
		if rec, err := g.world.doors.Revoke(ctx, ann, id); err != nil || !rec.Grant.Closed() {
			t.Errorf("not closed: %v", err)
		}
	}
}

// mayAt permits everything at one machine and nothing elsewhere.
type mayAt string

func (m mayAt) Missing(_ context.Context, _ jit.Caller, scope string, actions ...string) (string, error) {
	if strings.EqualFold(scope, vmID(string(m)).String()) {
		return "", nil
	}
	return actions[0], nil
}

// TestRefusedRevokeNamesNoHiddenMachine: who is refused to close another's request learns of no machine that he may not read, from the
// answer, from a dry run's and from the log.
func TestRefusedRevokeNamesNoHiddenMachine(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t)
	w.enable("web", "app1")
	id := w.mustAskAs(bob, 22, "203.0.113.8", "web", "app1")
	doors := w.permitted(mayAt("web"))
	w.leap(time.Second)
	_, err := doors.Revoke(ctx, ann, id)
	_, _, dry := doors.PreviewRevoke(ctx, ann, id)
	for how, err := range map[string]error{"revoke": err, "dry run": dry} {
		refused := jit.Refused(err)
		if refused == nil || refused.Code != permit.CodeForbidden || refused.Target != "id" || strings.Contains(refused.Error(), "app1") || !strings.Contains(refused.Message, permit.ActionWrite) {
			t.Errorf("%s: %v", how, err)
		}
	}
	shown, _, err := doors.Entries(ctx, ann, store.EntryFilter{Operation: store.OpRevoke}, "", 10)
	if err != nil || len(shown) != 1 || shown[0].VM.Name != "web" || strings.Contains(shown[0].Message, "app1") {
		t.Errorf("the log shows %+v, %v", shown, err)
	}
	if w.grant(id).Closed() {
		t.Error("it was closed")
	}
}

// TestClosingWithoutALog: a log that refuses, hangs or comes too late holds no port open that somebody wants closed, or that was opened in vain. Who
// asked is told what is not in the log, and the line is there once the log takes it.
func TestClosingWithoutALog(t *testing.T) {
	for how, fault := range map[string]func(context.Context) error{
		"refuses": func(context.Context) error { return errFault },
		"hangs": func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, 5*time.Minute) // an adapter bounds its own calls
			defer cancel()
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		onAppend := func(ctx context.Context, s coretest.Step) error {
			if s.Op == "Append" && !s.After {
				return fault(ctx)
			}
			return nil
		}
		t.Run("revoke, log "+how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.enable("web")
				id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
				w.leap(time.Second)
				w.store.Fault = onAppend
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				rec, err := w.Revoke(ctx, who("alice"), id)
				if err != nil || rec.Grant.Closed() || len(rec.Intents) != 1 || rec.Intents[0].Requestor != "alice" {
					t.Errorf("nobody is told that the log lags: %s, intents %+v, %v", rec.Grant.Status(), rec.Intents, err)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("answered after %v", took)
				}
				w.stands("web-nsg", closedWeb...)
				time.Sleep(time.Hour)
				synctest.Wait()
				w.store.Fault = nil
				w.sweep()
				if !w.grant(id).Closed() {
					t.Error("the sweep left it")
				}
				w.toldOnce(id, "after the sweep", true)
			})
		})
		t.Run("an opening in vain, log "+how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.enable("web")
				rec, _, err := w.Request(t.Context(), who("alice"), want("alice", 22, time.Hour, "203.0.113.7", "web"), "")
				if err != nil {
					t.Fatal(err)
				}
				w.store.Fault = onAppend
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if _, err := w.Open(ctx, who("alice"), rec); err == nil {
					t.Error("it was reported open without a line in the log")
				}
				w.stands("web-nsg", closedWeb...)
				time.Sleep(time.Hour)
				synctest.Wait()
			})
		})
	}
	t.Run("once", func(t *testing.T) {
		w := newWorld(t)
		w.enable("web")
		id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
		tries := 0
		w.store.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "Append" && s.After { // it was written, and the answer was lost
				if tries++; tries == 1 {
					return errFault
				}
			}
			return nil
		}
		if rec, err := w.Revoke(t.Context(), who("alice"), id); err != nil || !rec.Grant.Closed() {
			t.Errorf("%s, %v", rec.Grant.Status(), err)
		}
		lines := 0
		for _, e := range w.lastEntries(10) {
			if e.Operation == store.OpRevoke {
				lines++
			}
		}
		if lines != 1 {
			t.Errorf("%d lines of one revoke", lines)
		}
	})
}
