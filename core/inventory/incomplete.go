package inventory

import (
	"context"

	"portcullis/core/jit"
)

// otherSubscriptions stands for those that the caller may not read: that the list is not whole
// must be said to everybody, which subscription it is and why to its readers alone.
const otherSubscriptions = "other subscriptions"

// incomplete returns what the caller may know of the subscriptions that could not be listed.
func (s *Inventory) incomplete(ctx context.Context, who jit.Caller, failed map[string]string) (map[string]string, error) {
	shown := map[string]string{}
	for sub, why := range failed {
		ok, err := s.Permit.Reads(ctx, who, "/subscriptions/"+sub)
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
