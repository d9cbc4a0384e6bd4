package roster

import (
	"net/netip"
	"slices"

	"portcullis/core/jit"
)

// Behind adds to a map which machines stand behind the target, by their addresses. Networks that overlap have several at one address.
func (s State) Behind(at map[netip.Addr][]jit.ID) {
	add := func(vm jit.ID, addrs []netip.Addr) {
		for _, a := range addrs {
			if !slices.ContainsFunc(at[a], vm.Equal) {
				at[a] = append(at[a], vm)
			}
		}
	}
	for _, p := range s.Policies {
		add(p.Policy.VM, p.Addresses)
	}
	for _, o := range s.Openings {
		for _, vm := range o.Grant.VMs {
			add(vm.VM, o.Addresses[vm.VM.Key()])
		}
	}
}

// Concerns returns the machines to which a rule of ours lets through or not, and whether all of its addresses are those of machines that
// are known.
func Concerns(r jit.Rule, at map[netip.Addr][]jit.ID) (vms []jit.ID, all bool) {
	to := r.Destination.Prefixes
	if a := r.Translated.Addr(); a.IsValid() {
		to = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
	}
	for _, p := range to {
		if !p.IsSingleIP() || len(at[p.Addr()]) == 0 {
			return nil, false
		}
		for _, vm := range at[p.Addr()] {
			if !slices.ContainsFunc(vms, vm.Equal) {
				vms = append(vms, vm)
			}
		}
	}
	return vms, len(vms) > 0
}
