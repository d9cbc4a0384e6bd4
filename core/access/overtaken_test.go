package access_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"portcullis/core/coretest"
	"portcullis/core/defender"
	"portcullis/core/jit"
	"portcullis/core/store"
)

// TestPlainEditMeanwhile: a list is not written over what somebody makes of one of its machines between the last look at the list and the write:
// where nothing is written yet the change begins again, with its precondition, and else it is refused. What the other made stands.
func TestPlainEditMeanwhile(t *testing.T) {
	remove := func(w *world, c defender.Precondition) error {
		_, _, err := guarded(w).DeletePolicy(t.Context(), person("admin"), defaultPolicy, c)
		return err
	}
	replace := func(policies ...jit.Policy) func(*world, defender.Precondition) error {
		return func(w *world, c defender.Precondition) error {
			_, err := guarded(w).ReplacePolicy(t.Context(), person("admin"), defaultPolicy, valid(policies...), defender.Written{}, c)
			return err
		}
	}
	last := []uint16{5985}
	for _, row := range []struct {
		name  string
		op    string // and the machine before whose write the other comes
		vm    string
		any   bool // no precondition
		edit  func(*world, defender.Precondition) error
		code  jit.Code
		ports []uint16 // of vm in the end
	}{
		{"replace", "PutListed", "app1", false, replace(policyOf("app1", 22, 3389), policyOf("web", 22)), defender.CodePrecondition, last},
		{"replace without a precondition", "PutListed", "app1", true, replace(policyOf("app1", 22, 3389), policyOf("web", 22)), "", []uint16{22, 3389}},
		{"replace the second", "PutListed", "web", false, replace(policyOf("app1", 22, 3389), policyOf("web", 22, 3389)), store.CodeConcurrent, last},
		{"replace the second without a precondition", "PutListed", "web", true, replace(policyOf("app1", 22, 3389), policyOf("web", 22, 3389)), store.CodeConcurrent, last},
		{"drop", "DropListed", "web", false, replace(policyOf("app1", 22)), defender.CodePrecondition, last},
		{"drop after a write", "DropListed", "web", false, replace(policyOf("app1", 22, 3389)), store.CodeConcurrent, last},
		{"delete", "DropListed", "app1", false, remove, defender.CodePrecondition, last},
		{"delete the second", "DropListed", "web", false, remove, store.CodeConcurrent, last},
		{"delete without a precondition", "DropListed", "app1", true, remove, "", nil},
		{"drop what is changed before it is read", "Policy", "web", false, replace(policyOf("app1", 22)), defender.CodePrecondition, last},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			var seen defender.Precondition
			if p := mustReplace(w, "app1", "web"); !row.any {
				seen.Match = []string{p.ETag}
			}
			var mu sync.Mutex
			claimed, once := false, false
			w.store.Fault = func(ctx context.Context, s coretest.Step) error {
				mu.Lock()
				defer mu.Unlock()
				claimed = claimed || s.Op == "PutNamed"
				if !claimed || once || s.Op != row.op || s.After || !strings.HasSuffix(s.Of, "/"+row.vm) {
					return nil
				}
				once = true
				rec, err := w.mem.Policy(ctx, vmID(row.vm))
				if err == nil {
					rec.Policy = policyOf(row.vm, last...)
					_, err = w.mem.PutPolicy(ctx, rec)
				}
				return err
			}
			if err := row.edit(w, seen); code(err) != row.code || (err != nil) != (row.code != "") || !once {
				t.Errorf("%v, want the code %q", err, row.code)
			}
			w.store.Fault = nil
			var got []uint16
			if rec, err := w.mem.Policy(t.Context(), vmID(row.vm)); err == nil {
				for _, p := range rec.Policy.Ports {
					got = append(got, p.Number)
				}
			}
			if len(got) != len(row.ports) || len(got) > 0 && got[0] != row.ports[0] {
				t.Errorf("%s has the ports %v, want %v", row.vm, got, row.ports)
			}
		})
	}
}

// TestUnfinishedForLong: who repeats a change that was begun completes it by the version of before for an hour, and no longer.
func TestUnfinishedForLong(t *testing.T) {
	for wait, want := range map[time.Duration]jit.Code{50 * time.Minute: "", 62 * time.Minute: defender.CodePrecondition} {
		w := newWorld(t)
		seen := defender.Precondition{Match: []string{mustReplace(w, "app1").ETag}}
		edit := func() error {
			_, err := guarded(w).ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies("app1", "app2", "web"), defender.Written{}, seen)
			return err
		}
		w.store.Fault = func(_ context.Context, s coretest.Step) error {
			if s.Op == "PutListed" && strings.HasSuffix(s.Of, "/web") {
				return errFault
			}
			return nil
		}
		if err := edit(); err == nil {
			t.Fatal("no error")
		}
		w.store.Fault = nil
		w.leap(wait)
		if err := edit(); code(err) != want || (err != nil) != (want != "") {
			t.Errorf("after %s: %v, want the code %q", wait, err, want)
		}
	}
}

// TestNarrowBeforeDropped: what a replacement ends at a machine that stays is marked before the target of one that is dropped is written, which
// may take minutes.
func TestNarrowBeforeDropped(t *testing.T) {
	w := newWorld(t)
	mustReplace(w, "app1", "web")
	id := w.mustAsk(want("ann", 22, time.Hour, "192.0.2.1", "app1"))
	looked := false
	w.cloud.Fault = func(ctx context.Context, s coretest.Step) error {
		if s.Op != "Apply" || looked {
			return nil
		}
		looked = true
		web := nsgID("web-nsg")
		rec, err := w.mem.Grant(ctx, id)
		if err != nil || s.Of != web.Key() || rec.Grant.VMs[0].Ports[0].Status != jit.Revoking {
			t.Errorf("%s is written while the window is %v, %v", s.Of, rec.Grant.VMs[0].Ports[0].Status, err)
		}
		return nil
	}
	p, err := guarded(w).ReplacePolicy(t.Context(), person("admin"), defaultPolicy, valid(policyOf("app1", 3389)), defender.Written{}, defender.Precondition{})
	if closes, _ := p.Narrowed.Windows(); err != nil || !looked || closes != 1 {
		t.Errorf("%+v, %v", p.Narrowed, err)
	}
	if n := w.allows("apps-nsg"); n != 0 {
		t.Errorf("%d allows stand", n)
	}
}
