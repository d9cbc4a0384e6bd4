package inventory

import (
	"context"
	"fmt"

	"portcullis/core/jit"
	"portcullis/core/network"
)

// GroupGone reports whether a managed subscription has no resource group of a name, to a caller who may read the whole subscription:
// Resource Manager tells as much. For everybody else a group is neither there nor gone, and Azure is not asked.
func (s *Inventory) GroupGone(ctx context.Context, who jit.Caller, subscription, group string) (bool, error) {
	groups, can := s.Network.(network.Groups)
	scope := "/subscriptions/" + subscription
	if !can || !s.Subscriptions.Within(scope) {
		return false, nil
	}
	if whole, err := s.Permit.Reads(ctx, who, scope); !whole || err != nil {
		return false, err
	}
	has, err := groups.HasGroup(ctx, subscription, group)
	if err != nil {
		return false, fmt.Errorf("look for resource group %s: %w", group, err)
	}
	return !has, nil
}
