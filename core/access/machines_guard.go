package access

import (
	"context"

	"portcullis/core/jit"
)

// Machines is [Service.Machines] of what the caller may read.
func (g *Guard) Machines(ctx context.Context, who Caller, q MachineQuery) (MachinePage, error) {
	return g.Service.Machines(ctx, who, q, func(ctx context.Context, vm jit.ID) (bool, error) {
		return g.reads(ctx, who, vm.String())
	})
}
