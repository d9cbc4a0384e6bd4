package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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
	owner   string // what a NAT rule's port of the firewall is for
}

// group collects machines that can share one rule: the rule is the cross
// product of sources, addresses and ports, so all of them must want all of it.
type group struct {
	vms       []jit.ID
	keys      []string // theirs, where the name of the rule needs them
	addresses []netip.Addr
}

func (g *group) add(vm jit.ID, key string, addrs []netip.Addr) {
	g.vms, g.keys = append(g.vms, vm), append(g.keys, key)
	g.addresses = append(g.addresses, addrs...)
}

// denies gives the deny rules that the policies want, sorted by name.
func denies(policies []Protected) []*wanted {
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
		for i, port := range p.Policy.Ports {
			protocol := port.Protocol
			same := func(q jit.PortRule) bool { return q.Protocol == protocol }
			if slices.ContainsFunc(p.Policy.Ports[:i], same) {
				continue
			}
			ports := make([]uint16, 0, 8)
			for _, q := range p.Policy.Ports[i:] {
				if same(q) {
					ports = append(ports, q.Number)
				}
			}
			name := portsKey(ports)
			numbers[name] = ports
			for _, v6 := range []bool{false, true} {
				if addrs := family(p.Addresses, v6); len(addrs) > 0 {
					k := key{respect, protocol, v6, name}
					if groups[k] == nil {
						groups[k] = &group{}
					}
					groups[k].add(p.Policy.VM, "", addrs)
				}
			}
		}
	}
	var out []*wanted
	for k, g := range groups {
		name := denyName(fmt.Sprintf("respect=%t protocol=%s v6=%t ports=%s", k.respect, k.protocol, k.v6, k.ports))
		r := jit.Rule{Name: name, Access: jit.Deny, Protocol: k.protocol, Source: jit.AnyPeer(), Description: denyNote(g.vms)}
		out = append(out, &wanted{rule: finish(r, g.addresses, numbers[k.ports]), respect: k.respect})
	}
	slices.SortFunc(out, byName)
	return out
}

// allows gives the allow rules that the live grants want at now: grants in the
// order of their start, rules of one grant by name.
func allows(openings []Opening, now time.Time) []*wanted {
	rivals := rivalsOf(openings)
	out := make([]*wanted, 0, len(openings))
	for _, o := range openings {
		out = append(out, allowsOf(o, rivals, now)...)
	}
	slices.SortFunc(out, byStart)
	return out
}

func byStart(a, b *wanted) int {
	return cmp.Or(a.start.Compare(b.start), cmp.Compare(a.grant, b.grant), byName(a, b))
}

// rival names what a newer window must agree in to supersede another, and more may.
type rival struct {
	name string // of the machine, in lower case
	port uint16
	from netip.Prefix // the first source
}

func rivalOf(vm jit.ID, w jit.Window) rival {
	r := rival{name: strings.ToLower(vm.Name), port: w.Number}
	for p := range w.Sources.All() {
		r.from = p
		break
	}
	return r
}

// rivalsOf gives the grants that may supersede each other, so that each window is
// held against those only.
func rivalsOf(openings []Opening) map[rival][]jit.Grant {
	alone := make(map[rival]int, len(openings)) // most have none
	out := map[rival][]jit.Grant{}
	for i, o := range openings {
		for _, vm := range o.Grant.VMs {
			for _, w := range vm.Ports {
				k := rivalOf(vm.VM, w)
				first, met := alone[k]
				switch {
				case !met:
					alone[k] = i
				case out[k] == nil:
					out[k] = []jit.Grant{openings[first].Grant, o.Grant}
				default:
					out[k] = append(out[k], o.Grant)
				}
			}
		}
	}
	return out
}

// shape is what the windows of one machine must agree in to share a rule.
type shape struct {
	protocol jit.Protocol
	v6       bool
	sources  string
	end      time.Time
}

// part is the ports that have one shape, and the machines that want the same ones in it.
type part struct {
	shape
	from  jit.Sources
	ports []uint16
	group
}

func allowsOf(o Opening, rivals map[rival][]jit.Grant, now time.Time) []*wanted {
	var few, fewer [2]part // most grants have one, which then costs no place on the heap
	parts := few[:0]
	for _, vm := range o.Grant.VMs {
		key := vm.VM.Key()
		own := fewer[:0]
		for _, w := range vm.Ports {
			if !o.Grant.Desired(vm.VM, w, now, rivals[rivalOf(vm.VM, w)]) {
				continue
			}
			for _, v6 := range []bool{false, true} {
				if s := sourcesOf(arriving(w), v6); !s.IsEmpty() {
					own = addPort(own, part{shape: shape{w.Protocol, v6, s.String(), w.End.UTC()}, from: s, ports: []uint16{w.Number}})
				}
			}
		}
		for _, p := range own {
			if addrs := family(o.Addresses[key], p.v6); len(addrs) > 0 {
				slices.Sort(p.ports)
				parts = addMachine(parts, p, vm.VM, key, addrs)
			}
		}
	}
	out := make([]*wanted, 0, len(parts))
	for i := range parts {
		p := &parts[i]
		// The end is not part of the name, so that an extension keeps the rule. Names
		// still differ: one port of one machine stands in one part of each family only.
		r := jit.Rule{Name: allowName(o.Grant.ID, p.appendID(make([]byte, 0, 512))), Access: jit.Allow, Protocol: p.protocol, Description: allowNote(p.end, p.vms)}
		if p.from.IsAny() {
			r.Source = jit.AnyPeer()
		} else {
			r.Source = jit.Peers{Prefixes: p.from.Prefixes()}
		}
		out = append(out, &wanted{rule: finish(r, p.addresses, p.ports), grant: o.Grant.ID, start: o.Grant.Start})
	}
	return out
}

// arriving gives what the connections of a window come from as the machine sees them: the
// window's sources, and the subnet of a firewall that maps it, since a firewall puts its own
// address in place of theirs.
func arriving(w jit.Window) jit.Sources {
	if w.Sources.IsAny() || !w.Mapped.IsValid() {
		return w.Sources
	}
	return jit.SourcesOf(slices.Concat(w.Sources.Prefixes(), w.Via.Prefixes())...)
}

// appendID writes what tells the part from all others of its grant.
func (p *part) appendID(to []byte) []byte {
	to = append(append(to, "protocol="...), p.protocol...)
	to = strconv.AppendBool(append(to, " v6="...), p.v6)
	to = append(append(to, " sources="...), p.sources...)
	to = appendPorts(append(to, " ports="...), p.ports)
	to = append(to, " vms="...)
	slices.Sort(p.keys)
	for i, key := range p.keys {
		if i > 0 {
			to = append(to, ' ')
		}
		to = append(to, key...)
	}
	return to
}

func addPort(parts []part, p part) []part {
	for i := range parts {
		if parts[i].shape == p.shape {
			parts[i].ports = append(parts[i].ports, p.ports...)
			return parts
		}
	}
	return append(parts, p)
}

func addMachine(parts []part, p part, vm jit.ID, key string, addrs []netip.Addr) []part {
	for i := range parts {
		if parts[i].shape == p.shape && slices.Equal(parts[i].ports, p.ports) {
			parts[i].add(vm, key, addrs)
			return parts
		}
	}
	p.add(vm, key, addrs)
	return append(parts, p)
}

func finish(r jit.Rule, addrs []netip.Addr, ports []uint16) jit.Rule {
	r.Destination = jit.PeersOf(addrs...)
	r.SourcePorts = []jit.PortRange{jit.AllPorts()}
	for _, n := range ports {
		r.DestinationPorts = append(r.DestinationPorts, jit.OnePort(n))
	}
	return r.Canonical()
}

func byName(a, b *wanted) int { return cmp.Compare(a.rule.Name, b.rule.Name) }

func portsKey(ports []uint16) string { return string(appendPorts(make([]byte, 0, 64), ports)) }

func appendPorts(to []byte, ports []uint16) []byte {
	slices.Sort(ports)
	for i, n := range ports {
		if i > 0 {
			to = append(to, ' ')
		}
		to = strconv.AppendUint(to, uint64(n), 10)
	}
	return to
}

// family keeps the addresses of one family: a rule cannot mix them. It may give the list that it got.
func family(addrs []netip.Addr, v6 bool) []netip.Addr {
	if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !a.IsValid() || a.Is4() == v6 || a.Is4In6() }) {
		return addrs
	}
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
	mixed := false // which any is not either
	for p := range s.All() {
		mixed = mixed || p.Addr().Is6() != v6
	}
	if !mixed {
		return s
	}
	var kept []netip.Prefix
	for p := range s.All() {
		if p.Addr().Is6() == v6 {
			kept = append(kept, p)
		}
	}
	return jit.SourcesOf(kept...)
}
