package sweep

import (
	"context"
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// reviews finds the reviews of break-glass that are owed.
func (w *sweep) reviews(ctx context.Context) {
	owed, err := w.Glass.Owing(ctx, w.now(), w.dry)
	w.failed(err)
	for _, r := range owed {
		what := "has opened this without an approval"
		if r.BreakGlass == jit.BreakGlassDrill {
			what = "has tried break-glass in a drill"
		}
		w.found(store.Finding{Kind: store.FindingReviewOwed, VM: r.VM, Grant: r.Grant,
			Message: fmt.Sprintf("%s %s at %s, and nobody has written what happened: somebody else with the right to write the policy, or with the app role %s, has to", r.Requestor, what, r.Since.Format(time.RFC3339), jit.RoleApprover)})
	}
}
