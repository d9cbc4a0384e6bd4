package sweep

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/decide"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/store"
)

// narrow marks to close, or shortens, windows that the policies of their machines do not allow, or whose machines have no policy, as a change of a
// policy does that dies half way. What the installation demands is not looked at here: what exceeds that is found, and stays. A grant that changes
// meanwhile is left to the next sweep, since its policy may have changed too.
func (w *sweep) narrow(ctx context.Context) {
	for i, rec := range w.grants {
		next, changed := w.within(ctx, rec.Grant)
		if !changed {
			continue
		}
		before := rec.Grant
		rec.Grant = next
		if !w.dry {
			if differing, _ := narrow.Differing(before, next, func(jit.ID) bool { return true }); shortens(differing) {
				w.failed(w.Alarm.Schedule(ctx, store.WakesOf(next, w.now())...)) // without a wake-up the sweep ends it
			}
			stored, err := w.Grants.UpdateGrants(ctx, rec)
			if errors.Is(err, store.ErrConflict) {
				continue
			}
			if err != nil {
				w.failed(fmt.Errorf("narrow grant %s: %w", rec.Grant.ID, err))
				continue
			}
			rec = stored[0]
		}
		w.grants[i] = rec
	}
}

func shortens(g jit.Grant) bool {
	_, n := narrow.Ends{Grants: []jit.Grant{g}}.Windows()
	return n > 0
}

// within returns the grant with its windows within the policies of their machines, and whether that changes any. A machine that was not among the
// policies is looked up once more: it may have been enabled again since they were read.
func (w *sweep) within(ctx context.Context, g jit.Grant) (jit.Grant, bool) {
	changed := false
	for _, vm := range g.Machines() {
		p, ok := w.granted[vm.Key()]
		if !ok && (!w.whole || !g.LiveAt(vm, w.now())) {
			continue
		}
		if !ok {
			rec, err := w.Policies.Policy(ctx, vm)
			if errors.Is(err, store.ErrNotFound) {
				g, changed = g.RevokeVM(vm, w.now(), jit.PolicyRemoved), true
				continue
			}
			if err != nil {
				w.failed(fmt.Errorf("read the policy of %s: %w", vm.Name, err))
				continue
			}
			p = rec.Policy
			w.granted[vm.Key()] = p
		}
		next, narrows := decide.Narrow(g, p, jit.Options{}, w.now())
		g, changed = next, changed || narrows
	}
	return g, changed
}
