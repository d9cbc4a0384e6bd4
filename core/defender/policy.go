package defender

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// The refusals of named policies.
const (
	CodeOtherPolicy       jit.Code = "VirtualMachineInOtherPolicy"       // a machine can be in one policy only
	CodeNotInPolicy       jit.Code = "VirtualMachineNotInPolicy"         // the policy exists, but without this machine
	CodeOtherSubscription jit.Code = "VirtualMachineInOtherSubscription" // a policy contains machines of its own subscription only
	CodePrecondition      jit.Code = "PreconditionFailed"                // the policy does not satisfy If-Match or If-None-Match
)

// NamedPolicy is a policy as Defender for Cloud's clients see it: a list of machines under one name. It is not
// stored: it consists of the policies of the machines that name it, and exists while there is one.
type NamedPolicy struct {
	Name     store.PolicyName
	Machines []store.PolicyRecord // sorted by machine
	ETag     string               // changes exactly when something changes that a replacement could change
	Requests []jit.Grant          // of the last days, newest first, with these machines only
}

// named groups records into policies, sorted by key.
func named(records []store.PolicyRecord) []NamedPolicy {
	at := map[string]int{}
	var out []NamedPolicy
	for _, r := range records {
		name := r.Listing()
		i, ok := at[name.Key()]
		if !ok {
			i = len(out)
			at[name.Key()] = i
			out = append(out, NamedPolicy{Name: name})
		}
		out[i].Machines = append(out[i].Machines, r)
	}
	for i := range out {
		out[i] = out[i].sealed()
	}
	slices.SortFunc(out, func(a, b NamedPolicy) int { return strings.Compare(a.Name.Key(), b.Name.Key()) })
	return out
}

// sealed sorts the machines and computes the ETag. The ETag depends on the content, not on the records' versions:
// a sweep that stores where a machine is now must not make somebody's edit fail.
func (p NamedPolicy) sealed() NamedPolicy {
	slices.SortFunc(p.Machines, func(a, b store.PolicyRecord) int { return strings.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	var b strings.Builder
	for _, m := range p.Machines {
		fmt.Fprintf(&b, "%s %s\n", m.Policy.VM, m.Policy.ExistingRules)
		if o := m.Policy.OwnOptions(); !o.IsZero() {
			fmt.Fprintf(&b, " %s\n", o)
		}
		if a := m.Policy.PublicAddress; a.IsValid() {
			fmt.Fprintf(&b, " at %s\n", a)
		}
		for _, port := range m.Policy.Ports {
			fmt.Fprintf(&b, " %d %s %s %s\n", port.Number, port.Protocol, port.Maximum, port.Sources)
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	p.ETag = `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
	return p
}

func (p NamedPolicy) vms() []jit.ID {
	var out []jit.ID
	for _, m := range p.Machines {
		out = append(out, m.Policy.VM)
	}
	return out
}

// Precondition is what a named policy must match for a change to be made. The zero value matches always.
type Precondition struct {
	Match     []string // ETags, one of which the policy must have; "*" matches any existing policy
	NoneMatch []string // ETags, none of which it may have; "*" matches any
}

// check refuses unless the policy satisfies the precondition.
func (c Precondition) check(p NamedPolicy) error {
	exists := len(p.Machines) > 0
	has := func(tags []string) bool {
		return exists && (slices.Contains(tags, "*") || slices.Contains(tags, p.ETag))
	}
	if c.Match != nil && !has(c.Match) || has(c.NoneMatch) {
		return &jit.Error{Code: CodePrecondition, Target: p.Name.String(), Message: "the policy was changed by somebody else; read it again, and send your change with the ETag of what you read"}
	}
	return nil
}

// policyNamed reads one named policy, without machines if it does not exist. Its records have no Version.
func (s *Named) policyNamed(ctx context.Context, name store.PolicyName) (NamedPolicy, error) {
	p := NamedPolicy{Name: name}
	f := store.PolicyFilter{Subscription: name.Subscription, ResourceGroup: name.ResourceGroup, Location: name.Location, Name: name.Name}
	err := s.Access.Policies.EachListed(ctx, f, store.PolicyName{}, func(rec store.PolicyRecord) error {
		p.Machines = append(p.Machines, rec)
		return nil
	})
	if err != nil {
		return NamedPolicy{}, fmt.Errorf("read the policies: %w", err)
	}
	if len(p.Machines) > 0 {
		p.Name = p.Machines[0].Listing() // in the casing in which it was created
	}
	return p.sealed(), nil
}

// storedNamed reads one named policy and the records of further machines with their Versions, and returns all
// records by machine.
func (s *Named) storedNamed(ctx context.Context, name store.PolicyName, vms []jit.ID) (NamedPolicy, map[string]store.PolicyRecord, error) {
	p, err := s.policyNamed(ctx, name)
	if err != nil {
		return p, nil, err
	}
	records, err := s.Access.PolicyRecords(ctx, store.Distinct(slices.Concat(p.vms(), vms)))
	if err != nil {
		return p, nil, err
	}
	stands := func(rec store.PolicyRecord) bool { return rec.Version != "" && rec.Listing().Key() == name.Key() }
	for i, m := range p.Machines {
		p.Machines[i] = records[m.Policy.VM.Key()]
	}
	p.Machines = slices.DeleteFunc(p.Machines, func(rec store.PolicyRecord) bool { return !stands(rec) }) // the others have gone since they were listed
	return p.sealed(), records, nil
}

// inPolicy refuses unless the named policy lists all of the machines. It reads only the policies of these
// machines, and looks up the named policy only to word a refusal.
func (s *Named) inPolicy(ctx context.Context, name store.PolicyName, vms []jit.ID) error {
	records, err := s.Access.PolicyRecords(ctx, vms)
	if err != nil {
		return err
	}
	lists := func(vm jit.ID) bool {
		rec, ok := records[vm.Key()]
		return ok && rec.Listing().Key() == name.Key()
	}
	outside := slices.DeleteFunc(slices.Clone(vms), lists)
	if len(vms) > 0 && len(outside) == 0 {
		return nil
	}
	p, err := s.policyNamed(ctx, name)
	if err != nil {
		return err
	}
	if len(p.Machines) == 0 {
		return noPolicy(name)
	}
	for i, vm := range vms {
		if !lists(vm) {
			return &jit.Error{Code: CodeNotInPolicy, Target: fmt.Sprintf("virtualMachines[%d].id", i), Message: vm.Name + " is not in the policy " + p.Name.Name}
		}
	}
	return nil
}

func noPolicy(name store.PolicyName) error {
	return &jit.Error{Code: jit.CodePolicyNotFound, Target: name.String(), Message: "there is no just-in-time policy " + name.Name + " in resource group " + name.ResourceGroup + " at " + name.Location}
}
