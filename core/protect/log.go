package protect

import (
	"context"
	"fmt"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/refusal"
	"portcullis/core/store"
)

// PolicyEntries tells of policies that were made or removed.
func (s *Protection) PolicyEntries(who jit.Caller, op store.Operation, records []store.PolicyRecord, err error) []store.Entry {
	return s.EditEntries(who, op, records, nil, err)
}

// EditEntries tells of policies that were changed, with what they said before, as far as that is
// among before, and what they say now.
func (s *Protection) EditEntries(who jit.Caller, op store.Operation, records, before []store.PolicyRecord, err error) []store.Entry {
	id := s.NewID()
	was := map[string]store.PolicyRecord{}
	for _, rec := range before {
		was[rec.Policy.VM.Key()] = rec
	}
	var out []store.Entry
	for _, rec := range records {
		key := rec.Policy.VM.Key()
		e := store.EntryBy(who, op)
		e.ID, e.Time, e.Result, e.VM = id+"/"+key, s.now(), store.Succeeded, rec.Policy.VM
		for _, p := range rec.Policy.Ports {
			e.Ports = append(e.Ports, p.Number)
		}
		var told []string
		if err != nil {
			e.Result = store.Failed
			told = append(told, store.Publicly(err))
		}
		if old, ok := was[key]; ok && len(old.Policy.Ports) > 0 {
			told = append(told, "before: "+policyText(old.Policy))
		}
		if op == store.OpDisable {
			told = append(told, "before: "+policyText(rec.Policy))
		} else {
			told = append(told, "now: "+policyText(rec.Policy))
		}
		e.Message = strings.Join(told, "; ")
		out = append(out, e)
	}
	return out
}

// maxPolicyText bounds, in bytes, what an entry says of one policy, which may name thousands of sources.
const maxPolicyText = 16 << 10

// policyText says what a policy says, on one line.
func policyText(p jit.Policy) string {
	var ports []string
	for _, r := range p.Ports {
		port := fmt.Sprintf("%d %s from %s for %s", r.Number, r.Protocol, strings.Join(r.Sources.Strings(), " "), jit.Length(r.Maximum))
		if r.Approvers > 0 {
			port += fmt.Sprintf(" approved by %d", r.Approvers)
		}
		if r.Mapped != 0 {
			port += fmt.Sprintf(" at port %d of the firewall", r.Mapped)
		}
		ports = append(ports, port)
	}
	text := strings.Join(ports, ", ") + " (" + p.ExistingRules.String() + " existing rules)"
	if p.LeavesRoom {
		text = "leaves room for windows; " + text
	}
	if p.PublicAddress.IsValid() {
		text = "at " + p.PublicAddress.String() + " of the firewall; " + text
	}
	if o := p.OwnOptions(); !o.IsZero() {
		text = o.String() + "; " + text // first, so that a long list of ports does not cut it off
	}
	return store.Cut(text, maxPolicyText)
}

// LogRefusedPolicies logs that a change of policies was refused, and gives err.
func (s *Protection) LogRefusedPolicies(ctx context.Context, who jit.Caller, op store.Operation, policies []jit.Policy, err error) error {
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

// PoliciesOf gives policies that say nothing of machines: what a refusal to disable them is logged by.
func PoliciesOf(vms []jit.ID) []jit.Policy {
	var out []jit.Policy
	for _, vm := range vms {
		out = append(out, jit.Policy{VM: vm})
	}
	return out
}
