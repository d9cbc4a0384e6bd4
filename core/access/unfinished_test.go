package access_test

import (
	"context"
	"sync"
	"testing"

	"portcullis/core/coretest"
	"portcullis/core/defender"
)

// TestUnfinishedDrop: a change that has dropped machines and could not bring their targets in order is not said to be done until it has:
// whoever repeats it, or changes the list otherwise, brings them in order, without a sweep.
func TestUnfinishedDrop(t *testing.T) {
	remove := func(d doors) error {
		_, _, err := d.DeletePolicy(t.Context(), person("admin"), defaultPolicy, defender.Precondition{})
		return err
	}
	replace := func(vms ...string) func(doors) error {
		return func(d doors) error {
			_, err := d.ReplacePolicy(t.Context(), person("admin"), defaultPolicy, policies(vms...), defender.Written{}, defender.Precondition{})
			return err
		}
	}
	listed := func(w *world) { mustReplace(w, "app1", "web") }
	for _, row := range []struct {
		name         string
		before       func(*world)
		first, again func(doors) error
		head         bool // is left
	}{
		{"a repeated deletion", listed, remove, remove, false},
		{"a repeated deletion of what was enabled by itself", func(w *world) { w.enable("app1", "web") }, remove, remove, false},
		{"a repeated replacement", listed, replace("app1"), replace("app1"), true},
		{"a repeated replacement by nothing", listed, replace(), replace(), true},
		{"another replacement", listed, replace("app1"), replace("app2"), true},
		{"a deletion after a replacement", listed, replace("app1"), remove, false},
		{"a replacement after a deletion", listed, remove, replace("app1"), true},
	} {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld(t)
			untouched := w.lines("web-nsg")
			row.before(w)
			web := nsgID("web-nsg")
			w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				if s.Op == "Apply" && s.Of == web.Key() {
					return errFault
				}
				return nil
			}
			for _, change := range []func(doors) error{row.first, row.again, row.again} {
				if err := change(guarded(w)); err == nil {
					t.Error("done, while the rules of a dropped machine stand")
				}
			}
			w.restart()
			if err := row.again(guarded(w)); err != nil {
				t.Fatal(err)
			}
			w.stands("web-nsg", untouched...)
			if head := headOf(w); len(head.Dropped) > 0 || (head.Version != "") != row.head {
				t.Errorf("left %+v", head)
			}
			var mu sync.Mutex
			calls := 0
			w.cloud.Fault = func(_ context.Context, s coretest.Step) error {
				mu.Lock()
				defer mu.Unlock()
				if s.Op == "Rules" && s.Of == web.Key() {
					calls++
				}
				return nil
			}
			if err := row.again(guarded(w)); err != nil || calls > 0 {
				t.Errorf("once more: %v, with %d looks at what is in order", err, calls)
			}
		})
	}
}
