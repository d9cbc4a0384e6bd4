package store

import (
	"context"
	"errors"
	"fmt"

	"portcullis/core/jit"
	"portcullis/core/parallel"
)

// PolicyRecords reads the policies of machines, by jit.ID.Key; those that have none are left out.
func PolicyRecords(ctx context.Context, policies Policies, vms []jit.ID) (map[string]PolicyRecord, error) {
	found := make([]PolicyRecord, len(vms))
	err := parallel.Each(vms, func(i int, vm jit.ID) error {
		rec, err := policies.Policy(ctx, vm)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("read the policy of %s: %w", vm.Name, err)
		}
		found[i] = rec
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := map[string]PolicyRecord{}
	for i, vm := range vms {
		if found[i].Version != "" {
			out[vm.Key()] = found[i]
		}
	}
	return out, nil
}
