package inventory

import (
	"context"
	"fmt"
	"time"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// Overdue returns the age at now of the oldest window that should be closed and is
// not confirmed to be; 0 where there is none.
func (s *Inventory) Overdue(ctx context.Context) (time.Duration, error) {
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the open grants: %w", err)
	}
	return s.OverdueOf(open), nil
}

// OverdueOf is [Inventory.Overdue] of open grants that were read before.
func (s *Inventory) OverdueOf(open []store.GrantRecord) time.Duration {
	now, oldest := s.now(), time.Duration(0)
	for _, g := range open {
		for _, vm := range g.Grant.VMs {
			for _, p := range vm.Ports {
				if p.Status != jit.Revoked && !g.Grant.Live(p, now) {
					end := p.End
					if g.Grant.OpenBy.Before(end) && p.Status == jit.Initiating {
						end = g.Grant.OpenBy
					}
					oldest = max(oldest, now.Sub(end))
				}
			}
		}
	}
	return oldest
}
