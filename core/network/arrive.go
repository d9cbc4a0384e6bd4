package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"portcullis/core/jit"
	"portcullis/core/store"
)

// unlikely is a kind of source address from which nothing comes in, or not at every address of a machine.
type unlikely struct {
	name    string
	private bool // comes in over a private network, and not at a public address
	example bool // stands for a real one in examples and stand-ins, where the machine's address is one for documentation
	of      []string
}

// kindsOfUnlikely are of IANA's registries of special purposes and of multicast.
func kindsOfUnlikely() []unlikely {
	return []unlikely{
		{name: "loopback", example: true, of: []string{"127.0.0.0/8", "::1/128"}},
		{name: "link-local", of: []string{"169.254.0.0/16", "fe80::/10"}},
		{name: "multicast", of: []string{"224.0.0.0/4", "ff00::/8"}},
		{name: "reserved", of: []string{"0.0.0.0/8", "240.0.0.0/4", "::/128"}},
		{name: "private", private: true, of: []string{"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"}},
		documentation(),
	}
}

func documentation() unlikely {
	return unlikely{name: "documentation", example: true, of: []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"}}
}

func (k unlikely) holds(p netip.Prefix) bool {
	return slices.ContainsFunc(k.of, func(s string) bool {
		q := netip.MustParsePrefix(s)
		return q.Bits() <= p.Bits() && q.Contains(p.Addr())
	})
}

func (k unlikely) holdsOne(hosts []netip.Addr) bool {
	return slices.ContainsFunc(hosts, func(a netip.Addr) bool { return k.holds(netip.PrefixFrom(a, a.BitLen())) })
}

// NeverArrives tells of a window of a grant which of its sources no connection can come in from, to where the window is dialled. It refuses
// nothing: machines are reached from private addresses by VPN, peering and Bastion. It says nothing where it is not known what to
// dial, and of a window that is not open.
func NeverArrives(rec store.GrantRecord, vm jit.ID, w jit.Window) []string {
	var hosts []netip.Addr
	for _, a := range rec.Dial(vm, w) {
		hosts = append(hosts, a.Addr().Unmap())
	}
	if len(hosts) == 0 || w.Status != jit.Initiating && w.Status != jit.Initiated {
		return nil
	}
	var says []string
	for _, k := range kindsOfUnlikely() {
		if k.private && k.holdsOne(hosts) || k.example && documentation().holdsOne(hosts) {
			continue
		}
		var held []string
		for p := range w.Sources.All() {
			if k.holds(p) {
				held = append(held, jit.PrefixString(p))
			}
		}
		switch {
		case len(held) == 0:
		case k.private:
			says = append(says, fmt.Sprintf("%s: a %s address cannot come in at %s, only over a private network (VPN, peering, Bastion) at the machine's private address", few(held), k.name, hosts[0]))
		default:
			says = append(says, fmt.Sprintf("%s: no connection comes in from a %s address", few(held), k.name))
		}
	}
	return says
}

// Enters returns those of the addresses to dial for a window of a grant at which one of its sources can come in: of the same family,
// and no private one at a public address. Of sources that come in nowhere [NeverArrives] tells.
func Enters(rec store.GrantRecord, vm jit.ID, w jit.Window) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range rec.Dial(vm, w) {
		host := a.Addr().Unmap()
		enters := w.Sources.IsAny()
		for p := range w.Sources.All() {
			enters = enters || p.Addr().Is4() == host.Is4() && !never(p, host)
		}
		if enters {
			out = append(out, a)
		}
	}
	return out
}

// never reports whether a range is private and an address public.
func never(p netip.Prefix, host netip.Addr) bool {
	return slices.ContainsFunc(kindsOfUnlikely(), func(k unlikely) bool { return k.private && k.holds(p) && !k.holdsOne([]netip.Addr{host}) })
}

// few names the first of a list.
func few(list []string) string {
	if more := len(list) - 2; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:2], ", "), more)
	}
	return strings.Join(list, ", ")
}
