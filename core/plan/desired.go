package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"portcullis/core/jit"
)

// Protected is one machine's policy as it bears on the target.
type Protected struct {
	Policy    jit.Policy
	Addresses []netip.Addr // the private addresses of the machine behind this target
}

// Opening is one grant as it bears on the target: its machines behind the
// target only, each with its private addresses there.
type Opening struct {
	Grant     jit.Grant
	Addresses map[string][]netip.Addr // by jit.ID.Key of the machine
}

// wanted is a rule of ours without its priority, and what its placing depends on.
type wanted struct {
	rule    jit.Rule
	respect bool   // a deny that stands below foreign allows
	grant   string // an allow's grant id
	start   time.Time
}

// group collects machines that can share one rule: the rule is the cross
// product of sources, addresses and ports, so all of them must want all of it.
type group struct {
	vms       []jit.ID
	addresses []netip.Addr
}

func (g *group) add(vm jit.ID, addrs []netip.Addr) {
	g.vms = append(g.vms, vm)
	g.addresses = append(g.addresses, addrs...)
}

// denies gives the deny rules that the policies want, sorted by name.
func denies(policies []Protected) []wanted {
	type key struct {
		respect  bool
		protocol jit.Protocol
		v6       bool
		ports    string
	}
	groups := map[key]*group{}
	numbers := map[string][]uint16{}
	for _, p := range policies {
		respect := p.Policy.ExistingRules == jit.Respect
		byProtocol := map[jit.Protocol][]uint16{}
		for _, port := range p.Policy.Ports {
			byProtocol[port.Protocol] = append(byProtocol[port.Protocol], port.Number)
		}
		for protocol, ports := range byProtocol {
			name := portsKey(ports)
			numbers[name] = ports
			for _, v6 := range []bool{false, true} {
				if addrs := family(p.Addresses, v6); len(addrs) > 0 {
					collect(groups, key{respect, protocol, v6, name}, p.Policy.VM, addrs)
				}
			}
		}
	}
	var out []wanted
	for k, g := range groups {
		name := denyName(fmt.Sprintf("respect=%t protocol=%s v6=%t ports=%s", k.respect, k.protocol, k.v6, k.ports))
		r := jit.Rule{Name: name, Access: jit.Deny, Protocol: k.protocol, Source: jit.AnyPeer(), Description: denyNote(g.vms)}
		out = append(out, wanted{rule: finish(r, g.addresses, numbers[k.ports]), respect: k.respect})
	}
	slices.SortFunc(out, byName)
	return out
}

// allows gives the allow rules that the live grants want at now: grants in the
// order of their start, rules of one grant by name.
func allows(openings []Opening, now time.Time) []wanted {
	rivals := rivalsOf(openings)
	var out []wanted
	for _, o := range openings {
		out = append(out, allowsOf(o, rivals, now)...)
	}
	slices.SortFunc(out, func(a, b wanted) int {
		return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.grant, b.grant), byName(a, b))
	})
	return out
}

// rival names what a newer window must agree in to supersede another.
type rival struct {
	requestor, vm string
	port          uint16
}

// rivalsOf gives the grants that may supersede each other, so that each window is
// held against those only.
func rivalsOf(openings []Opening) map[rival][]jit.Grant {
	out := map[rival][]jit.Grant{}
	for _, o := range openings {
		for _, vm := range o.Grant.VMs {
			key := vm.VM.Key()
			for _, w := range vm.Ports {
				k := rival{o.Grant.Requestor, key, w.Number}
				out[k] = append(out[k], o.Grant)
			}
		}
	}
	return out
}

func allowsOf(o Opening, rivals map[rival][]jit.Grant, now time.Time) []wanted {
	// The windows of one machine that agree in all but the port share a rule ...
	type shape struct {
		protocol jit.Protocol
		v6       bool
		sources  string
		end      time.Time
	}
	// ... and so do the machines that then want the same ports.
	type key struct {
		shape
		ports string
	}
	groups := map[key]*group{}
	numbers := map[string][]uint16{}
	sources := map[string]jit.Sources{}
	for _, vm := range o.Grant.VMs {
		vmKey := vm.VM.Key()
		ports := map[shape][]uint16{}
		for _, w := range vm.Ports {
			if !o.Grant.Desired(vm.VM, w, now, rivals[rival{o.Grant.Requestor, vmKey, w.Number}]) {
				continue
			}
			for _, v6 := range []bool{false, true} {
				if s := sourcesOf(w.Sources, v6); !s.IsEmpty() {
					sources[s.String()] = s
					k := shape{w.Protocol, v6, s.String(), w.End.UTC()}
					ports[k] = append(ports[k], w.Number)
				}
			}
		}
		for k, list := range ports {
			if addrs := family(o.Addresses[vmKey], k.v6); len(addrs) > 0 {
				name := portsKey(list)
				numbers[name] = list
				collect(groups, key{k, name}, vm.VM, addrs)
			}
		}
	}
	var out []wanted
	for k, g := range groups {
		// The end is not part of the name, so that an extension keeps the rule. Names
		// still differ: one port of one machine stands in one group of each family only.
		id := fmt.Sprintf("protocol=%s v6=%t sources=%s ports=%s vms=%s", k.protocol, k.v6, k.sources, k.ports, vmsKey(g.vms))
		r := jit.Rule{Name: allowName(o.Grant.ID, id), Access: jit.Allow, Protocol: k.protocol, Description: allowNote(k.end, g.vms)}
		if s := sources[k.sources]; s.IsAny() {
			r.Source = jit.AnyPeer()
		} else {
			r.Source = jit.Peers{Prefixes: s.Prefixes()}
		}
		out = append(out, wanted{rule: finish(r, g.addresses, numbers[k.ports]), grant: o.Grant.ID, start: o.Grant.Start})
	}
	return out
}

func collect[K comparable](groups map[K]*group, k K, vm jit.ID, addrs []netip.Addr) {
	if groups[k] == nil {
		groups[k] = &group{}
	}
	groups[k].add(vm, addrs)
}

func finish(r jit.Rule, addrs []netip.Addr, ports []uint16) jit.Rule {
	r.Destination = jit.PeersOf(addrs...)
	r.SourcePorts = []jit.PortRange{jit.AllPorts()}
	for _, n := range ports {
		r.DestinationPorts = append(r.DestinationPorts, jit.OnePort(n))
	}
	return r.Canonical()
}

func byName(a, b wanted) int { return cmp.Compare(a.rule.Name, b.rule.Name) }

func portsKey(ports []uint16) string {
	slices.Sort(ports)
	return strings.Trim(fmt.Sprint(ports), "[]")
}

func vmsKey(vms []jit.ID) string {
	keys := make([]string, 0, len(vms))
	for _, vm := range vms {
		keys = append(keys, vm.Key())
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

// family keeps the addresses of one family: a rule cannot mix them.
func family(addrs []netip.Addr, v6 bool) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if a.Unmap().Is6() == v6 {
			out = append(out, a.Unmap())
		}
	}
	return out
}

// sourcesOf keeps the sources of one family; any stays any.
func sourcesOf(s jit.Sources, v6 bool) jit.Sources {
	if s.IsAny() {
		return s
	}
	var kept []netip.Prefix
	for _, p := range s.Prefixes() {
		if p.Addr().Is6() == v6 {
			kept = append(kept, p)
		}
	}
	return jit.SourcesOf(kept...)
}
