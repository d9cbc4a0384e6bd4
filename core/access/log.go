package access

import (
	"context"

	"portcullis/core/jit"
	"portcullis/core/refusal"
	"portcullis/core/store"
)

// LogRefusedRequest logs that a request was refused, and gives err.
func (s *Service) LogRefusedRequest(ctx context.Context, who jit.Caller, r jit.Request, err error) error {
	var named []refusal.Named
	for _, vm := range r.VMs {
		n := refusal.Named{VM: vm.VM}
		for _, p := range vm.Ports {
			n.Ports, n.Sources = append(n.Ports, p.Number), append(n.Sources, p.Sources.Strings()...)
		}
		named = append(named, n)
	}
	return s.Refusals.Tell(ctx, store.EntryBy(who, store.OpRequest).Asked("", r.Justification), named, err)
}

// LogRefusedCall logs that a call was refused before anything in it was understood, and gives err. What machines it names is not known.
func (s *Service) LogRefusedCall(ctx context.Context, who jit.Caller, op store.Operation, err error) error {
	return s.Refusals.Tell(ctx, store.EntryBy(who, op), nil, err)
}

// LogRefusedGrant logs that a change of a grant was refused, and gives err.
func (s *Service) LogRefusedGrant(ctx context.Context, who jit.Caller, op store.Operation, g jit.Grant, err error) error {
	if g.ID == "" {
		return err // of what does not exist, or not for him, there is nothing to tell
	}
	var named []refusal.Named
	for _, vm := range g.VMs {
		n := refusal.Named{VM: vm.VM}
		for _, p := range vm.Ports {
			n.Ports, n.Sources = append(n.Ports, p.Number), append(n.Sources, p.Sources.Strings()...)
		}
		named = append(named, n)
	}
	return s.Refusals.Tell(ctx, store.EntryBy(who, op).Asked(g.ID, g.Justification), named, err)
}
