package inventory

import (
	"context"
	"fmt"
	"time"

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
		if since, due := g.Grant.DueSince(now); due {
			oldest = max(oldest, now.Sub(since))
		}
	}
	return oldest
}
