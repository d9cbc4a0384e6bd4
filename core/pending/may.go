package pending

import (
	"context"

	"portcullis/core/jit"
)

// MayDecide refuses what [Approvals.Approve] and [Approvals.Deny] refuse because of who the caller is, whatever has become of the grant: so that a page
// offers it to whom it may be offered. It writes nothing, a refusal included.
func (a *Approvals) MayDecide(ctx context.Context, who jit.Caller, id string) error {
	_, _, err := a.Desk.mayDecide(ctx, who, id)
	return err
}
