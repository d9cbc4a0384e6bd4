package network

import (
	"fmt"
	"net/netip"
	"slices"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/reach"
	"portcullis/core/store"
)

// assumed returns what names are taken to stand for at a machine, to tell people what reaches it: VirtualNetwork is what is known of it and
// every private address, and nothing else, since a rule for Internet has to count as one. Where routes bring public addresses into
// it, the Internet is assumed to be larger than it is, and there may be a finding too many.
func assumed(m Machine) reach.Names {
	var n reach.Names
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"} {
		n.VirtualNetwork = append(n.VirtualNetwork, netip.MustParsePrefix(p))
	}
	for _, p := range m.Placements {
		n.VirtualNetwork = append(n.VirtualNetwork, p.Site.Network.Inside...)
	}
	var known []reach.Located
	for _, p := range m.Placements {
		known = append(known, reach.Located{Addresses: p.Addresses, Site: reach.Site{Network: reach.Network{Inside: n.VirtualNetwork, Whole: true}, Groups: p.Site.Groups}})
	}
	return n.At(known...)
}

// Reachable returns how the well-known management ports of a machine that its policy does not protect can
// certainly be reached from the Internet, or by strangers through a service tag, given the rules of its targets. Addresses that no
// security group guards are left out: they have a finding of their own.
func Reachable(m Machine, p jit.Policy, rules func(jit.ID) ([]jit.Rule, bool)) []reach.Exposure {
	ports := slices.DeleteFunc(reach.ManagementPorts(), func(n uint16) bool { _, protected := p.Port(n); return protected })
	names := assumed(m)
	from := names.Internet()
	var out []reach.Exposure
	for _, addr := range m.Private {
		e := reach.Endpoint{VM: m.VM, Address: addr}
		for _, at := range m.Placements {
			if standing, ok := rules(at.Target); ok && slices.Contains(at.Addresses, addr) {
				e.Guards = append(e.Guards, reach.Guard{Name: at.Target.Name, Rules: standing})
			}
		}
		if len(e.Guards) == 0 {
			continue
		}
		for _, x := range names.Exposures(e, ports, from) {
			if (!x.Certain.IsEmpty() || x.Strangers) && !ours(x) {
				out = append(out, x)
			}
		}
	}
	return out
}

// Reached returns the finding for an exposure.
func Reached(m Machine, e reach.Exposure) store.Finding {
	by := e.By[len(e.By)-1].Rule
	from := "from the Internet"
	if e.Certain.IsEmpty() {
		from = "by strangers, from the addresses of Azure that the service tag " + openTagOf(e) + " stands for,"
	}
	return store.Finding{Kind: store.FindingReachable, Target: guardOf(m, e.By[len(e.By)-1].Guard), VM: m.VM, Rule: by.Name, Port: e.Port,
		Message: fmt.Sprintf("port %d of %s (%s), which its policy does not name, can be reached %s through the rule %s", e.Port, m.VM.Name, e.Address, from, by.Name)}
}

// guardOf returns the target of a machine with a name; zero where none, or more than one, has it.
func guardOf(m Machine, name string) jit.ID {
	named := slices.DeleteFunc(slices.Clone(m.Placements), func(p store.Placement) bool { return p.Target.Name != name })
	if len(named) != 1 {
		return jit.ID{}
	}
	return named[0].Target
}

// openTagOf returns the service tag that lets strangers in.
func openTagOf(e reach.Exposure) string {
	for _, d := range e.By {
		if i := slices.IndexFunc(d.Rule.Source.Tags, reach.OpenTag); i >= 0 {
			return d.Rule.Source.Tags[i]
		}
	}
	return ""
}

// Unguarded returns the finding for an interface without a security group.
func Unguarded(vm jit.ID, nic string) store.Finding {
	return store.Finding{Kind: store.FindingUnguarded, VM: vm, Message: "the network interface " + nic + " of " + vm.Name + " has no security group: its ports cannot be closed"}
}

// Gone returns the finding for a policy whose machine does not exist.
func Gone(vm jit.ID) store.Finding {
	return store.Finding{Kind: store.FindingVMGone, VM: vm, Message: vm.Name + " has a policy but no longer exists: disable it, or leave the policy for when it comes back"}
}

// Moved returns the finding for a policy whose machine does not exist any more, and stands most likely in another resource group.
func Moved(was, is, target jit.ID) store.Finding {
	return store.Finding{Kind: store.FindingVMMoved, VM: was, Target: target, Message: fmt.Sprintf("%s of resource group %s has a policy but no longer exists, and the %s of resource group %s has its address behind %s: "+
		"if it was moved, enable it there and then disable it here; until then its ports stay closed, and nobody can open them", was.Name, was.ResourceGroup, is.Name, is.ResourceGroup, target.Name)}
}

// ours reports whether the exposure depends on a rule of ours: then it is a window.
func ours(x reach.Exposure) bool {
	return slices.ContainsFunc(x.By, func(d reach.Decision) bool { return label.Owned(d.Rule.Name) })
}
