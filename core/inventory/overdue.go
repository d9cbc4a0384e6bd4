package inventory

import (
	"context"
	"fmt"
	"time"

	"portcullis/core/store"
)

// Overdue returns the age of the oldest window that should be closed but is not confirmed closed; 0 if there is
// none.
func (s *Inventory) Overdue(ctx context.Context) (time.Duration, error) {
	open, err := s.Grants.OpenGrants(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the open grants: %w", err)
	}
	return s.OverdueOf(open), nil
}

// OverdueOf is [Inventory.Overdue] for open grants that the caller has already read.
func (s *Inventory) OverdueOf(open []store.GrantRecord) time.Duration {
	now, oldest := s.now(), time.Duration(0)
	for _, g := range open {
		if since, due := g.Grant.DueSince(now); due {
			oldest = max(oldest, now.Sub(since))
		}
	}
	return oldest
}
