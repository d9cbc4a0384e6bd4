package access_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"portcullis/core"
	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/plan"
	"portcullis/core/store"
)

// putBack puts an older copy of the tables back, with every process started anew, as the remedy says.
func (w *world) putBack(copied *coretest.Memory) {
	w.mem = copied
	w.store.Store = copied
	w.restart()
}

// TestRestoredTablesOpenNothing: tables that are put back know a window that was ended since. Neither a verb nor a sweep opens it again:
// the sweep closes it and says so. A window that still stands stays.
func TestRestoredTablesOpenNothing(t *testing.T) {
	for name, end := range map[string]func(w *world, id string){
		"revoked": func(w *world, id string) {
			if _, err := w.Revoke(w.t.Context(), who("alice"), id); err != nil {
				w.t.Fatal(err)
			}
		},
		"its machine was disabled and enabled": func(w *world, _ string) {
			if _, err := w.Disable(w.t.Context(), who("admin"), []jit.ID{vmID("app1")}); err != nil {
				w.t.Fatal(err)
			}
			w.enable("app1")
		},
		"a newer one took its place, and was revoked": func(w *world, _ string) {
			w.leap(time.Second)
			newer := w.mustAsk(want("alice", 22, 30*time.Minute, "203.0.113.7", "app1"))
			if _, err := w.Revoke(w.t.Context(), who("alice"), newer); err != nil {
				w.t.Fatal(err)
			}
		},
		"its rule was deleted by hand, and then it was revoked": func(w *world, id string) {
			rules := w.cloud.Standing(nsgID("apps-nsg"))
			w.cloud.SetRules(nsgID("apps-nsg"), slices.DeleteFunc(rules, func(r jit.Rule) bool { of, _ := label.GrantOf(r.Name); return of == id })...)
			if _, err := w.Revoke(w.t.Context(), who("alice"), id); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.enable("app1", "app2")
			ended := w.mustAsk(want("alice", 22, 3*time.Hour, "203.0.113.7", "app1"))
			w.leap(6 * time.Minute) // what was being opened when the copy was made is over
			stays := w.mustAsk(want("bob", 22, 3*time.Hour, "203.0.113.8", "app2"))
			copied := w.mem.Copy()
			end(w, ended)
			w.putBack(copied)
			w.mustAsk(want("carol", 3389, time.Hour, "203.0.113.9", "app2")) // a round before the first sweep
			ours := func() []string {
				return slices.DeleteFunc(w.lines("apps-nsg"), func(l string) bool { return l[5:10] != "allow" || l[11:15] != "ours" })
			}
			if got := ours(); len(got) != 2 {
				t.Errorf("before the sweep: %q, want bob's and carol's", got)
			}
			rec := w.sweep()
			if got := ours(); len(got) != 2 {
				t.Errorf("after the sweep: %q, want bob's and carol's", got)
			}
			if g := w.grant(ended); !g.Closed() || g.Reason() != jit.NotCertain || len(found(rec, store.FindingEnded)) != 1 {
				t.Errorf("the window is %s %s; findings %+v", g.Status(), g.Reason(), rec.Findings)
			}
			if g := w.grant(stays); g.Status() != jit.Initiated {
				t.Errorf("the window that stands is %s %s", g.Status(), g.Reason())
			}
			if n := len(found(w.sweep(), store.FindingEnded)); n != 0 {
				t.Errorf("%d windows are told once more", n)
			}
		})
	}
}

// TestRestoredTablesKeepDenies: a machine that was protected after the copy was made stays closed, alone in its deny or not, until somebody
// enables it again or deletes the rule.
func TestRestoredTablesKeepDenies(t *testing.T) {
	w := newWorld(t)
	w.enable("app1")
	copied := w.mem.Copy()
	w.enable("app2", "web")
	w.putBack(copied)
	w.enable("app1") // a round before the first sweep
	rec := w.sweep()
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4,10.0.1.5 :22,3389")
	w.stands("web-nsg", closedWeb...)
	if len(found(rec, store.FindingLost)) != 2 {
		t.Errorf("findings %+v, want one for each group", rec.Findings)
	}
	w.sweep()
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4,10.0.1.5 :22,3389")
	w.enable("app2", "web")
	if n := len(found(w.sweep(), store.FindingLost)); n != 0 {
		t.Errorf("%d findings after the machines were enabled again", n)
	}
	if _, err := w.Disable(t.Context(), who("admin"), []jit.ID{vmID("app2")}); err != nil {
		t.Fatal(err)
	}
	w.stands("apps-nsg", "4096 deny ours * -> 10.0.1.4 :22,3389")
}

// TestRemovedByOthers: an allow that somebody deletes, or changes so that it opens less, is put back once. The second time the window closes, with a
// reason of its own. Where the installation says so it closes the first time. A deny is always put back.
func TestRemovedByOthers(t *testing.T) {
	deleted := func(r jit.Rule) (jit.Rule, bool) { return r, false }
	denying := func(r jit.Rule) (jit.Rule, bool) { r.Access = jit.Deny; return r, true }
	narrower := func(r jit.Rule) (jit.Rule, bool) {
		r.Source = jit.PeersOf(netip.MustParseAddr("198.51.100.9"))
		return r, true
	}
	for i, others := range []func(jit.Rule) (jit.Rule, bool){deleted, denying, narrower, deleted} {
		never := i == 3
		w := newWorld(t)
		w.startWith(func(p *core.Ports) { *p = w.portsOf(); p.LeaveRemoved = never })
		w.enable("web")
		id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
		open := w.lines("web-nsg")
		remove := func() store.SweepRecord {
			var rules []jit.Rule
			for _, r := range w.cloud.Standing(nsgID("web-nsg")) {
				stays := true
				if label.Owned(r.Name) && r.Access == jit.Allow {
					r, stays = others(r)
				}
				if stays {
					rules = append(rules, r)
				}
			}
			w.cloud.SetRules(nsgID("web-nsg"), rules...)
			return w.sweep()
		}
		if !never {
			remove()
			w.stands("web-nsg", open...)
			w.leap(time.Minute)
		}
		rec := remove()
		w.stands("web-nsg", closedWeb...)
		if g := w.grant(id); !g.Closed() || g.Reason() != jit.RemovedByOthers || len(found(rec, store.FindingEnded)) != 1 {
			t.Errorf("change %d, never %t: the window is %s %s; findings %+v", i, never, g.Status(), g.Reason(), rec.Findings)
		}
		for range 3 {
			w.cloud.SetRules(nsgID("web-nsg"), slices.DeleteFunc(w.cloud.Standing(nsgID("web-nsg")), func(r jit.Rule) bool { return label.Owned(r.Name) })...)
			w.sweep()
			w.stands("web-nsg", closedWeb...)
		}
	}
}

// TestExtendingWhatIsMissing: an extension of a window whose rule is missing, and may have been ended, is refused and opens nothing.
func TestExtendingWhatIsMissing(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	id := w.mustAsk(want("alice", 22, time.Hour, "203.0.113.7", "web"))
	w.cloud.SetRules(nsgID("web-nsg"), slices.DeleteFunc(w.cloud.Standing(nsgID("web-nsg")), func(r jit.Rule) bool { return label.Owned(r.Name) })...)
	if _, err := w.Extend(t.Context(), who("alice"), id, 2*time.Hour, time.Time{}); code(err) != plan.CodeNotCertain {
		t.Errorf("got %v", err)
	}
	w.stands("web-nsg", closedWeb...)
}
