package access

import (
	"context"

	"portcullis/core/jit"
)

// Machines is [Service.Machines] of what the caller may read.
func (g *Guard) Machines(ctx context.Context, who jit.Caller, q MachineQuery) (MachinePage, error) {
	page, err := g.Service.Machines(ctx, who, q, func(ctx context.Context, vm jit.ID) (bool, error) {
		return g.reads(ctx, who, vm.String())
	})
	if err != nil {
		return MachinePage{}, err
	}
	page.Incomplete, err = g.incomplete(ctx, who, page.Incomplete)
	if err != nil {
		return MachinePage{}, err
	}
	return page, nil
}

// otherSubscriptions stands for those that the caller may not read: that the list is not whole
// must be said to everybody, which subscription it is and why to its readers alone.
const otherSubscriptions = "other subscriptions"

// incomplete gives what the caller may know of the subscriptions that could not be listed.
func (g *Guard) incomplete(ctx context.Context, who jit.Caller, failed map[string]string) (map[string]string, error) {
	shown := map[string]string{}
	for sub, why := range failed {
		ok, err := g.reads(ctx, who, "/subscriptions/"+sub)
		if err != nil {
			return nil, err
		}
		if ok {
			shown[sub] = why
		} else {
			shown[otherSubscriptions] = "could not be listed"
		}
	}
	return shown, nil
}
