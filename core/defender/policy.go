package defender

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/claim"
	"portcullis/core/jit"
	"portcullis/core/narrow"
	"portcullis/core/side"
	"portcullis/core/store"
)

// The refusals of named policies.
const (
	CodeOtherPolicy       jit.Code = "VirtualMachineInOtherPolicy"       // a machine can be in one policy only
	CodeNotInPolicy       jit.Code = "VirtualMachineNotInPolicy"         // the policy exists, but without this machine
	CodeOtherSubscription jit.Code = "VirtualMachineInOtherSubscription" // a policy contains machines of its own subscription only
	CodePrecondition               = store.CodePrecondition              // the policy does not satisfy If-Match or If-None-Match
)

// NamedPolicy is a policy as Defender for Cloud's clients see it: a list of machines under one name. It consists of the
// policies of the machines that name it, and exists while there is one, or from a replacement to a deletion.
type NamedPolicy struct {
	Name     store.PolicyName
	Head     *store.NamedRecord   // what is stored of it besides its machines; nil if nothing is
	Machines []store.PolicyRecord // sorted by machine, or for readers in the order in which they were written
	ETag     string               // changes exactly when the meaning changes; order and text do not count
	Hindered side.Hindered        // of a replacement: what is wrong with the protection of its machines
	Requests []jit.Grant          // of the last days, newest first, with these machines only
	Narrowed narrow.Ends          // what the change that returned it has ended
}

// exists reports whether there is such a policy.
func (p NamedPolicy) exists() bool { return p.Head != nil && !p.Head.Draft || len(p.Machines) > 0 }

// withHead sets the stored record, whose name has the casing in which the policy was created.
func (p *NamedPolicy) withHead(n store.NamedRecord) error {
	p.Name, p.Head = n.Name, &n
	return nil
}

// list returns it as it is stored.
func (p NamedPolicy) list() claim.List {
	return claim.List{Name: p.Name, Head: p.Head, Machines: p.Machines}
}

// sealed sorts the machines and computes the ETag. The ETag depends on the content, not on the records' versions:
// a sweep that stores where a machine is now must not make somebody's edit fail.
func (p NamedPolicy) sealed() NamedPolicy {
	slices.SortFunc(p.Machines, func(a, b store.PolicyRecord) int { return strings.Compare(a.Policy.VM.Key(), b.Policy.VM.Key()) })
	var b strings.Builder
	for _, m := range p.Machines {
		fmt.Fprintf(&b, "%s %s\n", m.Policy.VM.Key(), m.Policy.ExistingRules)
		if o := m.Policy.OwnOptions(); !o.IsZero() {
			fmt.Fprintf(&b, " %s\n", o)
		}
		if a := m.Policy.PublicAddress; a.IsValid() {
			fmt.Fprintf(&b, " at %s\n", a)
		}
		for _, port := range slices.SortedFunc(slices.Values(m.Policy.Ports), func(a, b jit.PortRule) int { return cmp.Compare(a.Number, b.Number) }) {
			fmt.Fprintf(&b, " %d %s %s %s\n", port.Number, port.Protocol, port.Maximum, port.Sources)
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	p.ETag = `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
	return p
}

// ordered puts the machines in the order in which they were written, those that were not after them.
func (p NamedPolicy) ordered() NamedPolicy {
	if p.Head == nil {
		return p
	}
	place := map[string]int{}
	for i, mark := range p.Head.Order {
		place[mark] = i - len(p.Head.Order)
	}
	p.Machines = slices.Clone(p.Machines)
	slices.SortStableFunc(p.Machines, func(a, b store.PolicyRecord) int {
		return cmp.Compare(place[markOf(a.Policy.VM)], place[markOf(b.Policy.VM)])
	})
	return p
}

// markOf returns a short mark of a machine for [store.NamedRecord.Order]. Two machines with one mark only lose their order.
func markOf(vm jit.ID) string {
	sum := sha256.Sum256([]byte(vm.Key()))
	return hex.EncodeToString(sum[:6])
}

// DialledAt returns the firewall address that a machine's policy pins, else the one at which its requests are mapped;
// zero if there is none.
func (p NamedPolicy) DialledAt(policy jit.Policy) netip.Addr {
	at := policy.PublicAddress
	for _, g := range p.Requests {
		for _, vm := range g.VMs {
			for _, w := range vm.Ports {
				if !at.IsValid() && vm.VM.Equal(policy.VM) {
					at = w.Mapped.Addr()
				}
			}
		}
	}
	return at
}

// Means reports whether what a client wrote of a machine says what is stored of it, as far as its contract can say it.
func Means(written, stored jit.Policy) bool { return claim.Same(claim.Meant(written, stored), stored) }

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
	has := func(tags []string) bool {
		return p.exists() && (slices.Contains(tags, "*") || slices.Contains(tags, p.ETag))
	}
	if c.Match != nil && !has(c.Match) || has(c.NoneMatch) {
		return &jit.Error{Code: CodePrecondition, Target: p.Name.String(), Message: "the policy was changed by somebody else; read it again, and send your change with the ETag of what you read"}
	}
	return nil
}

// policyNamed reads one named policy, which need not exist. Its records have no Version.
func (s *Named) policyNamed(ctx context.Context, name store.PolicyName) (NamedPolicy, error) {
	l, err := s.lists().Read(ctx, name)
	if err != nil {
		return NamedPolicy{}, err
	}
	return NamedPolicy{Name: l.Name, Head: l.Head, Machines: l.Machines}.sealed(), nil
}

// storedNamed reads one named policy and the records of further machines with their Versions, and returns all
// records by machine.
func (s *Named) storedNamed(ctx context.Context, name store.PolicyName, vms []jit.ID) (NamedPolicy, map[string]store.PolicyRecord, error) {
	p, err := s.policyNamed(ctx, name)
	if err != nil {
		return p, nil, err
	}
	records, err := store.PolicyRecords(ctx, s.Protection.Policies, store.Distinct(slices.Concat(p.vms(), vms)))
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
	records, err := store.PolicyRecords(ctx, s.Protection.Policies, vms)
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
	if !p.exists() {
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
