package access_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/round"
	"portcullis/core/store"
)

// foreign is a rule of others that allows SSH from anywhere.
func foreign(priority int) jit.Rule {
	r := foreignRules()[1]
	r.Name, r.Priority = fmt.Sprintf("Added%d", priority), priority
	return r
}

// put replaces the rules of others on a target; ours stay, but for allows where without says so.
func (w *world) put(nsg string, without bool, rules ...jit.Rule) {
	for _, r := range w.cloud.Standing(nsgID(nsg)) {
		if strings.HasPrefix(r.Name, "portcullis-") && !(without && r.Access == jit.Allow) {
			rules = append(rules, r)
		}
	}
	w.cloud.SetRules(nsgID(nsg), rules...)
}

// TestDisplaced: others add rules while a window is open. It keeps its place, at the cost of a deny that could stand higher without it; where
// that is impossible it is closed, with a reason of its own, in the request, in the log and in the findings, and never comes back by itself.
func TestDisplaced(t *testing.T) {
	tests := []struct {
		name    string
		rules   []jit.Rule
		without bool // our allow is gone too
		keeps   bool
		at      string // where it stands then
	}{
		{"an allow right below it", []jit.Rule{foreign(101)}, false, true, "0100"},
		{"allows right below it", []jit.Rule{foreign(101), foreign(102), foreign(103)}, false, true, "0100"},
		{"an allow further below", []jit.Rule{foreign(103)}, false, true, "0100"},
		{"its rule is taken away, and there is room", []jit.Rule{foreign(103)}, true, true, "0100"},
		{"its rule and its place are taken, and there is room below", []jit.Rule{foreign(100)}, true, true, "0101"},
		{"its rule is taken, and the deny has the one place left", []jit.Rule{foreign(101)}, true, false, ""},
	}
	for _, by := range []string{"a sweep", "another request", "a protection"} {
		for _, tt := range tests {
			t.Run(by+", "+tt.name, func(t *testing.T) {
				w := newWorld(t)
				w.enable("web")
				id := w.mustAsk(want("ann", 22, time.Hour, "203.0.113.7", "web"))
				w.put("web-nsg", tt.without, tt.rules...)
				var found []store.Finding
				switch by {
				case "another request":
					_, _ = w.ask(want("bob", 3389, time.Hour, "203.0.113.8", "web"))
				case "a protection":
					_, _, _ = w.Enable(t.Context(), who("admin"), []jit.Policy{policyOf("web", 22, 3389, 5985)}, false)
				}
				rec := w.sweep()
				found = slices.DeleteFunc(rec.Findings, func(f store.Finding) bool { return f.Kind != store.FindingEnded })
				w.settled(t, id)
				w.truthful(t, id, tt.keeps, tt.at)
				if by == "a sweep" && (len(found) == 0) != tt.keeps {
					t.Errorf("the findings are %v", rec.Findings)
				}
				if !tt.keeps && by == "a sweep" {
					if f := found[0]; f.Grant != id || !f.VM.Equal(vmID("web")) || !strings.Contains(f.Message, "ann") || rec.Closed != 1 {
						t.Errorf("the finding is %+v, and %d grants are counted as closed", f, rec.Closed)
					}
				}
				w.cloud.SetRules(nsgID("web-nsg"), slices.DeleteFunc(w.cloud.Standing(nsgID("web-nsg")), func(r jit.Rule) bool { return strings.HasPrefix(r.Name, "Added") })...)
				w.sweep() // there is room again
				w.settled(t, id)
				w.truthful(t, id, tt.keeps, "")
				w.pass(2 * time.Hour)
				if n := w.count(store.OpClose, id); n != 1 {
					t.Errorf("the log has %d lines of the closing: %v", n, w.log())
				}
			})
		}
	}
}

// settled waits until a grant that is to close has closed.
func (w *world) settled(t *testing.T, id string) {
	t.Helper()
	rec, err := w.mem.Grant(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(t.Context(), rec, round.Want{}); err != nil {
		t.Fatal(err)
	}
}

// truthful checks that what is said of a grant of ann's is what stands.
func (w *world) truthful(t *testing.T, id string, open bool, at string) {
	t.Helper()
	g := w.grant(id)
	line := slices.IndexFunc(w.lines("web-nsg"), func(l string) bool {
		return strings.Contains(l, " allow ours 203.0.113.7 ") && strings.HasPrefix(l, at)
	})
	if (line >= 0) != open {
		t.Errorf("the rule stands: %t; want %t: %v", line >= 0, open, w.lines("web-nsg"))
	}
	if open != (g.Status() == jit.Initiated) || !open && (g.Status() != jit.Revoked || g.Reason() != jit.RuleDisplaced) {
		t.Errorf("the request is %s %s", g.Status(), g.Reason())
	}
	if open {
		return
	}
	entries, _, err := w.mem.Entries(t.Context(), store.EntryFilter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range []store.Operation{store.OpRevoke, store.OpClose} {
		i := slices.IndexFunc(entries, func(e store.Entry) bool { return e.Operation == op && e.Grant == id })
		if i < 0 || entries[i].Reason != string(jit.RuleDisplaced) || entries[i].Requestor != jit.App().Name {
			t.Errorf("the log does not tell of it by %s: %+v", op, w.log())
		} else if op == store.OpRevoke && !strings.Contains(entries[i].Message, "no priority above our deny") {
			t.Errorf("the log says %q", entries[i].Message)
		}
	}
}

// count counts the log's lines of one operation on a grant.
func (w *world) count(op store.Operation, grant string) int {
	entries, _, err := w.mem.Entries(w.t.Context(), store.EntryFilter{Operation: op}, "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(slices.DeleteFunc(entries, func(e store.Entry) bool { return e.Grant != grant }))
}

// TestClosingWaitsForNoDisplaced: where the end of a window that has lost its place cannot be stored, whoever closes another on the same target
// has it closed all the same. Nothing else is written then; whoever asks for more is told why, and the next sweep makes up for it.
func TestClosingWaitsForNoDisplaced(t *testing.T) {
	w := newWorld(t)
	w.enable("web")
	bob := w.mustAsk(want("bob", 22, time.Hour, "203.0.113.8", "web"))
	ann := w.mustAsk(want("ann", 22, time.Hour, "203.0.113.7", "web"))
	rules := []jit.Rule{foreign(101)} // in the place of ann's
	for _, r := range w.cloud.Standing(nsgID("web-nsg")) {
		if id, ok := label.GrantOf(r.Name); label.Owned(r.Name) && !(ok && id == ann) {
			rules = append(rules, r)
		}
	}
	w.cloud.SetRules(nsgID("web-nsg"), rules...)
	before, tries := w.lines("web-nsg"), 0
	w.store.Fault = func(_ context.Context, s coretest.Step) error {
		if s.Op == "Grant" && s.Of == ann && !s.After {
			tries++
			return &store.Unavailable{Dependency: "Table Storage", Err: errors.New("injected")}
		}
		return nil
	}
	rec, err := w.Revoke(t.Context(), who("bob"), bob)
	if err != nil || !rec.Grant.Closed() {
		t.Errorf("bob's window is %s: %v", rec.Grant.Status(), err)
	}
	after := slices.DeleteFunc(slices.Clone(before), func(l string) bool { return strings.Contains(l, " allow ours 203.0.113.8 ") })
	if len(after) != len(before)-1 {
		t.Fatalf("bob's rule did not stand: %v", before)
	}
	w.stands("web-nsg", after...)
	if tries != 1 {
		t.Errorf("tried %d times to read ann's window, want once for the closing", tries)
	}
	if _, err := w.Reconcile(t.Context(), nsgID("web-nsg"), round.Want{}); err == nil || !strings.Contains(err.Error(), "injected") {
		t.Errorf("who needs the place was told %v", err)
	}
	if g := w.grant(ann); g.Status() != jit.Initiated {
		t.Errorf("ann's window is stored as %s", g.Status())
	}
	w.store.Fault = nil
	w.sweep()
	w.settled(t, ann)
	w.truthful(t, ann, false, "")
}
