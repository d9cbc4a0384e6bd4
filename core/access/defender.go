package access

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"portcullis/core/jit"
)

// The refusals of named policies.
const (
	CodeOtherPolicy       jit.Code = "VirtualMachineInOtherPolicy"       // a machine is in one policy only
	CodeNotInPolicy       jit.Code = "VirtualMachineNotInPolicy"         // the policy exists, without this machine
	CodeOtherSubscription jit.Code = "VirtualMachineInOtherSubscription" // a policy holds machines of its own subscription
	CodePrecondition      jit.Code = "PreconditionFailed"                // the policy is not what If-Match or If-None-Match says
)

// DefaultName is the name of the policy that lists a machine unless somebody
// said otherwise: the one that Defender for Cloud's own page uses.
const DefaultName = "default"

// PolicyName names a policy as Defender for Cloud's clients do. Case does not
// count; compare two by [PolicyName.Key].
type PolicyName struct {
	Subscription  string
	ResourceGroup string
	Location      string
	Name          string
}

func (n PolicyName) id() jit.ID {
	return jit.ID{Subscription: n.Subscription, ResourceGroup: n.ResourceGroup, Type: "Microsoft.Security/locations/" + n.Location + "/jitNetworkAccessPolicies", Name: n.Name}
}

// String gives the ARM id.
func (n PolicyName) String() string { return n.id().String() }

// Key gives the ARM id in lower case.
func (n PolicyName) Key() string { return n.id().Key() }

// Scope gives the ARM id of the resource group, where permissions for the policy
// as such are looked for.
func (n PolicyName) Scope() string {
	return "/subscriptions/" + n.Subscription + "/resourceGroups/" + n.ResourceGroup
}

// Listing gives the named policy that lists the record's machine.
func (r PolicyRecord) Listing() PolicyName {
	return PolicyName{
		Subscription:  r.Policy.VM.Subscription,
		ResourceGroup: cmp.Or(r.Listed.ResourceGroup, r.Policy.VM.ResourceGroup),
		Location:      cmp.Or(r.Listed.Location, r.Location),
		Name:          cmp.Or(r.Listed.Name, DefaultName),
	}
}

// NamedPolicy is a policy as Defender for Cloud's clients see it: a list of
// machines under one name. It is not stored: it is the stored policies of machines
// that say they are in it, and exists while there is one.
type NamedPolicy struct {
	Name     PolicyName
	Machines []PolicyRecord // sorted by machine
	ETag     string         // changes with everything that a replacement could change, and with nothing else
	Requests []jit.Grant    // of the last days, newest first, with these machines only
}

// named gathers records into policies, sorted by key.
func named(records []PolicyRecord) []NamedPolicy {
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

// sealed sorts the machines and computes the ETag. It is made from the content,
// not from the records' versions: a sweep that notes where a machine stands now
// must not fail somebody's edit.
func (p NamedPolicy) sealed() NamedPolicy {
	slices.SortFunc(p.Machines, func(a, b PolicyRecord) int { return strings.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
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

// Precondition is what a caller says a named policy must be for it to be changed.
// The zero value says nothing.
type Precondition struct {
	Match     []string // ETags, one of which the policy must have; "*" is any, if it exists
	NoneMatch []string // ETags, none of which it may have; "*" is any
}

// check refuses where the policy is not so.
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

// policyNamed reads one named policy, without machines where it does not exist,
// and all records by machine.
func (s *Service) policyNamed(ctx context.Context, name PolicyName) (NamedPolicy, map[string]PolicyRecord, error) {
	all, err := AllPolicies(ctx, s.Policies)
	if err != nil {
		return NamedPolicy{}, nil, fmt.Errorf("read the policies: %w", err)
	}
	p, byVM := NamedPolicy{Name: name}, map[string]PolicyRecord{}
	for _, rec := range all {
		byVM[rec.Policy.VM.Key()] = rec
		if rec.Listing().Key() == name.Key() {
			p.Machines = append(p.Machines, rec)
		}
	}
	if len(p.Machines) > 0 {
		p.Name = p.Machines[0].Listing() // in the casing with which it was made
	}
	return p.sealed(), byVM, nil
}

// inPolicy refuses unless the named policy lists every one of the machines. It reads the policies of these
// machines; only a refusal looks through all of them, for what to say.
func (s *Service) inPolicy(ctx context.Context, name PolicyName, vms []jit.ID) error {
	listed := make([]bool, len(vms))
	err := each(vms, func(i int, vm jit.ID) error {
		rec, err := s.Policies.Policy(ctx, vm)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("read the policy of %s: %w", vm, err)
		}
		listed[i] = err == nil && rec.Listing().Key() == name.Key()
		return nil
	})
	if err != nil || len(vms) > 0 && !slices.Contains(listed, false) {
		return err
	}
	p, _, err := s.policyNamed(ctx, name)
	if err != nil {
		return err
	}
	if len(p.Machines) == 0 {
		return noPolicy(name)
	}
	lists := p.vms()
	for i, vm := range vms {
		if !slices.ContainsFunc(lists, vm.Equal) {
			return &jit.Error{Code: CodeNotInPolicy, Target: fmt.Sprintf("virtualMachines[%d].id", i), Message: vm.Name + " is not in the policy " + p.Name.Name}
		}
	}
	return nil
}

func noPolicy(name PolicyName) error {
	return &jit.Error{Code: jit.CodePolicyNotFound, Target: name.String(), Message: "there is no just-in-time policy " + name.Name + " in resource group " + name.ResourceGroup + " at " + name.Location}
}
