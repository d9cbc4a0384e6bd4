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

// LogRefusedPolicies logs that a change of policies was refused, and gives err.
func (s *Service) LogRefusedPolicies(ctx context.Context, who jit.Caller, op store.Operation, policies []jit.Policy, err error) error {
	var named []refusal.Named
	for _, p := range policies {
		n := refusal.Named{VM: p.VM}
		for _, r := range p.Ports {
			n.Ports = append(n.Ports, r.Number)
		}
		named = append(named, n)
	}
	return s.Refusals.Tell(ctx, store.EntryBy(who, op), named, err)
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

// PoliciesOf gives policies that say nothing of machines: what a refusal to disable them is logged by.
func PoliciesOf(vms []jit.ID) []jit.Policy {
	var out []jit.Policy
	for _, vm := range vms {
		out = append(out, jit.Policy{VM: vm})
	}
	return out
}
