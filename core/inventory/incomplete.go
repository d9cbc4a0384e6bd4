package inventory

import (
	"context"

	"portcullis/core/jit"
)

// otherSubscriptions stands for subscriptions that the caller may not read. Every caller learns that the list is
// incomplete; only readers of a subscription learn that it is the one, and why.
const otherSubscriptions = "other subscriptions"

// incomplete returns what the caller may know about the subscriptions that could not be listed.
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
