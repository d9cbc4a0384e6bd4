// Package dial chooses the address and port of a firewall at which a port of a machine behind it is dialled ([Firewall.Map]), and tells who has
// one already ([Taker]). The same port of the same machine gets the same one, for ever where nobody takes it.
//
// It is pure: it is given what stands and what is stored. It makes no rule, which is the plan's work, and keeps nothing, so that what it chose
// is somebody's only once a grant with it is stored.
package dial

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"portcullis/core/jit"
	"portcullis/core/label"
	"portcullis/core/reach"
	"portcullis/core/roster"
)

// The refusals of a port.
const (
	CodeMappedPortTaken       jit.Code = "MappedPortTaken"              // another rule or window has the port of the firewall
	CodeNoMappedPort          jit.Code = "NoMappedPortLeft"             // no port of the firewall is free
	CodePublicAddressNotFound jit.Code = "FirewallPublicAddressMissing" // the firewall does not have the address
)

// The ports of a firewall from which one is chosen for each port of a machine, where its
// policy does not pin one. They lie below those that systems use for connections of
// their own, and above what services are usually found at.
const (
	FirstMapped = 40000
	LastMapped  = 49151
)

// Firewall is all that the choice depends on.
type Firewall struct {
	Policies []roster.Protected
	Openings []roster.Opening
	Rules    []jit.Rule   // every NAT rule that stands there, ours and foreign
	Public   []netip.Addr // the addresses at which it takes connections
}

// foreign returns the rules that are not ours.
func (f Firewall) foreign() []*jit.Rule {
	var out []*jit.Rule
	for i := range f.Rules {
		if !label.Owned(f.Rules[i].Name) {
			out = append(out, &f.Rules[i])
		}
	}
	return out
}

// Map returns the address and port of the firewall in front of p's machine at which a
// port that p protects is dialled. It is for who asks now: a window that is open keeps what
// it has.
//
// A pinned address and a pinned port are given, or refused where they are not to be had:
// [CodePublicAddressNotFound], [CodeMappedPortTaken]. What is not pinned is chosen, at the first of
// the firewall's addresses that has a port free ([CodeNoMappedPort] where none has):
//
//   - what an open window has for the same port of the same machine;
//   - else the port's home, the same for ever: a digest of machine and port between
//     [FirstMapped] and [LastMapped];
//   - else, where a foreign rule or another policy's port is at home there, the next one
//     that is nobody's.
//
// Two ports whose homes are the same are told apart by the order of their machines' ids
// among all policies at the firewall. So a port gets what it got the last time, unless a foreign
// rule has taken it, a policy has pinned it, or a policy with the same home came or went.
// Never is it one that a foreign rule or the window of another port has, whatever the protocol.
func (f Firewall) Map(p jit.Policy, port jit.PortRule) (netip.AddrPort, *jit.Error) {
	foreign := f.foreign()
	if pin := p.PublicAddress; pin.IsValid() {
		if !slices.Contains(f.Public, pin) {
			return netip.AddrPort{}, &jit.Error{Code: CodePublicAddressNotFound, Message: fmt.Sprintf("the firewall in front of %s does not have the public address %s, which its policy names", p.VM.Name, pin)}
		}
		f.Public = []netip.Addr{pin}
	}
	if len(f.Public) == 0 {
		return netip.AddrPort{}, &jit.Error{Code: CodePublicAddressNotFound, Message: fmt.Sprintf("the firewall in front of %s has no public IPv4 address", p.VM.Name)}
	}
	var refused *jit.Error
	owner := Owner(p.VM, port.Number)
	windows := f.windows()
	if port.Mapped == 0 {
		for _, at := range f.Public {
			for have, by := range windows {
				if by == owner && have.Addr() == at && Taker(foreign, have, port.Protocol) == nil {
					return have, nil
				}
			}
		}
	}
	for _, at := range f.Public {
		var to uint16
		if to, refused = f.mapAt(at, owner, port, foreign, windows); refused == nil {
			return netip.AddrPortFrom(at, to), nil
		}
	}
	return netip.AddrPort{}, refused
}

// windows returns what each address and port of the firewall is for among windows that may be open.
func (f Firewall) windows() map[netip.AddrPort]string {
	out := map[netip.AddrPort]string{}
	for _, o := range f.Openings {
		for _, vm := range o.Grant.VMs {
			for _, w := range vm.Ports {
				if w.Mapped.IsValid() && w.Status != jit.Revoked {
					out[w.Mapped] = Owner(vm.VM, w.Number)
				}
			}
		}
	}
	return out
}

// mapAt returns the port for the owner at one address.
func (f Firewall) mapAt(at netip.Addr, owner string, port jit.PortRule, foreign []*jit.Rule, windows map[netip.AddrPort]string) (uint16, *jit.Error) {
	if port.Mapped != 0 {
		to := netip.AddrPortFrom(at, port.Mapped)
		if Taker(foreign, to, port.Protocol) != nil {
			return 0, Taken(port.Mapped)
		}
		if by, ok := windows[to]; ok && by != owner {
			return 0, &jit.Error{Code: CodeMappedPortTaken, Message: fmt.Sprintf("port %d of the firewall, which the policy names, leads to another machine or port now", port.Mapped)}
		}
		return port.Mapped, nil
	}
	pinned := f.pinned(at)
	homes := f.homes(at, owner, foreign, pinned)
	byPort := map[uint16]string{}
	for o, n := range homes {
		byPort[n] = o
	}
	for i := range LastMapped - FirstMapped + 1 {
		n := next(homes[owner], i)
		if homes[owner] == 0 {
			break
		}
		if o, ok := byPort[n]; ok && o != owner {
			continue
		}
		to := netip.AddrPortFrom(at, n)
		if by, ok := windows[to]; ok && by != owner || pinned[n] {
			continue
		}
		if Taker(foreign, to, jit.AnyProtocol) == nil {
			return n, nil
		}
	}
	return 0, &jit.Error{Code: CodeNoMappedPort, Message: fmt.Sprintf("no port of the firewall between %d and %d is free at %s", FirstMapped, LastMapped, at)}
}

// homes returns the port of each port of a machine that the policies here protect, and of owner:
// those whose home is free are at home, the others at the next port that is nobody's. 0 where none is left.
func (f Firewall) homes(at netip.Addr, owner string, foreign []*jit.Rule, pinned map[uint16]bool) map[string]uint16 {
	owners := []string{owner}
	for _, p := range f.Policies {
		for _, port := range p.Policy.Ports {
			if port.Mapped == 0 {
				owners = append(owners, Owner(p.Policy.VM, port.Number))
			}
		}
	}
	slices.Sort(owners)
	owners = slices.Compact(owners)
	used := map[uint16]bool{}
	free := func(n uint16) bool {
		return !used[n] && !pinned[n] && Taker(foreign, netip.AddrPortFrom(at, n), jit.AnyProtocol) == nil
	}
	out := map[string]uint16{}
	for _, o := range owners {
		if n := home(o); free(n) {
			out[o], used[n] = n, true
		}
	}
	for _, o := range owners {
		for i := 0; out[o] == 0 && i <= LastMapped-FirstMapped; i++ {
			if n := next(home(o), i); free(n) {
				out[o], used[n] = n, true
			}
		}
	}
	return out
}

// pinned returns the ports that policies here pin at the address.
func (f Firewall) pinned(at netip.Addr) map[uint16]bool {
	out := map[uint16]bool{}
	for _, p := range f.Policies {
		if p.Policy.PublicAddress.IsValid() && p.Policy.PublicAddress != at {
			continue
		}
		for _, port := range p.Policy.Ports {
			if port.Mapped != 0 {
				out[port.Mapped] = true
			}
		}
	}
	return out
}

// home returns the port at which an owner is at home.
func home(owner string) uint16 {
	sum := sha256.Sum256([]byte(owner))
	return FirstMapped + uint16(binary.BigEndian.Uint64(sum[:])%(LastMapped-FirstMapped+1))
}

// next returns the i-th port from n on, around the range.
func next(n uint16, i int) uint16 {
	return FirstMapped + uint16((int(n)-FirstMapped+i)%(LastMapped-FirstMapped+1))
}

// Owner names what a port of a firewall is for: one port of one machine, whoever asked.
func Owner(vm jit.ID, number uint16) string { return vm.Key() + ":" + strconv.Itoa(int(number)) }

// Taken refuses a port of the firewall. It does not say by which rule: that one leads to another machine, of which the caller need not know.
func Taken(port uint16) *jit.Error {
	return &jit.Error{Code: CodeMappedPortTaken, Message: fmt.Sprintf("port %d of the firewall is taken by another of its rules", port)}
}

// Taker returns the first of the rules that takes connections to an address and port; nil where none does. Sources do not count, and what a name
// holds is not known, so that it may be the address.
func Taker(rules []*jit.Rule, at netip.AddrPort, p jit.Protocol) *jit.Rule {
	for _, r := range rules {
		if r.Protocol.Overlaps(p) && jit.HoldsPort(r.DestinationPorts, at.Port()) && (reach.Names{}).Covers(r.Destination, at.Addr()) != reach.No {
			return r
		}
	}
	return nil
}
