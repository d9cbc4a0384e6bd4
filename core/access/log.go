package access

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// What an entry of a refusal holds of what was sent, so that it is never missing because it was large.
const (
	maxToldSources = 100
	maxToldText    = 4 << 10 // bytes
)

// refused is what a call that was refused says of one machine.
type refused struct {
	vm      jit.ID
	ports   []uint16
	sources []string
}

// LogRefusedRequest logs that a request was refused, and gives err.
func (s *Service) LogRefusedRequest(ctx context.Context, who jit.Caller, r jit.Request, err error) error {
	var named []refused
	for _, vm := range r.VMs {
		n := refused{vm: vm.VM}
		for _, p := range vm.Ports {
			n.ports, n.sources = append(n.ports, p.Number), append(n.sources, p.Sources.Strings()...)
		}
		named = append(named, n)
	}
	return s.logRefused(ctx, store.EntryBy(who, store.OpRequest).Asked("", r.Justification), named, err)
}

// LogRefusedPolicies logs that a change of policies was refused, and gives err.
func (s *Service) LogRefusedPolicies(ctx context.Context, who jit.Caller, op store.Operation, policies []jit.Policy, err error) error {
	var named []refused
	for _, p := range policies {
		n := refused{vm: p.VM}
		for _, r := range p.Ports {
			n.ports = append(n.ports, r.Number)
		}
		named = append(named, n)
	}
	return s.logRefused(ctx, store.EntryBy(who, op), named, err)
}

// LogRefusedCall logs that a call was refused before anything in it was understood, and gives err. What machines it names is not known.
func (s *Service) LogRefusedCall(ctx context.Context, who jit.Caller, op store.Operation, err error) error {
	return s.logRefused(ctx, store.EntryBy(who, op), nil, err)
}

// LogRefusedGrant logs that a change of a grant was refused, and gives err.
func (s *Service) LogRefusedGrant(ctx context.Context, who jit.Caller, op store.Operation, g jit.Grant, err error) error {
	if g.ID == "" {
		return err // of what does not exist, or not for him, there is nothing to tell
	}
	var named []refused
	for _, vm := range g.VMs {
		n := refused{vm: vm.VM}
		for _, p := range vm.Ports {
			n.ports, n.sources = append(n.ports, p.Number), append(n.sources, p.Sources.Strings()...)
		}
		named = append(named, n)
	}
	return s.logRefused(ctx, store.EntryBy(who, op).Asked(g.ID, g.Justification), named, err)
}

// logRefused appends the one entry of a refusal, however many machines the call names, and gives err, joined with
// [store.ErrUnlogged] where the entry could not be written. What is no refusal it gives as it is.
//
// The entry is about the machine that the refusal names, else about the first one that is managed: who may read about
// one machine must not learn of another there. Where neither is managed it is about none: who may do nothing must not
// make up chains of the log.
func (s *Service) logRefused(ctx context.Context, e store.Entry, named []refused, err error) error {
	why := jit.Refused(err)
	if why == nil {
		return err
	}
	e.ID, e.Time, e.Result, e.Reason, e.Message = s.NewID(), s.now(), store.Refused, string(why.Code), jit.Cut(why.Message, maxToldText)
	e.Justification = jit.Cut(e.Justification, maxToldText)
	if at := s.concerned(why.Target, named); at >= 0 {
		n := named[at]
		e.ID, e.VM = e.ID+"/"+n.vm.Key(), n.vm
		e.Ports = n.ports[:min(len(n.ports), jit.MaxPorts)]
		e.Sources = n.sources[:min(len(n.sources), maxToldSources)]
		if more := len(n.sources) - len(e.Sources); more > 0 {
			e.Sources = append(e.Sources[:len(e.Sources):len(e.Sources)], fmt.Sprintf("and %d more", more))
		}
		if more := len(named) - 1; more > 0 {
			e.Message += fmt.Sprintf(" (the call names %d more machines)", more)
		}
	}
	if failed := s.Activity.Append(ctx, e); failed != nil {
		return errors.Join(err, fmt.Errorf("%w: %w", store.ErrUnlogged, failed))
	}
	return err
}

// concerned gives which of the machines the entry of a refusal is about, -1 for none.
func (s *Service) concerned(target string, named []refused) int {
	first := -1
	for i, n := range named {
		managed := s.Subscriptions.Manages(n.vm, "") == nil
		if concerns(target, i, n.vm) {
			if managed {
				return i
			}
			return -1
		}
		if managed && first < 0 {
			first = i
		}
	}
	return first
}

// concerns reports whether the target of a refusal is the i-th machine of a call.
func concerns(target string, i int, vm jit.ID) bool {
	return strings.HasPrefix(target, fmt.Sprintf("virtualMachines[%d]", i)) || strings.EqualFold(target, vm.String())
}

// PoliciesOf gives policies that say nothing of machines: what a refusal to disable them is logged by.
func PoliciesOf(vms []jit.ID) []jit.Policy {
	var out []jit.Policy
	for _, vm := range vms {
		out = append(out, jit.Policy{VM: vm})
	}
	return out
}
