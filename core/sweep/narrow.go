package sweep

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// narrow marks to close, or shortens, windows that the policies of their machines do not allow, as a change of a policy does that dies
// half way. What the installation demands is not looked at here: what exceeds that is found, and stays. A grant that changes meanwhile is left to the next sweep,
// since its policy may have changed too.
func (w *sweep) narrow(ctx context.Context) {
	for i, rec := range w.grants {
		changed := false
		for _, vm := range rec.Grant.Machines() {
			if p, ok := w.granted[vm.Key()]; ok {
				next, narrows := rec.Grant.Narrowed(p, jit.Options{}, w.now())
				rec.Grant, changed = next, changed || narrows
			}
		}
		if !changed {
			continue
		}
		if !w.dry {
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
