package network

import (
	"cmp"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// The refusals of machines.
const (
	CodeVMNotFound jit.Code = "VirtualMachineNotFound"      // no network interface names it
	CodeNoAddress  jit.Code = "VirtualMachineHasNoAddress"  // none of its network interfaces has a private address yet
	CodeMissingNSG jit.Code = "MissingNetworkSecurityGroup" // nothing guards it, so it cannot be closed
)

// Place returns the record of a grant with where its machines are: what it opens on which target, and what to
// dial.
func Place(g jit.Grant, machines map[string]Machine) store.GrantRecord {
	rec := store.GrantRecord{Grant: g, Connect: map[string][]netip.Addr{}, Interfaces: map[string][]string{}}
	at := map[string]int{}
	for _, vm := range g.VMs {
		m, ok := machines[vm.VM.Key()]
		if !ok {
			continue
		}
		rec.Connect[vm.VM.Key()], rec.Interfaces[vm.VM.Key()] = m.Dial(), m.Interfaces
		for _, p := range m.Placements {
			i, ok := at[p.Target.Key()]
			if !ok {
				i = len(rec.Placements)
				at[p.Target.Key()] = i
				rec.Placements = append(rec.Placements, store.GrantPlacement{Target: p.Target, Addresses: map[string][]netip.Addr{}})
			}
			rec.Placements[i].Addresses[vm.VM.Key()] = p.Addresses
		}
	}
	slices.SortFunc(rec.Placements, func(a, b store.GrantPlacement) int { return cmp.Compare(a.Target.Key(), b.Target.Key()) })
	return rec
}

// Exists returns the machine, and refuses one that no network interface names or that nothing guards. at is the
// refusal's target.
func Exists(vm jit.ID, machines map[string]Machine, at string) (Machine, error) {
	m, ok := machines[vm.Key()]
	switch {
	case !ok:
		return m, &jit.Error{Code: CodeVMNotFound, Target: at, Message: vm.Name + " was not found: no network interface in its subscription belongs to it"}
	case len(m.Placements) == 0 && len(m.Private) == 0 && len(m.Interfaces) > 0:
		return m, &jit.Error{Code: CodeNoAddress, Target: at, Message: vm.Name + " has no private address yet; Azure gives it one when the machine starts, then try again"}
	case len(m.Placements) == 0:
		return m, &jit.Error{Code: CodeMissingNSG, Target: at, Message: vm.Name + " has no network security group on its network interfaces or subnets, and no firewall in front of it; attach one first"}
	}
	return m, nil
}
