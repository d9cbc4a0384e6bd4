package inventory

import (
	"context"
	"fmt"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// OpenNow returns every grant that is not closed as far as the caller may read it, the next to end first. It is what [Inventory.Machines]
// returns as MachinePage.Open, without the machines.
func (s *Inventory) OpenNow(ctx context.Context, who jit.Caller) ([]store.GrantRecord, error) {
	all, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the open grants: %w", err)
	}
	return s.openTo(ctx, who, all)
}

// openTo returns what the caller may read of open grants, the next to end first.
func (s *Inventory) openTo(ctx context.Context, who jit.Caller, all []store.GrantRecord) ([]store.GrantRecord, error) {
	var out []store.GrantRecord
	for _, rec := range all {
		shown, err := s.Permit.VisibleRecord(ctx, who, rec)
		if err != nil {
			return nil, err
		}
		if len(shown.Grant.VMs) > 0 {
			out = append(out, shown)
		}
	}
	slices.SortStableFunc(out, func(a, b store.GrantRecord) int { return a.Grant.End().Compare(b.Grant.End()) })
	return out, nil
}
